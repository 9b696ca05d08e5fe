"""Checks of the options that users give to tasks. Not for: defaults, which belong to each task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from tuneval import registry
from tuneval.errors import ConfigError
from tuneval.types import Decoding


def one_of(task: str, option: str, value: object, allowed: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``allowed``; otherwise offer the nearest."""
    if isinstance(value, str) and value in allowed:
        return value
    raise ConfigError(
        f'task "{task}", option "{option}": {registry.unknown(str(value), allowed)}.\n'
        f"It may be {', '.join(allowed)}."
    )


def refuse_unknown(task: str, options: Iterable[str], known: Sequence[str]) -> None:
    """Refuse options that a task does not have."""
    for option in options:
        if option not in known:
            raise ConfigError(
                f'task "{task}", options: {registry.unknown(option, known)}.\n'
                f"It takes {', '.join(known)}."
            )


def text_or_none(task: str, option: str, value: object) -> str | None:
    """Return a text option as it is."""
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(f'task "{task}", option "{option}": "{value}" is not a text.')


def texts(task: str, option: str, value: object) -> tuple[str, ...]:
    """Return one text or several as a tuple; an empty text is refused."""
    several = (value,) if isinstance(value, str) else value
    if isinstance(several, Sequence) and all(isinstance(one, str) and one for one in several):
        return tuple(several)
    raise ConfigError(f'task "{task}", option "{option}": "{value}" is not a list of texts.')


def unused(task: str, **given: object) -> tuple[str, ...]:
    """Say which settings of a completion were given though nothing is drawn."""
    named = [name for name, value in given.items() if value is not None]
    if not named:
        return ()
    verb = "change" if len(named) > 1 else "changes"
    return (
        f"{task}: {' and '.join(named)} {verb} nothing: answers are scored by likelihood, and no text "
        "is drawn (--scoring generate does).",
    )


def decoding(
    task: str,
    *,
    max_tokens: object,
    stop: object = (),
    temperature: object = 0.0,
    top_p: object = 1.0,
    n_completions: object = 1,
    sampling_seed: object = 0,
) -> Decoding:
    """Check the settings of a completion, each with its own sentence.

    Raises
    ------
    ConfigError
        A value is out of range, or several completions are asked for at temperature 0, where all
        of them would be the same.
    """
    checked = Decoding(
        max_tokens=_whole(task, "max_tokens", max_tokens, least=1),
        stop=texts(task, "stop", stop),
        temperature=_number(task, "temperature", temperature, 0.0, 100.0),
        top_p=_number(task, "top_p", top_p, 0.0, 1.0, is_low_open=True),
        n_completions=_whole(task, "n_completions", n_completions, least=1),
        sampling_seed=_whole(task, "sampling_seed", sampling_seed, least=0),
    )
    if checked.n_completions > 1 and checked.temperature == 0:
        raise ConfigError(
            f'task "{task}": "{checked.n_completions}" completions at temperature 0 would all be '
            "the same.\nGive a temperature above 0, or ask for one completion."
        )
    return checked


def _whole(task: str, option: str, value: object, *, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise ConfigError(
        f'task "{task}", option "{option}": "{value}" is not a whole number of at least {least}.'
    )


def _number(
    task: str, option: str, value: object, low: float, high: float, *, is_low_open: bool = False
) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and low <= float(value) <= high and not (is_low_open and value == low):  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    above = "above" if is_low_open else "from"
    raise ConfigError(
        f'task "{task}", option "{option}": "{value}" is not a number {above} {low:g} to {high:g}.'
    )


def digest(value: object) -> str:
    """Short fingerprint of a text or of texts, for signatures."""
    return hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def sign(task: str, settings: Mapping[str, object]) -> str:
    """Write a signature: the task and every setting that can move its numbers.

    A text is named by its fingerprint, so that a signature stays on one line.
    """
    parts = (f"{name}:{_named(value)}" for name, value in settings.items())
    return "|".join((task, *parts))


def _named(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool | int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, str) and value.replace("_", "").isalnum():
        return value
    if isinstance(value, tuple):
        return f"{len(value)}/{digest(value)}" if value else "0"
    return digest(value)
