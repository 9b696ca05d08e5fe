"""Cases and answers packed for the report's case browser: short keys, indexes instead of texts,
compressed; a browser unpacks them by itself (``templates/js/data.js``)."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.report import findings, wording
from tuneval.report.escape import well_formed
from tuneval.report.view import View
from tuneval.types import COLUMN_NAMES, OWN, Case, Prediction, RunResult

MOST_TEXT_BYTES = 48 * 2**20
SHOWN_PROBABILITIES = 3


ANSWER_WAS_CUT = 1
PROMPT_WAS_CUT = 2
MOST_TOKEN_LOSSES = 2000


@dataclass(frozen=True, slots=True)
class CaseData:
    """JSON under gzip in base64, harmless inside a ``script`` element, and how much of the run it holds."""

    packed: str
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
    shapes, prompts, places = _prompts(result, kept, [case for _, case in cases])
    content = {
        "run": result.run_id,
        "all": len(cases),
        "shapes": shapes,
        "prompts": prompts,
        "asked": places,
        "labels": labels,
        "sets": [case_set.name for case_set in result.case_sets],
        "metrics": [
            wording.metric_title(result.primary_metrics.get(s.name, "")) for s in result.case_sets
        ],
        "graded": _graded(result),
        "lower": _lower_is_better(result),
        "groups": groups,
        "kinds": kinds,
        "arms": [
            {"name": arm.name, "css": css[arm.name], "variants": [v.name for v in arm.variants]}
            for arm in view.arms
        ],
        "pairs": [[flips.baseline, flips.candidate] for flips in result.flips],
        "named": _named(result, position),
        "origins": [position.get(cases[index][1].origin or "") for index in kept],
        "cases": rows,
        "answers": {
            variant.name: _answers(result, variant.name, kept, label_index)
            for arm in view.arms
            for variant in arm.variants
            if variant.name in result.predictions
        },
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # No time inside: the same run gives the same page.
    small = gzip.compress(well_formed(text).encode(), compresslevel=6, mtime=0)
    return CaseData(base64.b64encode(small).decode(), len(kept), len(cases))


def _named(result: RunResult, position: Mapping[str, int]) -> list[list[Any]]:
    """[title, cases] of every finding whose table names cases: leaked ones, for instance."""
    found: dict[str, dict[int, None]] = {}
    for finding in result.findings:
        if "case" not in finding.columns:
            continue
        column = list(finding.columns).index("case")
        cases = found.setdefault(findings.title(finding.kind), {})
        for row in finding.rows:
            if str(row[column]) in position:
                cases[position[str(row[column])]] = None
    return [[title, list(cases)] for title, cases in found.items() if cases]


def _prompts(
    result: RunResult, kept: Sequence[int], cases: Sequence[Case]
) -> tuple[list[tuple[str, str]], list[list[Any]], dict[str, list[int | None]]]:
    """What stands around the text of a case in its prompts, each distinct prompt, its place by variant.

    A prompt is [shape, text, continuation, tokens cut, place of the cut]: where it holds the case's own
    text once, the number of the shape around it and no text; else no shape and the whole text.
    """
    asking: dict[int, set[str]] = {}
    for places in result.prompt_places.values():
        for index in kept:
            if index < len(places) and (place := places[index]) is not None:
                asking.setdefault(place, set()).add(wording.main_text(cases[index]))
    numbers = {place: number for number, place in enumerate(sorted(asking))}
    shapes: dict[tuple[str, str], int] = {}
    rows = []
    for place in numbers:
        one = result.prompts[place]
        own = next(iter(asking[place]), "")
        before, found, after = one.text.partition(own) if own else ("", "", "")
        is_shaped = bool(found) and own not in after and len(asking[place]) == 1
        shape = shapes.setdefault((before, after), len(shapes)) if is_shaped else None
        text = None if is_shaped else one.text
        rows.append(_trimmed([shape, text, one.continuation, one.n_cut or None, one.cut_at]))
    asked = {
        variant: [
            numbers[place] if index < len(places) and (place := places[index]) is not None else None
            for index in kept
        ]
        for variant, places in result.prompt_places.items()
    }
    return list(shapes), rows, asked


def _lower_is_better(result: RunResult) -> list[bool]:
    """For each case set, whether less of its primary metric is better."""
    lower = {(s.case_set, s.metric) for s in result.scores if not s.higher_is_better}
    return [(s.name, result.primary_metrics.get(s.name)) in lower for s in result.case_sets]


def _beginning(texts: Sequence[str]) -> str:
    """What all of several texts begin with; it weighs nothing beside them."""
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
        found.append(not values <= {0, 1, None})
        start = end
    return [
        is_graded or is_loss
        for is_graded, is_loss in zip(found, _lower_is_better(result), strict=True)
    ]


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
    """[shown, score, probabilities, problem, text, loss, cuts, losses of its tokens]: label as its
    index, per mille; cuts are ANSWER_WAS_CUT + PROMPT_WAS_CUT."""
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
        _cuts(prediction) or None,
        _token_losses(prediction),
    ]
    return _trimmed(row)


def _cuts(prediction: Prediction) -> int:
    cut = ANSWER_WAS_CUT if "length" in prediction.finish_reasons else 0
    return cut + (PROMPT_WAS_CUT if prediction.is_truncated else 0)


def _token_losses(prediction: Prediction) -> list[float | int | None] | None:
    if not prediction.token_logprobs:
        return None
    return [_rounded(-value) for value in prediction.token_logprobs[:MOST_TOKEN_LOSSES]]


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
