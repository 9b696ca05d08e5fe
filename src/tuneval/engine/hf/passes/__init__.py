"""Token ids -> numbers and texts: what to run together, and the forward passes themselves."""
