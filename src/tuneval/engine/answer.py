"""The one way into the engine: journal first, backend for the rest, every answer kept at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tuneval.engine import Backend
from tuneval.engine.journal import Journal, key_of
from tuneval.errors import BackendError
from tuneval.types import READS_TEXTS, NoProgress, Progress, Request, Response, Variant


def answer(
    backend: Backend,
    variant: Variant,
    requests: Sequence[Request],
    journal: Journal,
    progress: Progress | None = None,
) -> dict[str, Response]:
    """Answer requests as a variant.

    What the journal knows is not asked again; requests of the same content are asked once. Every
    response is recorded as it arrives, so that after any end the same call goes on from there.

    Parameters
    ----------
    requests : sequence of Request
        With ids that are unique among them.

    Returns
    -------
    dict
        Request id -> response, in the order of ``requests``. A log-likelihood that is not finite
        has become a ``problem``.

    Raises
    ------
    BackendError
        The backend answered a request twice, not at all, or with something else than was asked.
    """
    requests = [_as_read(request, variant) for request in requests]
    ids = [request.id for request in requests]
    assert len(set(ids)) == len(ids), "request ids must be unique"
    progress = progress or NoProgress()
    fingerprint = backend.fingerprint(variant)
    journal.introduce(fingerprint, _ingredients(backend, variant))
    progress.begin(variant.name, len(requests))
    try:
        answers = journal.lookup(fingerprint, requests)
        progress.advance(len(answers), n_reused=len(answers))
        twins = _by_content(requests)
        distinct = [same[0] for same in twins.values()]
        for planned in journal.plans(fingerprint, distinct, answers):
            for request, response in _ask(backend, variant, planned, frozenset(answers)):
                journal.record(fingerprint, request, response)
                same = twins[request.id]
                answers |= {twin.id: replace(response, request_id=twin.id) for twin in same}
                progress.advance(len(same))
    finally:
        journal.flush()
        progress.end()
    return {one: replace(answers[one], variant=variant.name) for one in ids}


def _as_read(request: Request, variant: Variant) -> Request:
    """The request with nothing in it that the variant's head does not read, so that no answer is asked
    again for what cannot change it."""
    if variant.head not in READS_TEXTS:
        is_plain = not (request.texts or request.label or request.labels)
        return request if is_plain else replace(request, texts=(), label="", labels=())
    return replace(request, continuation=request.label or request.continuation, tools="")


def _by_content(requests: Sequence[Request]) -> dict[str, list[Request]]:
    """Id of the first request of a content -> all requests of that content."""
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(key_of("", request), []).append(request)
    return {same[0].id: same for same in groups.values()}


def _ask(
    backend: Backend, variant: Variant, planned: Sequence[Request], known: frozenset[str]
) -> Iterator[tuple[Request, Response]]:
    """Yield each unknown request with its response, and hold the backend to its contract."""
    waiting = {request.id: request for request in planned if request.id not in known}
    n_asked = len(waiting)
    for response in backend.answer(variant, planned, known) if waiting else ():
        request = waiting.pop(response.request_id, None)
        if request is None:
            raise BackendError(
                f'variant "{variant.name}": the backend answered request "{response.request_id}", '
                "which was not asked or was answered before. This is a fault of the backend."
            )
        yield request, _checked(variant, request, response)
    if waiting:
        raise BackendError(
            f'variant "{variant.name}": the backend left {len(waiting)} of {n_asked} requests '
            f'without an answer (first: "{next(iter(waiting))}").\n'
            "What was answered is kept; give the same command again to ask for the rest."
        )


def _checked(variant: Variant, request: Request, response: Response) -> Response:
    """Return the response, or the same with a problem where a number is not finite."""
    if response.problem is not None:
        return response
    if request.decoding is not None:
        if len(response.completions) != request.decoding.n_completions:
            raise BackendError(
                f'variant "{variant.name}", request "{request.id}": '
                f"{request.decoding.n_completions} completions were asked for and "
                f"{len(response.completions)} came. This is a fault of the backend."
            )
        return response
    if response.loglikelihood is None:
        raise BackendError(
            f'variant "{variant.name}", request "{request.id}": a log-likelihood was asked for and '
            "none came. This is a fault of the backend."
        )
    numbers = (response.loglikelihood, *(response.token_logprobs or ()))
    if all(math.isfinite(number) for number in numbers):
        return response
    return Response(
        request.id,
        variant.name,
        prompt_tokens=response.prompt_tokens,
        is_truncated=response.is_truncated,
        seconds=response.seconds,
        problem=f"nonfinite: the log-likelihood is {response.loglikelihood}",
    )


def _ingredients(backend: Backend, variant: Variant) -> Mapping[str, str]:
    """Return what the fingerprint was made of, as far as the backend tells."""
    own = {
        "model": variant.model,
        "adapter": variant.adapter or "",
        "revision": variant.revision or "",
        "dtype": variant.dtype,
        "backend": type(backend).__name__,
    }
    tell = getattr(backend, "ingredients", None)
    return own if tell is None else {**own, **tell(variant)}
