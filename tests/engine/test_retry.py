from __future__ import annotations

import pytest

from tuneval.engine.retry import Refused, RetryPolicy, kind_of, seconds_to_wait


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def failing(n: int, refused: Refused):
    """Fail n times, then answer."""
    left = [n]

    def act() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise refused
        return "done"

    return act


def policy(clock: Clock, **settings: float) -> RetryPolicy:
    return RetryPolicy(sleep=clock.sleep, clock=clock, draw=lambda: 1.0, **settings)  # type: ignore[arg-type]


def test_waits_double_up_to_a_cap() -> None:
    clock = Clock()
    done = policy(clock, attempts=12, budget_seconds=1e6).run(failing(9, Refused("retry", "busy")))
    assert done == "done"
    assert clock.waits == [1, 2, 4, 8, 16, 32, 64, 120, 120]


def test_jitter_takes_a_share_of_the_wait() -> None:
    clock = Clock()
    draws = iter([0.0, 0.5, 0.25])
    one = RetryPolicy(sleep=clock.sleep, clock=clock, draw=lambda: next(draws))
    one.run(failing(3, Refused("retry", "busy")))
    assert clock.waits == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "said", "n_waits"),
    [
        ({"attempts": 3}, "busy (after 3 attempts)", 2),
        ({"attempts": 1}, "busy (after 1 attempt)", 0),
        (
            {"attempts": 99, "budget_seconds": 10.0},
            "busy (after 4 attempts, within 10 s: backend.give_up_seconds)",
            3,
        ),
    ],
)
def test_attempts_and_time_run_out(settings: dict[str, float], said: str, n_waits: int) -> None:
    clock = Clock()
    with pytest.raises(Refused) as caught:
        policy(clock, **settings).run(failing(99, Refused("retry", "busy")))
    assert (str(caught.value), caught.value.kind) == (said, "unit")
    assert len(clock.waits) == n_waits


@pytest.mark.fault
def test_fault_32_a_wait_longer_than_the_budget_is_not_begun() -> None:
    clock = Clock()
    with pytest.raises(Refused, match="after 1 attempt"):
        policy(clock, budget_seconds=60.0).run(failing(9, Refused("retry", "busy", 100.0)))
    assert clock.waits == []


@pytest.mark.parametrize("kind", ["unit", "fatal"])
def test_other_kinds_are_not_tried_again(kind: str) -> None:
    one = policy(Clock())
    with pytest.raises(Refused, match=r"^no$"):
        one.run(failing(1, Refused(kind, "no")))  # type: ignore[arg-type]
    assert one.n_attempts == 1


def test_after_a_stop_nothing_is_tried_again() -> None:
    one = policy(Clock())
    one.stop()
    with pytest.raises(Refused, match="after 1 attempt"):
        one.run(failing(1, Refused("retry", "busy")))
    one.begin()
    assert one.run(failing(1, Refused("retry", "busy"))) == "done"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "retry"), (408, "retry"), (425, "retry"), (500, "retry"), (502, "retry"),
        (503, "retry"), (529, "retry"), (400, "unit"), (413, "unit"), (422, "unit"),
        (401, "fatal"), (403, "fatal"), (404, "fatal"), (301, "fatal"),
    ],
)  # fmt: skip
def test_kinds(status: int, kind: str) -> None:
    assert kind_of(status) == kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None), ("", None), ("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header) == seconds
