"""Words as a shell hands them over -> words as they were meant.

A shell unfolds ``--adapter out/checkpoint-*`` into one word a folder, of which only the first stands
behind the flag. Knows no option but those that name weights.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

FLAGS = ("--adapter", "--full")


def with_flags(words: Sequence[str]) -> list[str]:
    """Repeat the flag before every folder that a shell unfolded behind it.

    A word that could be BASE is left where it stands.

    Raises
    ------
    ConfigError
        More words than a BASE are left: which is which cannot be told.
    """
    meant: list[str] = []
    rest = list(words)
    has_base = len(rest) > 1 and not rest[1].startswith("-")
    while rest:
        flag, equals, first = rest.pop(0).partition("=")
        if flag not in FLAGS or not (equals or rest):
            meant.append(flag + equals + first)
            continue
        first = first if equals else rest.pop(0)
        meant += [flag, first]
        left: list[str] = []
        while rest and not rest[0].startswith("-"):
            one = rest.pop(0)
            name, _, path = first.rpartition("=")
            if _belongs(one, path, flag):
                meant += [flag, f"{name}={one}" if name else one]
            else:
                left.append(one)
        if len(left) + has_base > 1:
            _refuse(flag, first, left)
        meant += left
    return meant


def _belongs(word: str, first: str, flag: str) -> bool:
    """Is it a checkpoint of the same training, or an adapter, which no BASE is?"""
    from tuneval.data.training_record import checkpoint_of
    from tuneval.engine.hf.weights.folder import ADAPTER_CONFIG, MODEL_CONFIG

    folder = Path(word)
    if not folder.is_dir():
        return False
    one, other = checkpoint_of(word), checkpoint_of(first)
    if one and other and one.run == other.run:
        return True
    is_adapter = (folder / ADAPTER_CONFIG).is_file() and not (folder / MODEL_CONFIG).is_file()
    return flag == "--adapter" and is_adapter


def _refuse(flag: str, first: str, left: Sequence[str]) -> None:
    from tuneval.errors import ConfigError

    quoted = ", ".join(f'"{one}"' for one in left[:3]) + (", ..." if len(left) > 3 else "")
    again = shlex.join([word for one in (first, *left[:2]) for word in (flag, one)])
    raise ConfigError(
        f'{flag} takes one folder, and behind "{first}" stand {quoted}.\n'
        f"If the shell unfolded a pattern, quote it: {flag} '{Path(first).parent}/*'; or repeat the "
        f"flag: {again}"
    )
