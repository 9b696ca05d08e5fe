"""Fixtures of the sandbox tests."""

from sandbox.yard import best, each, yard

__all__ = ["best", "each", "yard"]
