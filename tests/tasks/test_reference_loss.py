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
    one, other, _ = task().ask(CASE)
    assert (one.id, one.continuation) == ("a:1#0", "a bug")
    assert (other.id, other.prompt, other.continuation) == ("a:1#1", "It broke.\n", "a bug")


def test_a_line_break_before_the_answer_is_asked_by_itself() -> None:
    """The prompt of a trainer ends with it, so that its own cost says nothing of training."""
    *_, line_break = task().ask(CASE)
    assert (line_break.id, line_break.prompt, line_break.continuation) == (
        "a:1#2",
        "It broke.\n",
        "",
    )


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (
            Response("a:1#1", "v", loglikelihood=-0.5, n_tokens=2),
            Prediction("a:1", values={"0": (3.0, 1.0), "1": (0.25, 1.0)}),
        ),
        (
            Response("a:1#1", "v", problem="nonfinite: nan"),
            Prediction("a:1", problem="nonfinite: nan"),
        ),
    ],
)
def test_read(second: Response, expected: Prediction) -> None:
    first = Response("a:1#0", "v", loglikelihood=-3.0, n_tokens=1)
    third = Response("a:1#2", "v", loglikelihood=-0.25, n_tokens=1)
    assert task().read(CASE, [first, second, third]) == expected


def test_the_signature_names_every_wording() -> None:
    assert task().signature() != ReferenceLoss(task().wordings[:1], str).signature()  # type: ignore[arg-type]
