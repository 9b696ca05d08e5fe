"""The cost of a reference under several wordings."""

from __future__ import annotations

import pytest

from tuneval.tasks import build
from tuneval.tasks.frames import Frame, Framing
from tuneval.tasks.reference_loss import ReferenceLoss
from tuneval.types import Case, Prediction, Response

CASE = Case("a:1", {"text": "It broke."}, ("bug",))


def task() -> ReferenceLoss:
    classify = build("classify", labels=("bug", "bill"), verbalizers={"bug": "a bug"})
    framing = Framing.of(classify.wording, [CASE])  # type: ignore[attr-defined]
    frames = [framing.start, Frame("", "\n", is_chat=False)]
    return ReferenceLoss([framing.worded(one) for one in frames], classify.words_of_reference)  # type: ignore[attr-defined]


def test_one_request_a_wording_in_the_words_of_the_label() -> None:
    one, other = task().ask(CASE)
    assert (one.id, one.continuation) == ("a:1#0", "a bug")
    assert (other.id, other.prompt, other.continuation) == ("a:1#1", "It broke.\n", "a bug")


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (
            Response("a:1#1", "v", loglikelihood=-0.5, n_tokens=2),
            Prediction("a:1", values={"0": (3.0, 1.0), "1": (0.5, 2.0)}),
        ),
        (
            Response("a:1#1", "v", problem="nonfinite: nan"),
            Prediction("a:1", problem="nonfinite: nan"),
        ),
    ],
)
def test_read(second: Response, expected: Prediction) -> None:
    first = Response("a:1#0", "v", loglikelihood=-3.0, n_tokens=1)
    assert task().read(CASE, [first, second]) == expected


def test_the_signature_names_every_wording() -> None:
    assert task().signature() != ReferenceLoss(task().wordings[:1], str).signature()  # type: ignore[arg-type]
