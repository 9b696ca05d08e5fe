"""``predictions.jsonl``: one line per case and variant, to be opened by other tools.

``prompts.jsonl`` beside it holds the texts that were sent; a line here names its own by number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain, repeat

from tuneval.report import wording
from tuneval.report.escape import json_text
from tuneval.types import RunResult

_ENCODER = json.JSONEncoder(ensure_ascii=False)


def render(result: RunResult) -> str:
    """Write every prediction beside its case; undefined numbers are null."""
    return "".join(f"{json_text(_ENCODER.encode(row))}\n" for row in _rows(result))


def render_prompts(result: RunResult) -> str:
    """Write every distinct prompt once, under the number that ``predictions.jsonl`` names."""
    rows = (
        {
            "prompt": number,
            "text": one.text,
            "continuation": one.continuation,
            "n_cut": one.n_cut,
            "cut_at": one.cut_at,
        }
        for number, one in enumerate(result.prompts)
    )
    return "".join(f"{json_text(_ENCODER.encode(row))}\n" for row in rows)


def _rows(result: RunResult) -> Iterator[dict[str, object]]:
    cases = [
        (case_set, case, wording.main_text(case))
        for case_set in result.case_sets
        for case in case_set.cases
    ]
    for variant, predictions in result.predictions.items():
        scores = result.case_scores.get(variant, (None,) * len(cases))
        # Cases that were asked later than the first lap have no prompt to name.
        places = chain(result.prompt_places.get(variant, ()), repeat(None))
        for (case_set, case, text), prediction, score in zip(
            cases, predictions, scores, strict=True
        ):
            yield {
                "case_id": case.id,
                "variant": variant,
                "case_set": case_set.name,
                "input": text,
                "references": case.references,
                "text": prediction.text,
                "label": prediction.label,
                "label_probabilities": prediction.label_probabilities
                and {
                    label: _finite(probability)
                    for label, probability in prediction.label_probabilities.items()
                },
                "completions": prediction.completions,
                "nll": _finite(prediction.nll),
                "n_tokens": prediction.n_tokens,
                "metric": result.primary_metrics.get(case_set.name),
                "score": _finite(score),
                "problem": prediction.problem,
                "groups": dict(case.groups),
                "perturbation": case.perturbation,
                "origin": case.origin,
                "prompt": next(places),
            }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
