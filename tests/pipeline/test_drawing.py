"""Drawing until decided: same cases for all, few cases where the difference is large, none wasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tuneval import metrics
from tuneval.assess.assess import assess
from tuneval.assess.measure import Predictions
from tuneval.comparison import Settings
from tuneval.errors import ConfigError
from tuneval.pipeline.drawing import FIRST_CHUNK, Drawing, Walk, draw_until_decided
from tuneval.types import Case, CaseSet, Prediction, Variant

BASE, FULL = Variant("base", "base", "b"), Variant("full", "full", "f")
SETTINGS = Settings(resamples=200)


def case_set(n: int) -> CaseSet:
    cases = tuple(Case(f"t:{k}", {"text": "x"}, ("yes",)) for k in range(n))
    return CaseSet("t", "t.jsonl", "labelled text", "classify", cases, labels=("no", "yes"))


def right(name: str, case: Case, share: float) -> bool:
    seed = int(case.id.partition(":")[2].partition("~")[0])
    return bool(np.random.default_rng([seed, len(name)]).random() < share)


def walking(shares: Mapping[str, float], asked: list[str]) -> Walk:
    def walk(case_sets: Sequence[CaseSet]) -> dict[str, Predictions]:
        asked.extend(case.id for cases in case_sets for case in cases.cases)
        return {
            cases.name: {
                name: [
                    Prediction(case.id, label="yes" if right(name, case, share) else "no")
                    for case in cases.cases
                ]
                for name, share in shares.items()
            }
            for cases in case_sets
        }

    return walk


def drawing(cases: CaseSet, metric: str = "accuracy", margin: float | None = None) -> Drawing:
    chosen = metrics.build(metric, labels=cases.labels)
    return Drawing(cases, chosen, [BASE, FULL], "base", SETTINGS, margin)


def test_a_large_difference_needs_few_cases_and_keeps_its_interval() -> None:
    asked: list[str] = []
    one = drawing(case_set(3000))
    draw_until_decided([one], walking({"base": 0.5, "full": 0.9}, asked))
    assert one.n_drawn <= 400
    assert len(asked) == len(set(asked)) == one.n_drawn
    found = assess(one.drawn(), [one.metric], one.predictions(), [BASE, FULL], "base", SETTINGS)
    one.into(found)
    look = found.confirmatory[0]
    assert look.interval is not None and look.interval.method == "confidence sequence"
    assert look.interval.low > 0
    assert look.note == f"estimate from {one.n_drawn} of 3000 items"
    assert all("of 3000 items" in score.note for score in found.scores)


def test_no_difference_uses_the_whole_budget() -> None:
    asked: list[str] = []
    one = drawing(case_set(300))
    draw_until_decided([one], walking({"base": 0.5, "full": 0.5}, asked))
    assert one.n_drawn == 300
    assert sorted(asked) == sorted(case.id for case in one.cases.cases)


def test_close_enough_stops_within_the_margin() -> None:
    asked: list[str] = []
    one = drawing(case_set(20_000), margin=10)
    draw_until_decided([one], walking({"base": 1.0, "full": 1.0}, asked))
    assert one.n_drawn < 2000


def test_twins_are_drawn_with_their_originals() -> None:
    cases = case_set(400)
    twins = tuple(
        replace(case, id=f"{case.id}~typos:light", origin=case.id, perturbation="typos:light")
        for case in cases.cases
    )
    asked: list[str] = []
    one = drawing(replace(cases, cases=(*cases.cases, *twins)))
    chunk = one.next_chunk()
    assert len(chunk.cases) == 2 * FIRST_CHUNK
    assert {case.id for case in chunk.cases if case.origin is None} == {
        case.origin for case in chunk.cases if case.origin is not None
    }
    one.look(walking({"base": 0.5, "full": 0.5}, asked)([chunk])["t"])
    assert one.looks[0].n_cases == FIRST_CHUNK


def test_the_order_is_the_seeds_and_nothing_elses() -> None:
    assert drawing(case_set(50)).order == drawing(case_set(50)).order
    other = Settings(resampling_seed=1)
    again = Drawing(case_set(50), metrics.build("accuracy"), [BASE, FULL], "base", other, None)
    assert again.order != drawing(case_set(50)).order


def test_a_corpus_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match='the primary metric "f1_macro" is no mean of cases'):
        drawing(case_set(10), "f1_macro")


def test_each_pair_stops_for_itself() -> None:
    lora = Variant("lora", "adapter", "m", adapter="a")
    cases = case_set(4000)
    chosen = metrics.build("accuracy", labels=cases.labels)
    one = Drawing(cases, chosen, [BASE, lora, FULL], "base", SETTINGS, None)
    draw_until_decided([one], walking({"base": 0.4, "lora": 0.8, "full": 0.83}, []))
    sizes = {(look.baseline, look.candidate): look.n_cases for look in one.looks}
    assert sizes["base", "lora"] < 500
    assert sizes["base", "full"] < 500
    assert sizes["lora", "full"] > 1000
    (first, *_) = one.looks
    assert first.interval is not None
    assert first.interval.confidence == pytest.approx(1 - 0.05 / 3)
