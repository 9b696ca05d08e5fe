"""The calls are tried on the pipeline's smallest models."""

from pipeline.conftest import _own_home, run_it, setting

__all__ = ["_own_home", "run_it", "setting"]
