"""Predictions -> measurements -> scores, comparisons, verdicts: which rows, compared with what.

The formulas are in ``metrics`` and ``comparison``.
"""
