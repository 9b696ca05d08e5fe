"""Many workers that answer as one backend: units, the pool, workers here or on a Ray cluster.

Not for: forward passes (``engine/hf``).
"""
