"""Rows -> a number, a difference, and how sure it is."""
