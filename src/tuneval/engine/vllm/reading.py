"""What vLLM answered -> responses, texts read from ids by the code of the backend on transformers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tuneval.engine.hf.passes.generation import Drawn, Job, Speller, advance, finish, row_of
from tuneval.engine.hf.passes.padded import WindowScore
from tuneval.types import Completion


def drawn_of(
    answered: Mapping[str, Any],
    job: Job,
    speller: Speller,
    end_tokens: Collection[int],
    seconds: float,
) -> Drawn:
    """A completion: the ids are taken one by one, and end where they would have ended here."""
    if answered.get("problem"):
        return Drawn(None, seconds, str(answered["problem"]))
    row = row_of(0, job, speller)
    for token in answered["ids"]:
        advance(row, int(token), frozenset(end_tokens))
        if row.is_ended:
            break
    if not row.is_ended and answered["reason"] != "length":
        # vLLM saw a stop string in its own spelling of the ids, or ended for reasons of its own.
        text = row.reader.text(row.ids)
        ends = [at for stop in job.decoding.stop if (at := text.find(stop)) >= 0]
        if not ends:
            return Drawn(None, seconds, f'vLLM ended a completion by "{answered["reason"]}"')
        return Drawn(Completion(text[: min(ends)], len(row.ids), "stop"), seconds)
    return finish(row, seconds)


def score_of(answered: Mapping[str, Any], place: int, target: int, seconds: float) -> WindowScore:
    """The number of one token; ``place``: where it stands among those that were told."""
    if answered.get("problem"):
        return WindowScore((), False, seconds, str(answered["problem"]))
    is_best = answered["ids"][:1] == [target]
    return WindowScore((float(answered["nats"][place]),), is_best, seconds)
