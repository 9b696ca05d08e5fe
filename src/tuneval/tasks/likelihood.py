"""Log-likelihoods of several continuations -> scores and probabilities, as lm-eval defines them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tuneval.types import Response

NORMALIZATIONS = ("sum", "per_token", "per_character", "per_byte", "pmi")


def choice_scores(
    responses: Sequence[Response],
    texts: Sequence[str],
    normalize: str,
    unconditional: Sequence[Response] = (),
) -> NDArray[np.float64]:
    """Score each choice; the greatest wins, the first among equals.

    Parameters
    ----------
    texts : sequence of str
        The choices as words, without the space or line that joins them to the prompt.
    normalize : str
        ``sum``: log-likelihood in nats (lm-eval's acc); divided by tokens, by characters (acc_norm)
        or by utf-8 bytes (acc_bytes); ``pmi``: minus the log-likelihood without the prompt
        (acc_mutual_info). What a head over labels gave has no tokens, and is taken as it is.

    References
    ----------
    lm-evaluation-harness 0.4, ``ConfigurableTask.process_results``.
    """
    nats = np.array([_nats(response) for response in responses], dtype=np.float64)
    if all(response.n_tokens == 0 for response in responses):
        return nats
    if normalize == "pmi":
        return nats - np.array([_nats(response) for response in unconditional], dtype=np.float64)
    lengths = {
        "sum": [1] * len(texts),
        "per_token": [response.n_tokens for response in responses],
        "per_character": [len(text) for text in texts],
        "per_byte": [len(text.encode("utf-8", "surrogatepass")) for text in texts],
    }[normalize]
    return nats / np.maximum(lengths, 1)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities over the choices."""
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _nats(response: Response) -> float:
    assert response.loglikelihood is not None, response.request_id
    return response.loglikelihood
