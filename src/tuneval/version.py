"""The package's version, on the ground: whatever writes it down imports this and nothing above."""

__version__ = "0.1.0"
