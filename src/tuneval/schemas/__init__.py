"""JSON schemas of run.yaml and result.json, made from the code and shipped beside it.

``python -m tuneval.schemas.make`` writes them again; a test holds them to the code.
"""

from __future__ import annotations

from pathlib import Path

NAMES = ("run", "result")
FILE = "run.schema.json"
"""Lies beside every run.yaml that is written, so that an editor finds it wherever the folder goes."""
FIRST_LINE = f"# yaml-language-server: $schema={FILE}\n"


def place(name: str) -> Path:
    """Where the schema of "run" (run.yaml) or "result" (result.json) lies."""
    return Path(__file__).with_name(f"{name}.schema.json")
