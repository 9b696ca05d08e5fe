"""The same wording in another prompt format: only what stands around a case's own values changes.

Not for: other words, few-shot choice, chat templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from tuneval.types import PROMPT_FORMAT, PROMPT_FORMATS, Case

PLACE = re.compile(r"(\{[^{}\n]+\})")

BARE = ("Input: ", "\nOutput:")
"""What stands around a wording without words of its own, so that formats have something to change."""


def format_of(case: Case) -> str | None:
    """The format that a twin asks for; None for the run's own."""
    name = case.inputs.get(PROMPT_FORMAT)
    return str(name) if name in PROMPT_FORMATS else None


def restyled(template: str, name: str) -> str:
    """Write a template in the format called ``name``; ``{column}`` places stay as they are.

    >>> restyled("{text}\\nLabel:", "one line"), restyled("{text}\\nLabel:", "dashes")
    ('{text} Label:', '{text}\\nLabel -')
    """
    pieces = PLACE.split(template)
    if not any(re.search(r"[^\W\d_]", piece) for piece in pieces[::2]):
        pieces = [BARE[0], "".join(pieces).strip(), BARE[1]]
    style = _STYLES[name]
    if style is _spaces and not any("\n" in piece for piece in pieces[::2]):
        style = _breaks
    # Odd pieces are places; they are the case's.
    return "".join(piece if n % 2 else style(piece) for n, piece in enumerate(pieces))


def _spaces(fixed: str) -> str:
    return re.sub(r"\s*\n\s*", " ", fixed)


def _breaks(fixed: str) -> str:
    return re.sub(r"^ | $", "\n", fixed)


def _capitals(fixed: str) -> str:
    return fixed.lower() if fixed.isupper() and len(fixed.strip()) > 2 else fixed.upper()


def _dashes(fixed: str) -> str:
    return re.sub(r":(?=\s|$)", " -", fixed)


def _wide(fixed: str) -> str:
    return re.sub(r"\n+", "\n\n", re.sub(r":(?=\s|$)", "::", fixed))


_STYLES: Mapping[str, Callable[[str], str]] = dict(
    zip(PROMPT_FORMATS, (_spaces, _capitals, _dashes, _wide), strict=True)
)


def with_places(case: Case) -> tuple[Case, dict[str, object]]:
    """A case whose texts are ``{places}``, so that a wording of it is a template, and the values."""
    inputs: dict[str, object] = {}
    values: dict[str, object] = {}
    for key, value in case.inputs.items():
        if isinstance(value, str) and value:
            inputs[key] = f"{{{key}}}"
            values[key] = value.strip()
        elif key == "choices" and isinstance(value, tuple):
            inputs[key] = tuple(f"{{{key} {n}}}" for n in range(len(value)))
            values |= {f"{key} {n}": one for n, one in enumerate(value)}
        else:
            inputs[key] = value
    return replace(case, inputs=inputs), values
