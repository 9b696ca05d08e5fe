"""Our own texts and tiny models, as the makers of logs beside this file hand them to other tools."""

from __future__ import annotations

import json
from pathlib import Path

DEMO = Path(__file__).parents[4] / "src" / "tuneval" / "demo"
LABELS = ("billing", "refund", "delivery", "cancel", "login", "profile", "product", "bug")


def messages(n: int) -> list[dict[str, str]]:
    """The first messages of the demo, each with its label and an id of its own."""
    lines = (DEMO / "test.jsonl").read_text(encoding="utf-8").splitlines()[:n]
    return [{"id": f"message-{i}", **json.loads(line)} for i, line in enumerate(lines, 1)]


def replies(n: int) -> list[dict[str, object]]:
    """Questions of customers with four answers of a shop."""
    lines = (DEMO / "replies.jsonl").read_text(encoding="utf-8").splitlines()[:n]
    return [json.loads(line) for line in lines]


def write(path: Path, rows: list[dict[str, object]]) -> str:
    """Write JSON Lines and say where."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
