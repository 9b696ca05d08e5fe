"""Cases and answers packed for the report's case browser: short keys, indexes instead of texts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.report import wording
from tuneval.report.escape import embedded_json
from tuneval.report.view import View
from tuneval.types import COLUMN_NAMES, OWN, Case, Prediction, RunResult

MOST_TEXT_BYTES = 20 * 2**20
SHOWN_PROBABILITIES = 3


@dataclass(frozen=True, slots=True)
class CaseData:
    """JSON for the page, safe inside a ``script`` element, and how much of the run it holds."""

    json: str
    n_kept: int
    n_all: int


def pack(
    result: RunResult, css: Mapping[str, str], *, most_text_bytes: int = MOST_TEXT_BYTES
) -> CaseData:
    """Pack all cases, or flips, failures and an even choice of the rest where texts are too long."""
    cases = [(number, case) for number, s in enumerate(result.case_sets) for case in s.cases]
    kept = _kept(result, [case for _, case in cases], most_text_bytes)
    position = {cases[index][1].id: place for place, index in enumerate(kept)}
    labels = list(dict.fromkeys(label for s in result.case_sets for label in s.labels or ()))
    label_index = {label: index for index, label in enumerate(labels)}
    groups: dict[str, list[str]] = {}
    kinds: list[str] = []
    rows = []
    for index in kept:
        number, case = cases[index]
        if case.perturbation and case.perturbation not in kinds:
            kinds.append(case.perturbation)
        rows.append(_case(case, number, label_index, groups, kinds))
    view = View.of(result)
    head, prompts, places = _prompts(result, kept)
    content = {
        "head": head,
        "prompts": prompts,
        "asked": places,
        "labels": labels,
        "sets": [case_set.name for case_set in result.case_sets],
        "graded": _graded(result),
        "groups": groups,
        "kinds": kinds,
        "arms": [
            {"name": arm.name, "css": css[arm.name], "variants": [v.name for v in arm.variants]}
            for arm in view.arms
        ],
        "pairs": [
            {
                "baseline": flips.baseline,
                "candidate": flips.candidate,
                "fixed": [position[case] for case in flips.fixed if case in position],
                "broken": [position[case] for case in flips.broken if case in position],
            }
            for flips in result.flips
        ],
        "cases": rows,
        "answers": {
            variant.name: _answers(result, variant.name, kept, label_index)
            for arm in view.arms
            for variant in arm.variants
            if variant.name in result.predictions
        },
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return CaseData(embedded_json(text), len(kept), len(cases))


def _prompts(
    result: RunResult, kept: Sequence[int]
) -> tuple[str, list[list[Any]], dict[str, list[int | None]]]:
    """What all prompts begin with, the rest of each distinct one, and its place by variant.

    A prompt is [text, continuation, tokens cut, place of the cut].
    """
    used = {
        variant: [places[index] if index < len(places) else None for index in kept]
        for variant, places in result.prompt_places.items()
    }
    numbers = sorted({place for places in used.values() for place in places if place is not None})
    renumbered: dict[int | None, int | None] = {old: new for new, old in enumerate(numbers)}
    shown = [result.prompts[number] for number in numbers]
    head = _beginning([one.text for one in shown])
    rows = [
        _trimmed([one.text[len(head) :], one.continuation, one.n_cut or None, one.cut_at])
        for one in shown
    ]
    places = {name: [renumbered.get(one) for one in own] for name, own in used.items()}
    return head, rows, places


def _beginning(texts: Sequence[str]) -> str:
    """What all of several texts begin with: examples and system text need to be held once."""
    if len(texts) < 2:
        return ""
    least, most = min(texts), max(texts)
    pairs = enumerate(zip(least, most, strict=False))
    return least[: next((n for n, (a, b) in pairs if a != b), len(least))]


def _graded(result: RunResult) -> list[bool]:
    """For each case set, whether a case's score is more than right or wrong."""
    found, start = [], 0
    for case_set in result.case_sets:
        end = start + len(case_set.cases)
        values = {score for scores in result.case_scores.values() for score in scores[start:end]}
        metric = result.primary_metrics.get(case_set.name)
        is_loss = any(
            score.case_set == case_set.name
            and score.metric == metric
            and not score.higher_is_better
            for score in result.scores
        )
        found.append(is_loss or not values <= {0, 1, None})
        start = end
    return found


def _case(
    case: Case,
    number: int,
    labels: Mapping[str, int],
    groups: dict[str, list[str]],
    kinds: Sequence[str],
) -> list[Any]:
    """[id, text, references, case set, perturbation, groups, other inputs]."""
    text = wording.main_text(case)
    others = {
        key.removeprefix(OWN): shown
        for key, value in case.inputs.items()
        if key != COLUMN_NAMES and (shown := wording.input_text(value)) != text
    }
    places: dict[int, int] = {}
    for key, value in case.groups.items():
        values = groups.setdefault(key, [])
        if value not in values:
            values.append(value)
        places[list(groups).index(key)] = values.index(value)
    row = [
        case.id,
        text,
        [labels.get(reference, reference) for reference in case.references],
        number,
        kinds.index(case.perturbation) if case.perturbation else None,
        [places.get(index) for index in range(len(groups))],
        others or None,
    ]
    return _trimmed(row)


def _answers(
    result: RunResult, variant: str, kept: Sequence[int], labels: Mapping[str, int]
) -> list[list[Any]]:
    predictions = result.predictions[variant]
    scores = result.case_scores.get(variant, ())
    return [
        _answer(predictions[i], scores[i] if i < len(scores) else None, labels)
        for i in kept
        if i < len(predictions)
    ]


def _answer(prediction: Prediction, score: float | None, labels: Mapping[str, int]) -> list[Any]:
    """[shown, score, probabilities, problem, text, loss]: label as its index, per mille."""
    text = prediction.text
    if text is None and prediction.completions:
        text = prediction.completions[0]
    shown = prediction.label if prediction.label is not None else text
    row = [
        None if shown is None else labels.get(shown, shown),
        _rounded(score),
        _probabilities(prediction.label_probabilities, labels),
        prediction.problem,
        text if text != shown else None,
        None if prediction.label_probabilities else _rounded(prediction.nll),
    ]
    return _trimmed(row)


def _probabilities(
    probabilities: Mapping[str, float] | None, labels: Mapping[str, int]
) -> list[Any] | None:
    """Label and per mille, alternating, of the most probable labels."""
    if not probabilities:
        return None
    finite = [(label, p) for label, p in probabilities.items() if math.isfinite(p)]
    best = sorted(finite, key=lambda entry: -entry[1])[:SHOWN_PROBABILITIES]
    return [part for label, p in best for part in (labels.get(label, label), round(p * 1000))]


def _rounded(value: float | None) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else round(value, 3)


def _trimmed(row: list[Any]) -> list[Any]:
    while row and row[-1] is None:
        row.pop()
    return row


def _kept(result: RunResult, cases: Sequence[Case], most_text_bytes: int) -> list[int]:
    n_shared = len(_beginning([one.text for one in result.prompts]))
    sizes = [_size(result, index, case, n_shared) for index, case in enumerate(cases)]
    if sum(sizes) <= most_text_bytes:
        return list(range(len(cases)))
    wanted = {case for flips in result.flips for case in (*flips.fixed, *flips.broken)}
    telling = [i for i, case in enumerate(cases) if case.id in wanted or _failed(result, i)]
    chosen = set(telling)
    rest = [i for i in range(len(cases)) if i not in chosen]
    kept, used = [], 0
    for index in (*telling, *_spread(rest)):
        if used + sizes[index] <= most_text_bytes:
            kept.append(index)
            used += sizes[index]
    return sorted(kept)


def _size(result: RunResult, index: int, case: Case, n_shared: int) -> int:
    """Bytes of a case's texts; what all prompts begin with is held once."""
    texts = [str(value) for value in case.inputs.values()]
    for answers in result.predictions.values():
        if index < len(answers):
            texts += [answers[index].text or "", *answers[index].completions[:1]]
    asked = {own[index] for own in result.prompt_places.values() if index < len(own)}
    texts += [result.prompts[place].text[n_shared:] for place in asked if place is not None]
    return sum(len(text.encode("utf-8", "replace")) for text in texts)


def _failed(result: RunResult, index: int) -> bool:
    """Unreadable for one variant, or wrong for all."""
    answers = [a[index] for a in result.predictions.values() if index < len(a)]
    scores = [s[index] for s in result.case_scores.values() if index < len(s)]
    unreadable = any(answer.problem for answer in answers)
    return unreadable or (bool(scores) and all(score == 0 for score in scores))


def _spread(indexes: Sequence[int], parts: int = 64) -> list[int]:
    """The same indexes, so ordered that any beginning of the list is spread over all of them."""
    return [index for start in range(parts) for index in indexes[start::parts]]
