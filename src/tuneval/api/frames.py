"""Records of a finished run as rows of tables: one mapping a score, comparison, finding or answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tuneval.types import Case, Comparison, Finding, Prediction, RunResult, Score, Variant


def of_score(score: Score) -> dict[str, Any]:
    """A score as a row."""
    return {
        "variant": score.variant,
        "case_set": score.case_set,
        "metric": score.metric,
        "slice": score.slice,
        "value": score.value,
        "low": score.interval.low if score.interval else None,
        "high": score.interval.high if score.interval else None,
        "n_cases": score.n_cases,
        "unit": score.unit,
        "signature": score.signature,
    }


def of_comparison(one: Comparison) -> dict[str, Any]:
    """A comparison as a row."""
    return {
        "baseline": one.baseline,
        "candidate": one.candidate,
        "case_set": one.case_set,
        "metric": one.metric,
        "slice": one.slice,
        "difference": one.difference,
        "low": one.interval.low if one.interval else None,
        "high": one.interval.high if one.interval else None,
        "p_value": one.p_value,
        "p_adjusted": one.p_adjusted,
        "test": one.test,
        "n_cases": one.n_cases,
        "detectable_difference": one.detectable_difference,
        "unit": one.unit,
        "higher_is_better": one.higher_is_better,
        "note": one.note,
    }


def of_finding(one: Finding) -> dict[str, Any]:
    """A finding as a row; its numbers as one mapping, since every check has its own."""
    return {
        "kind": one.kind,
        "variant": one.variant,
        "case_set": one.case_set,
        "subject": one.subject,
        "level": one.level,
        "flag": one.flag,
        "sentence": one.sentence,
        "values": dict(one.values),
    }


def of_cases(result: RunResult) -> Iterator[dict[str, Any]]:
    """One row for every case and variant that answered it, in the order of the cases."""
    place = 0
    answering = [one for one in result.variants if one.name in result.predictions]
    for case_set in result.case_sets:
        for case in case_set.cases:
            for variant in answering:
                row = _case(case, case_set.name) | _variant(variant)
                yield row | _answer(result, variant.name, place) | _groups(case.groups)
            place += 1


def _case(case: Case, case_set: str) -> dict[str, Any]:
    return {
        "case_set": case_set,
        "case": case.id,
        "origin": case.origin,
        "perturbation": case.perturbation,
        "cluster": case.cluster,
        "references": case.references,
    }


def _variant(variant: Variant) -> dict[str, Any]:
    return {
        "variant": variant.name,
        "arm": variant.recipe or variant.name,
        "training_seed": variant.training_seed,
    }


def _answer(result: RunResult, variant: str, place: int) -> dict[str, Any]:
    """What the variant answered, and the value of the case set's first metric for it alone."""
    answers, scores = result.predictions[variant], result.case_scores.get(variant, ())
    found = answers[place] if place < len(answers) else Prediction("")
    probabilities = found.label_probabilities or {}
    return {
        "text": found.text,
        "label": found.label,
        "probability": probabilities.get(found.label) if found.label else None,
        "score": scores[place] if place < len(scores) else None,
        "nll": found.nll,
        "n_tokens": found.n_tokens,
        "is_truncated": found.is_truncated,
        "problem": found.problem,
    }


def _groups(groups: Mapping[str, str]) -> dict[str, str]:
    return {f"group_{name}": value for name, value in groups.items()}
