"""``predictions.jsonl``: one line per case and variant, to be opened by other tools.

``prompts.jsonl`` beside it holds the texts that were sent; a line here names its own by number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain, repeat

from tuneval.report import wording
from tuneval.report.escape import json_text, well_formed
from tuneval.types import RunResult


def render(result: RunResult) -> str:
    """Write every prediction beside its case; undefined numbers are null."""
    return "".join(f"{json_text(json.dumps(row, ensure_ascii=False))}\n" for row in _rows(result))


def render_prompts(result: RunResult) -> str:
    """Write every distinct prompt once, under the number that ``predictions.jsonl`` names."""
    rows = (
        {
            "prompt": number,
            "text": well_formed(one.text),
            "continuation": _text(one.continuation),
            "n_cut": one.n_cut,
            "cut_at": one.cut_at,
        }
        for number, one in enumerate(result.prompts)
    )
    return "".join(f"{json_text(json.dumps(row, ensure_ascii=False))}\n" for row in rows)


def _rows(result: RunResult) -> Iterator[dict[str, object]]:
    cases = [(case_set, case) for case_set in result.case_sets for case in case_set.cases]
    for variant, predictions in result.predictions.items():
        scores = result.case_scores.get(variant, (None,) * len(cases))
        # Cases that were asked later than the first lap have no prompt to name.
        places = chain(result.prompt_places.get(variant, ()), repeat(None))
        for (case_set, case), prediction, score in zip(cases, predictions, scores, strict=True):
            yield {
                "case_id": _text(case.id),
                "variant": _text(variant),
                "case_set": _text(case_set.name),
                "input": _text(wording.main_text(case)),
                "references": [_text(reference) for reference in case.references],
                "text": _text(prediction.text),
                "label": _text(prediction.label),
                "label_probabilities": prediction.label_probabilities
                and {
                    _text(label): _finite(probability)
                    for label, probability in prediction.label_probabilities.items()
                },
                "completions": [_text(text) for text in prediction.completions],
                "nll": _finite(prediction.nll),
                "n_tokens": prediction.n_tokens,
                "metric": result.primary_metrics.get(case_set.name),
                "score": _finite(score),
                "problem": _text(prediction.problem),
                "groups": {_text(key): _text(value) for key, value in case.groups.items()},
                "perturbation": case.perturbation,
                "origin": _text(case.origin),
                "prompt": next(places),
            }


def _text(text: str | None) -> str | None:
    return None if text is None else well_formed(text)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
