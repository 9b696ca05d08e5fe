"""Checksums of published splits (`tuneval.benchmarks.load.checksum`), where all rows were at hand.

Made by ``benchmarks/checksums.py`` of the repository.
"""

from __future__ import annotations

from collections.abc import Mapping

KNOWN: Mapping[str, str] = {}
