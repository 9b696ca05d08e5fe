"""What a server can for a variant: found out by trying it, before the first case.

Not for: the questions of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuneval.engine.hf.text.render import Window
from tuneval.engine.retry import Refused
from tuneval.engine.server import canary, scoring
from tuneval.engine.server.canary import LARGEST_GAP, PROBES, Canary
from tuneval.engine.server.connection import Connection, choices_of, served_name
from tuneval.engine.server.rendered import Reading
from tuneval.errors import BackendUnavailable, VariantError
from tuneval.types import Variant


@dataclass(frozen=True, slots=True)
class Abilities:
    """What was found.

    Attributes
    ----------
    has_texts, has_messages : bool
        ``/completions``, ``/chat/completions``; False also where it was not tried.
    has_echo : bool
        Log-probabilities of a given text, which agree with what the server writes.
    takes_ids : bool
        Lists of token ids, several in one call, their tokens told as ids.
    tells_targets : bool
        Log-probabilities of tokens that are named (``logprob_token_ids``).
    takes_several : bool
        Several texts in one call.
    longest : int or None
        Tokens of a prompt and its answer at most, where the server says so.
    doubt : str
        Why its echo cannot be used, though there is one.
    """

    has_texts: bool = False
    has_messages: bool = False
    has_echo: bool = False
    takes_ids: bool = False
    tells_targets: bool = False
    takes_several: bool = False
    longest: int | None = None
    doubt: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def way(self) -> str:
        """How likelihoods are had, in words."""
        if self.tells_targets:
            return "named tokens, by ids"
        if self.takes_ids:
            return "echo, by ids"
        return "echo, by text" if self.has_echo else "none"


def shared(found: Sequence[Abilities]) -> Abilities:
    """What all of them have."""
    return Abilities(
        has_texts=all(one.has_texts for one in found),
        has_messages=all(one.has_messages for one in found),
        has_echo=all(one.has_echo for one in found),
        doubt=next((one.doubt for one in found if one.doubt), ""),
    )


def find(
    connection: Connection,
    variant: Variant,
    needed: frozenset[str],
    reading: Reading | None,
    longest: int | None,
) -> tuple[Abilities, Canary]:
    """Try what a run needs (kinds of requests; nothing named: texts, or else messages).

    Raises
    ------
    BackendUnavailable
        Something that is needed is refused.
    VariantError
        The tokenizer that was given is not the server's.
    """
    is_judge = variant.kind == "judge"
    wants_texts = any("text" in one for one in needed) or reading is not None
    wants_messages = any("messages" in one for one in needed) or is_judge
    met: Canary | None = None
    found = Abilities(longest=longest)
    if wants_texts or not wants_messages:
        try:
            met = canary.by_texts(connection, variant)
        except Refused as refused:
            # Some answer messages alone: that is enough where nobody needs more yet.
            if wants_texts or not is_of_endpoint(refused):
                raise connection.unavailable(refused) from refused
            wants_messages = True
        else:
            found = _by_texts(connection, variant, met, reading, longest)
    if wants_messages:
        try:
            met = _messages(connection, variant, met, is_short=is_judge)
        except Refused as refused:
            raise _no_messages(connection, variant, refused, needed=needed) from refused
        found = replace(found, has_messages=True)
    assert met is not None
    return found, met


def _by_texts(
    connection: Connection,
    variant: Variant,
    met: Canary,
    reading: Reading | None,
    longest: int | None,
) -> Abilities:
    takes_ids = tells_targets = False
    if reading is not None and met.has_echo:
        takes_ids, tells_targets = _by_ids(connection, variant, met, reading)
    return Abilities(
        has_texts=True,
        has_echo=met.has_echo,
        takes_ids=takes_ids,
        tells_targets=tells_targets,
        takes_several=met.has_echo and _takes_several(connection, variant),
        longest=longest,
        doubt=met.doubt,
        warnings=(_UNCOMPARED,) if met.has_echo and not met.is_compared else (),
    )


_UNCOMPARED = (
    "the server's likelihoods could not be held against what it writes: no token came back in the "
    "same spelling."
)


def _messages(
    connection: Connection, variant: Variant, met: Canary | None, *, is_short: bool
) -> Canary:
    """The canary by messages; one short question where another canary was met, or of a judge."""
    if met is None and not is_short:
        return canary.by_messages(connection, variant)
    asked = {
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 1,
        "temperature": 0,
    }
    connection.ask(variant, "/chat/completions", asked, lambda body: choices_of(body, 1))
    return met or Canary((), ())


def is_of_endpoint(refused: Refused) -> bool:
    """Whether it is the way of asking that is refused, and not the key or the whole server."""
    return any(f"status {code}" in str(refused) for code in (400, 404, 405, 422, 500, 501))


def _no_messages(
    connection: Connection, variant: Variant, refused: Refused, *, needed: frozenset[str]
) -> Exception:
    if not is_of_endpoint(refused) or "status 404" in str(refused) or not needed:
        return connection.unavailable(refused)
    return BackendUnavailable(
        f'variant "{variant.name}": the server at {connection.url} takes no chat messages for '
        f'"{served_name(variant)}": {refused}.\nA base model often has no chat template: ask with '
        "--prompt-style text, or have prompts written here with --tokenizer DIR."
    )


def _takes_several(connection: Connection, variant: Variant) -> bool:
    texts = PROBES[:2]
    try:
        found = scoring.echo_texts(connection, variant, texts, _nothing)
    except Refused:
        return False
    return all(found)


def _nothing() -> None:
    raise ValueError("nothing is told")


def _by_ids(
    connection: Connection, variant: Variant, met: Canary, reading: Reading
) -> tuple[bool, bool]:
    """Whether ids are taken, and named tokens told; both must agree with the echo of the texts."""
    renderer = reading.renderer
    encoded = renderer.encode_all(PROBES)
    windows = [
        Window(tuple(ids), len(ids) - 1)
        for ids in (renderer.with_bos(encoded[probe]) for probe in PROBES)
    ]
    (call,) = scoring.plan(windows)
    try:
        told = scoring.ask(connection, variant, call)
    except Refused as refused:
        if refused.kind == "fatal" and not is_of_endpoint(refused):
            raise
        return False, False
    by_ids = [told[window] for window in windows]
    if any(isinstance(one, str) for one in by_ids):
        return False, False
    _refuse_other_tokenizer(connection, variant, met, by_ids)
    window = windows[0]
    step: scoring.Key = (window.ids[:-1], window.ids[-1])
    try:
        targets = scoring.ask(connection, variant, scoring.plan([step])[0])[step]
    except Refused as refused:
        if refused.kind == "fatal" and not is_of_endpoint(refused):
            raise
        return True, False
    if isinstance(targets, str):
        return True, False
    gap = abs(_nats(targets)[-1] - _nats(by_ids[0])[-1])
    return True, gap <= LARGEST_GAP


def _refuse_other_tokenizer(
    connection: Connection, variant: Variant, met: Canary, by_ids: Sequence[scoring.Numbers]
) -> None:
    """The same text must have the same numbers, written here or there."""
    for probe, here, there in zip(PROBES, map(_nats, by_ids), met.nats, strict=True):
        # A start token that only one of them echoes has no number, or a first token has none.
        n = min(len(here), len(there))
        gaps = [abs(a - b) for a, b in zip(here[-n:], there[-n:], strict=True)]
        if abs(len(here) - len(there)) > 1 or max(gaps, default=0.0) > LARGEST_GAP:
            raise VariantError(
                f'variant "{variant.name}": the tokenizer that was given is not the one that the '
                f'server at {connection.url} uses for "{served_name(variant)}": they read '
                f"{probe[:40]!a} differently ({len(here)} and {len(there)} scored tokens, up to "
                f"{max(gaps, default=0.0):.2f} nats apart).\nGive the folder that the server "
                "serves with --tokenizer, or leave it away."
            )


def _nats(numbers: scoring.Numbers) -> list[float]:
    return [one[0] for one in numbers if not isinstance(one, str)]
