"""How ``--help`` looks: an example first, then options in named blocks, one line each, 80 columns;
hidden options are named at the end."""

from __future__ import annotations

import textwrap
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

INDENT, COLUMN, WIDTH = 2, 31, 80


class PlainCommand(TyperCommand):
    """One command: the docstring (its first paragraph an example), arguments, blocks of options."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the whole page."""
        for line in (self.help or "").strip().splitlines():
            formatter.write(line.rstrip() + "\n")
        blocks: dict[str, list[tuple[str, str]]] = {}
        rare: list[str] = []
        for parameter in self.get_params(ctx):
            if isinstance(parameter, TyperArgument):
                text = getattr(parameter, "help", None) or ""
                blocks.setdefault("", []).append((_argument(parameter), text))
            elif isinstance(parameter, TyperOption) and parameter.hidden:
                rare.append(max(parameter.opts, key=len))
            elif isinstance(parameter, TyperOption) and parameter.name != "help":
                panel = getattr(parameter, "rich_help_panel", None) or "options"
                blocks.setdefault(panel, []).append((_flag(parameter), parameter.help or ""))
        for panel, rows in blocks.items():
            formatter.write(f"\n{panel}\n" if panel else "\n")
            for left, right in rows:
                formatter.write(_row(left, right))
        if rare:
            text = f"more (docs/cli.md): {' '.join(rare)}"
            lines = textwrap.wrap(text, WIDTH, break_on_hyphens=False)
            formatter.write("\n" + "\n".join(lines) + "\n")


class PlainGroup(TyperGroup):
    """The commands, a line each."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the whole page."""
        formatter.write((self.help or "").strip() + "\n\n")
        formatter.write(
            "    tuneval compare --adapter out/lora --full out/full --data test.jsonl\n\n"
        )
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            _example, _, text = (command.help or "").strip().partition("\n\n")
            formatter.write(_row(name, text.strip().partition("\n")[0], column=12))
        formatter.write("\ntuneval COMMAND --help tells the rest; --version tells the version.\n")

    def list_commands(self, ctx: Any) -> list[str]:
        """Keep the order of the table, which is the order of use."""
        return list(self.commands)


def _argument(argument: TyperArgument) -> str:
    name = argument.metavar or str(argument.name).upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _flag(option: TyperOption) -> str:
    name = max(option.opts, key=len)
    short = min(option.opts, key=len)
    text = name if name == short else f"{short}, {name}"
    return text if option.is_flag else f"{text} {option.metavar or 'TEXT'}"


def _row(left: str, right: str, *, column: int = COLUMN) -> str:
    left = " " * INDENT + left
    if len(left) >= column - 1:
        return f"{left}  {right}".rstrip() + "\n"
    return f"{left:<{column}}{right}".rstrip() + "\n"
