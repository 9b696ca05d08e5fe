"""Finished runs: held to gates, listed, laid side by side. Reads records; runs no model."""
