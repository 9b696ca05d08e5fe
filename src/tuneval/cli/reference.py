"""Every command's ``--help`` as one page of documentation: ``python -m tuneval.cli.reference``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperOption
from typer.main import get_command

from tuneval.cli.main import app


def page() -> str:
    """Return docs/cli.md: the help of every command, and the rarely needed options in full."""
    group: Any = get_command(app)
    parts = [
        "# Command line",
        "",
        "Made by `python -m tuneval.cli.reference`; a test keeps it true.",
        "",
    ]
    for name, command in group.commands.items():
        with command.make_context(f"tuneval {name}", [], resilient_parsing=True) as context:
            parts += [f"## tuneval {name}", "", "```", command.get_help(context).strip(), "```", ""]
            rare = [
                one
                for one in command.get_params(context)
                if isinstance(one, TyperOption) and one.hidden
            ]
            if rare:
                parts += ["| rarely needed | |", "|---|---|"]
                parts += [_row(one) for one in rare]
                parts.append("")
    return "\n".join(parts)


def _row(option: TyperOption) -> str:
    flag = max(option.opts, key=len)
    metavar = (option.metavar or "").replace("|", "\\|")
    return f"| `{flag if option.is_flag else f'{flag} {metavar}'}` | {option.help} |"


if __name__ == "__main__":
    print(page(), end="")
