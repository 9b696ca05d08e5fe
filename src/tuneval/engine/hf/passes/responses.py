"""What went through a model -> responses.

Not for: running anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tuneval.engine.hf.passes.generation import Drawn, Job
from tuneval.engine.hf.passes.padded import WindowScore
from tuneval.engine.hf.text.render import Prompt, Scoring
from tuneval.types import Completion, Request, Response


def beyond(largest: int, rows: int) -> str | None:
    """The problem of ids that the model has no embeddings for, None where there is none."""
    if largest < rows:
        return None
    return f"the text has token id {largest}, but the model has embeddings for {rows} tokens only"


def scored_response(
    request: Request, variant: str, scoring: Scoring, parts: Sequence[WindowScore]
) -> Response:
    """The response to a request for a log-likelihood; ``parts`` in the order of its windows."""
    problem = next((part.problem for part in parts if part.problem), None)
    logprobs = [value for part in parts for value in part.logprobs]
    seconds = sum(part.seconds for part in parts)
    if problem is not None:
        return Response(
            request.id,
            variant,
            prompt_tokens=scoring.n_prompt,
            is_truncated=scoring.is_truncated,
            seconds=seconds,
            problem=problem,
        )
    return Response(
        request.id,
        variant,
        loglikelihood=math.fsum(logprobs),
        n_tokens=len(logprobs),
        is_greedy=all(part.is_greedy for part in parts),
        token_logprobs=tuple(logprobs) if request.with_token_logprobs else None,
        prompt_tokens=scoring.n_prompt,
        is_truncated=scoring.is_truncated,
        seconds=seconds,
    )


def jobs_of(owner: int, request: Request, prompt: Prompt) -> list[Job]:
    """One job for every completion that is asked for."""
    assert request.decoding is not None
    return [
        Job(owner, number, prompt, request.decoding)
        for number in range(request.decoding.n_completions)
    ]


def drawn_response(
    request: Request, variant: str, prompt: Prompt, parts: Sequence[Drawn]
) -> Response:
    """The response to a request for completions; ``parts`` in the order of its jobs."""
    problem = next((part.problem for part in parts if part.problem), None)
    completions: tuple[Completion, ...] = ()
    if problem is None:
        completions = tuple(part.completion for part in parts if part.completion is not None)
    return Response(
        request.id,
        variant,
        completions=completions,
        prompt_tokens=prompt.n_prompt,
        is_truncated=prompt.is_truncated,
        seconds=sum(part.seconds for part in parts),
        problem=problem,
    )
