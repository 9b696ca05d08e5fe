"""Many processes that answer as one backend: units, workers, the pool.

Not for: forward passes (``engine/hf``).
"""
