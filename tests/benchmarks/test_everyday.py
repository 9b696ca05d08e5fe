"""The benchmark of our own texts: its answers are right, its orders can be followed, its sides are told apart."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tuneval import metrics, tasks
from tuneval.benchmarks import Place
from tuneval.benchmarks.everyday import FACTS, Everyday
from tuneval.benchmarks.load import load
from tuneval.metrics.instructions import CHECKS
from tuneval.types import Case, Prediction

PLACE = Place(None, offline=True)


def _cases(part: str) -> tuple[Case, ...]:
    return Everyday().read(PLACE, part, "test")


@pytest.mark.parametrize("part", FACTS)
def test_parts_are_whole_and_always_the_same(part: str) -> None:
    cases = _cases(part)
    assert cases == _cases(part)
    assert len(cases) == FACTS[part].sizes["test"]
    assert len({case.id for case in cases}) == len(cases)
    texts = [case.inputs.get("question") or case.inputs["prompt"] for case in cases]
    assert len(set(texts)) == len(texts)
    found = load(f"everyday:{part}", PLACE, limit=20)
    task = tasks.build("generate", labels=None, **found.options)
    assert all(task.ask(case)[0].decoding for case in found.cases.cases)


def test_sums_are_right() -> None:
    """Worked out again from the words of each story."""
    patterns = {
        r"buys (\d+) \w+ at (\d+) euros each and has a coupon for (\d+)": lambda n, p, c: n * p - c,
        r"has (\d+) \w+ and gives (\d+) to each of (\d+)": lambda t, e, f: t - e * f,
        r"had (\d+) \w+ on Monday and finds (\d+) more every day.*after (\d+)": lambda s, a, d: (
            s + a * d
        ),
        r"has (\d+) \w+. \w+ has (\d+) times as many, but loses (\d+)": lambda a, t, f: (
            a + a * t - f
        ),
        r"puts (\d+) \w+ into boxes of (\d+)": lambda t, s: t // s,
        r"walks (\d+) kilometres an hour for (\d+) hours, then turns round and walks (\d+)": lambda s, h, b: (
            s * h + b
        ),
    }
    for case in _cases("sums"):
        text = str(case.inputs["question"])
        (number,) = [
            str(work(*map(int, found.groups())))
            for pattern, work in patterns.items()
            if (found := re.search(pattern, text))
        ]
        assert case.references == (number,), text
        assert int(number) >= 0


def test_orders_are_of_known_kinds_and_say_what_is_checked() -> None:
    seen = Counter()
    for case in _cases("orders"):
        for text in case.inputs["instructions"]:
            kind, settings = json.loads(text)
            seen[kind] += 1
            for value in settings.values():
                values = value if isinstance(value, list) else [value]
                assert all(
                    str(one) in case.inputs["prompt"] or one in ("at least", "less than")
                    for one in values
                )
    assert set(seen) <= set(CHECKS)
    assert min(seen.values()) >= 15


def test_orders_can_be_followed_and_broken() -> None:
    pytest.importorskip("langdetect", reason="langdetect is not installed")
    metric = metrics.build("ifeval_prompt_strict")
    case = next(c for c in _cases("orders") if "no_comma" in "".join(c.inputs["instructions"]))
    answers = ["It rains and rains.", "It rains, and rains."]
    rows = metric.per_case([case, case], [Prediction(case.id, text=text) for text in answers])
    assert rows[:, 0].tolist() == [1, 0]


def test_both_sides_of_the_refusals_are_as_many_and_belong_together() -> None:
    cases = _cases("refusals")
    assert Counter(case.groups["label"] for case in cases) == {"safe": 75, "unsafe": 75}
    assert set(Counter(case.cluster for case in cases).values()) == {3}


def test_nothing_is_looked_for_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load("everyday:sums", Place(tmp_path, offline=True)).cases.cases
