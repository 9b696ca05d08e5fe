"""How a command on a finished run ends: the summary for a pull request, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tuneval.types import RunResult

FailOn = Annotated[
    str | None,
    typer.Option(help="worse, warning, inconclusive: exit 1 or 4", metavar="WHAT,.."),
]
"""What beside a failed gate makes the command fail."""


def fail_on_words(text: str | None) -> tuple[str, ...]:
    """Read the words of --fail-on. Raises ConfigError: an unknown one."""
    from typing import get_args

    from tuneval.errors import ConfigError
    from tuneval.plan.spec import FailOn as Known
    from tuneval.registry import unknown

    words = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    for word in words:
        if word not in get_args(Known):
            raise ConfigError(f"--fail-on: {unknown(word, get_args(Known))}.")
    return words


def ending(result: RunResult) -> int:
    """Write the summary where a workflow asks for one; return the exit code."""
    from tuneval.report.markdown import render
    from tuneval.runs.gate import exit_code

    write_step_summary(lambda: render(result))
    return exit_code(result)


def write_step_summary(render: Callable[[], str]) -> None:
    """Append to ``$GITHUB_STEP_SUMMARY``, where that is set; a summary that cannot be written is
    said and changes nothing else."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(render() + "\n")
    except OSError as error:
        print(f"GITHUB_STEP_SUMMARY cannot be written: {error.strerror}.", file=sys.stderr)
