"""The backend on vLLM: one engine at a time, in a process of its own."""
