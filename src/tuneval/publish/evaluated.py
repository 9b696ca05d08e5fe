"""The section of a model card that says how the model was evaluated, to be read and pasted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tuneval.report import wording
from tuneval.report.escape import markdown as escape
from tuneval.report.view import Arm, View
from tuneval.types import Comparison, Score, Verdict


def section(view: View, arm: Arm) -> str:
    """Verdict, table of scores beside the baseline, data, and what makes the numbers comparable."""
    result = view.result
    verdicts = [one for one in result.verdicts if one.candidate in _names(arm)]
    baseline = verdicts[0].baseline if verdicts else ""
    lines = ["## How it was evaluated", ""]
    lines += [f"- {escape(sentence)}" for one in verdicts for sentence in _sentences(one)]
    if not result.is_complete:
        lines.append("- Some answers are missing: these numbers are not final.")
    lines += ["", *_table(view, arm, baseline), ""]
    legend = wording.star_legend(one for one in result.comparisons if one.slice == "all")
    lines += [*([f"{escape('; '.join(legend))}.", ""] if legend else []), *_data(view), ""]
    lines.append(
        f"Paired comparison by tuneval {escape(result.tuneval_version)}, {escape(result.created)}, run "
        f"{escape(result.run_id)}; the same cases and prompts for all. 95% intervals unless said "
        "otherwise."
        + (f" Number of training seeds: {len(arm.variants)}." if len(arm.variants) > 1 else "")
    )
    return "\n".join(lines)


def _names(arm: Arm) -> set[str]:
    return {arm.name, *(one.name for one in arm.variants)}


def _sentences(verdict: Verdict) -> Iterator[str]:
    yield from verdict.reasons
    yield from verdict.warnings


def _table(view: View, arm: Arm, baseline: str) -> Iterator[str]:
    base = next((one for one in view.arms if baseline in _names(one)), None)
    titles = ["data", "metric", *([base.title] if base else []), arm.title]
    titles += ["difference"] if base else []
    yield _row(map(escape, titles))
    yield _row([":--", ":--", *["--:"] * (len(titles) - 2)])
    for case_set in view.result.case_sets:
        for metric in view.metrics(case_set.name):
            cells = [escape(case_set.name), escape(wording.metric_title(metric))]
            if base:
                cells.append(_value(view.score(case_set.name, metric, base)))
            cells.append(_value(view.score(case_set.name, metric, arm)))
            if base:
                cells.append(
                    _difference(view.comparison(case_set.name, metric, (base.name, arm.name)))
                )
            yield _row(cells)


def _data(view: View) -> Iterator[str]:
    for case_set in view.result.case_sets:
        n = sum(case.origin is None for case in case_set.cases)
        what = "guard, " if case_set.is_guard else ""
        digest = f", sha256 {case_set.sha256[:16]}" if case_set.sha256 else ""
        mark = f"; {escape(case_set.signature)}" if case_set.signature else ""
        yield f"- {escape(case_set.name)}: {what}{wording.count(n)} cases{digest}{mark}"


def _value(score: Score | None) -> str:
    if score is None:
        return ""
    span = wording.interval(score.interval, score.unit)
    return wording.number(score.value, score.unit) + (f" ({span})" if span else "")


def _difference(found: Comparison | None) -> str:
    if found is None:
        return ""
    span = wording.signed_interval(found.interval, found.unit)
    return escape(wording.starred(found)) + (f" ({span})" if span else "")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
