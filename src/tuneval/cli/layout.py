"""How ``--help`` looks: an example first, then options in named blocks, one line each, 80 columns;
hidden options are named at the end."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from tuneval.cli.terminal import width

INDENT, COLUMN = 2, 31


TYPERS_OWN = ("help", "install_completion", "show_completion")


class PlainCommand(TyperCommand):
    """One command: the docstring (its first paragraph an example), arguments, blocks of options."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the whole page."""
        formatter.write(_paragraphs(self.help or ""))
        blocks: dict[str, list[tuple[str, str]]] = {}
        rare: list[str] = []
        for parameter in self.get_params(ctx):
            if isinstance(parameter, TyperArgument):
                text = getattr(parameter, "help", None) or ""
                blocks.setdefault("", []).append((_argument(parameter), text))
            elif isinstance(parameter, TyperOption) and parameter.hidden:
                rare.append(max(parameter.opts, key=len))
            elif isinstance(parameter, TyperOption) and parameter.name not in TYPERS_OWN:
                panel = getattr(parameter, "rich_help_panel", None) or "options"
                blocks.setdefault(panel, []).append((_flag(parameter), parameter.help or ""))
        for panel, rows in blocks.items():
            formatter.write(f"\n{panel}\n" if panel else "\n")
            for left, right in rows:
                formatter.write(_row(left, right))
        if rare:
            text = f"docs/cli.md: {' '.join(rare)}"
            lines = textwrap.wrap(text, width(), break_on_hyphens=False)
            formatter.write("\n" + "\n".join(lines) + "\n")


class PlainGroup(TyperGroup):
    """The commands, a line each."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the whole page."""
        formatter.write(_paragraphs(self.help or "") + "\n")
        formatter.write("    tuneval compare --adapter out/lora --data test.jsonl\n\n")
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            _example, _, text = (command.help or "").strip().partition("\n\n")
            formatter.write(_row(name, _first_sentence(text), column=14))
        formatter.write("\ntuneval COMMAND -h tells the rest; -V tells the version.\n")

    def list_commands(self, ctx: Any) -> list[str]:
        """Keep the order of the table, which is the order of use."""
        return list(self.commands)


def _first_sentence(text: str) -> str:
    words = " ".join(text.split())
    return re.split(r"(?<=[.?])\s", words, maxsplit=1)[0]


def _argument(argument: TyperArgument) -> str:
    name = argument.metavar or str(argument.name).upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _flag(option: TyperOption) -> str:
    name = max(option.opts, key=len)
    short = min(option.opts, key=len)
    text = name if name == short else f"{short}, {name}"
    return text if option.is_flag else f"{text} {option.metavar or 'TEXT'}"


def _paragraphs(text: str) -> str:
    """As they were written, for 80 columns; folded anew where there are fewer."""
    lines = text.strip().splitlines()
    if max(map(len, lines), default=0) > width():
        blocks = textwrap.dedent("\n".join(lines)).split("\n\n")
        folded = (textwrap.fill(one, width(), break_on_hyphens=False) for one in blocks)
        lines = "\n\n".join(folded).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _row(left: str, right: str, *, column: int = COLUMN) -> str:
    left = " " * INDENT + left
    head = f"{left}  " if len(left) >= column - 1 else f"{left:<{column}}"
    if len(head) + len(right) <= width():
        return f"{head}{right}".rstrip() + "\n"
    room = max(20, width() - column)
    lines = textwrap.wrap(right, room, break_on_hyphens=False)
    if len(head) > column:  # what it means begins below it
        return f"{left}\n" + "".join(f"{' ' * column}{line}\n" for line in lines)
    return f"{head}{lines[0]}\n" + "".join(f"{' ' * column}{line}\n" for line in lines[1:])
