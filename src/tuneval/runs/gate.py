"""A finished run and conditions -> what holds, what does not, and what the data cannot tell.

A condition on a number is decided by its interval, never by the number alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from tuneval.comparison.beyond.kept import kept_share
from tuneval.comparison.beyond.overfitting import FEWEST_EVALUATIONS
from tuneval.comparison.decision.forgetting import Forgot, forgetting
from tuneval.comparison.wording import gain, scale
from tuneval.plan.gates import (
    CLEAN,
    GAP,
    RATIO,
    SLICE,
    Condition,
    changes_named,
    changes_of,
    parse_conditions,
    refuse_unknown,
)
from tuneval.report import wording
from tuneval.report.view import OVERALL, Arm, View
from tuneval.runs.twins import both_sides, is_mean
from tuneval.types import CaseSet, Finding, Gate, GateOutcome, RunResult, Verdict

HOLDS, FAILS, CANNOT_TELL = 0, 1, 4
"""Exit codes of a run that was finished; docs/ci.md has the table."""

_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
_WHY: dict[GateOutcome, str] = {
    "passed": "the whole interval is inside, so it holds",
    "failed": "the whole interval is outside, so it fails",
    "cannot tell": "the interval reaches across the limit, so the data cannot tell",
}


def exit_code(result: RunResult) -> int:
    """How a run ended: 1 where units are missing or a gate failed, 4 where one cannot be told."""
    outcomes = {gate.outcome for gate in result.gates}
    if not result.is_complete or "failed" in outcomes:
        return FAILS
    return CANNOT_TELL if "cannot tell" in outcomes else HOLDS


def gates_of(result: RunResult) -> list[str]:
    """The gates that stand in the run's own run.yaml."""
    written = result.spec.get("gates")
    if not isinstance(written, Mapping):
        return []
    return [f"{subject} {condition}" for subject, condition in written.items()]


def hold(result: RunResult, texts: Sequence[str], fail_on: Sequence[str] = ()) -> RunResult:
    """Hold a run to gates and to the words of --fail-on.

    Parameters
    ----------
    texts : sequence of str
        As ``tuneval.plan.gates`` reads them.
    fail_on : sequence of str
        "worse" (which the others include), "warning", "inconclusive".

    Returns
    -------
    RunResult
        With ``gates``: one for each arm and case set that a condition speaks of.

    Raises
    ------
    ConfigError
        A gate is no condition, or names what the run does not have.
    """
    view = View.of(result)
    conditions = parse_conditions(texts)
    kinds = {arm.name: arm.kind for arm in view.arms}
    refuse_unknown(
        conditions,
        kinds,
        result.case_sets,
        {one.metric for one in result.scores},
        {one.slice for one in result.scores},
    )
    held = _Held(view)
    gates = [gate for one in conditions for gate in held.to(one)]
    words = dict.fromkeys(("worse", *fail_on)) if fail_on else {}
    gates += [held.to_verdict(word) for word in words]
    return replace(result, gates=tuple(gates))


@dataclass(frozen=True, slots=True)
class _Amount:
    """A number with its interval, in shown units, and how a sentence speaks of it."""

    what: str
    value: float
    low: float
    high: float
    n_cases: int
    digits: int
    noun: str = ""
    is_signed: bool = False
    is_share: bool = False

    def shown(self, value: float) -> str:
        return f"{value:{'+' if self.is_signed else ''}.{self.digits}f}"


@dataclass(frozen=True, slots=True)
class _Held:
    view: View

    def to(self, condition: Condition) -> Iterator[Gate]:
        """One gate for each arm that the condition speaks of, and for each case set."""
        if condition.sign == "none":
            yield self._without(condition)
            return
        amounts: list[_Amount] = []
        for cases in self._case_sets(condition):
            if condition.subject == GAP:
                amounts += self._gaps(condition, cases)
            elif condition.subject.endswith(RATIO):
                amounts += self._ratios(condition, cases)
            else:
                amounts += [self._amount(condition, cases, arm) for arm in self._arms(condition)]
        yield from (_decide(condition, amount) for amount in amounts)
        if not amounts:
            yield Gate(condition.text, "cannot tell", "The run holds no such number.")

    def to_verdict(self, word: str) -> Gate:
        """What --fail-on asks of the verdicts against the baseline."""
        result, name = self.view.result, f"fail on {word}"
        kinds = {arm.name: arm.kind for arm in self.view.arms}
        verdicts = [
            one
            for one in result.verdicts
            if {kinds.get(one.baseline), kinds.get(one.candidate)} != {"adapter", "full"}
        ]
        if word == "worse":
            found = _worse(result, verdicts)
            return Gate(name, "failed" if found else "passed", found or "Nothing became worse.")
        if word == "warning":
            warned = [text for one in result.verdicts for text in one.warnings]
            if not result.verdicts:  # else they are warnings of the verdicts
                warned = [one.sentence for one in result.findings if one.level == "warning"]
            return _absent(name, warned, [], "There is no warning.")
        open_ = [
            f"{one.candidate}: {_reason(one)}" for one in verdicts if one.decision == "undecided"
        ]
        if not verdicts:
            open_ = ["Nothing was compared."]
        return _absent(name, [], open_, "The data decide every comparison with the baseline.")

    def _without(self, condition: Condition) -> Gate:
        arms = self._arms(condition)
        names = {name for arm in arms for name in _names(arm)}
        result = self.view.result
        verdicts = [one for one in result.verdicts if one.candidate in names]
        bad: list[str]
        unclear: list[str] = []
        if condition.subject == "brittle":
            found = [
                one for one in result.findings if one.kind == "robustness" and one.variant in names
            ]
            bad = [one.sentence for one in found if one.flag == "BRITTLE"]
            unclear = [one.sentence for one in found if one.level == "unclear"]
        elif condition.subject == "overfit":
            curves = [one for one in result.learning_curves if one.variant in names]
            bad = [one.finding for one in curves if one.is_overfitted]
            short = [one for one in curves if len(one.log.validation_loss) < FEWEST_EVALUATIONS]
            unclear = [one.finding for one in short] if curves else ["There is no training log."]
        elif condition.subject == "forgot":
            read = self._guards(arms)
            bad = [text for kept, text in read if kept == "forgot"]
            unclear = [text for kept, text in read if kept == "unclear"]
            unclear = unclear if read else ["No guard was run: nothing says what was forgotten."]
        elif condition.subject == "invalid":
            bad = [_invalid(result)] if result.headline == "INVALID" else []
        else:
            bad = [text for one in verdicts for text in one.warnings]
        return _absent(condition.text, bad, unclear, "Nothing of the kind was found.")

    def _guards(self, arms: Sequence[Arm]) -> list[tuple[Forgot, str]]:
        """What each guard says of each arm against the baseline."""
        found = []
        for cases in self.view.result.case_sets:
            if not cases.is_guard or self._baseline is None:
                continue
            metric = self.view.primary(cases.name)
            for arm in arms:
                one = self.view.comparison(cases.name, metric, (self._baseline.name, arm.name))
                if one is not None:
                    kept, text = forgetting(one, cases.name, metric)
                    found.append((kept, f"{arm.name}: {text}"))
        return found

    def _arms(self, condition: Condition) -> list[Arm]:
        """Those that are named; else what was tuned: the adapters, else all but the baseline."""
        named = [arm for arm in self.view.arms if arm.name in condition.at]
        if named:
            return named
        baseline = self._baseline
        tuned = [arm for arm in self.view.arms if arm != baseline and arm.kind != "majority"]
        adapters = [arm for arm in tuned if arm.kind == "adapter"]
        return adapters or tuned or list(self.view.arms)

    def _case_sets(self, condition: Condition) -> list[CaseSet]:
        """Those that are named; else those that decide and have what the gate is about."""
        every = self.view.result.case_sets
        named = [cases for cases in every if cases.name in condition.at]
        if named:
            return named
        measured = {one.case_set for one in self.view.result.scores}  # prompts alone have no score
        decisive = [cases for cases in every if cases.is_decisive and cases.name in measured]
        decisive = decisive or list(every)
        if condition.subject.startswith(SLICE):
            part = _slice(condition)
            scored = {one.case_set for one in self.view.result.scores if one.slice == part}
            return [one for one in decisive if one.name in scored or _count(one, part)]
        if condition.subject == GAP:
            return decisive
        if condition.subject.endswith(RATIO):
            return [one for one in decisive if changes_named(condition.subject, changes_of([one]))]
        return [cases for cases in decisive if condition.subject in self.view.metrics(cases.name)]

    @property
    def _baseline(self) -> Arm | None:
        name = self.view.result.spec.get("baseline")
        named = [arm for arm in self.view.arms if name in _names(arm)]
        return named[0] if named else self.view.base

    def _amount(self, condition: Condition, cases: CaseSet, arm: Arm) -> _Amount:
        part = _slice(condition)
        metric = condition.subject if part == OVERALL else self.view.primary(cases.name)
        what = f"{arm.name}: {wording.metric_title(metric)}"
        what += f" on {wording.slice_title(part)}" if part != OVERALL else ""
        what += f" of {cases.name}" if len(self.view.result.case_sets) > 1 else ""
        if condition.reference:
            return self._difference(condition, cases, arm, metric, part, what)
        score = self.view.score(cases.name, metric, arm, part)
        if score is None:
            return _Amount(what, *(_NAN,) * 3, _count(cases, part), 1, is_share=True)
        unit = scale(score.unit)
        low, high = (score.interval.low, score.interval.high) if score.interval else (_NAN, _NAN)
        return _Amount(
            what,
            unit.factor * score.value,
            unit.factor * low,
            unit.factor * high,
            score.n_cases,
            unit.digits,
            is_share=score.unit == "share",
        )

    def _difference(
        self, condition: Condition, cases: CaseSet, arm: Arm, metric: str, part: str, what: str
    ) -> _Amount:
        """The arm minus its reference, in the direction of the metric itself."""
        reference = condition.reference
        if reference == "base" and self._baseline is not None:
            reference = self._baseline.name
        other = arm.name if reference == CLEAN else reference
        shown = "its clean inputs" if reference == CLEAN else reference
        what += f" minus that of {shown}"
        sign, found = 1.0, self.view.comparison(cases.name, metric, (other, arm.name), part)
        if found is None:
            sign, found = -1.0, self.view.comparison(cases.name, metric, (arm.name, other), part)
        if found is None:
            return _Amount(what, *(_NAN,) * 3, _count(cases, part), 1, is_signed=True)
        unit = scale(found.unit)
        bounds = (found.interval.low, found.interval.high) if found.interval else (_NAN, _NAN)
        low, high = sorted(sign * unit.factor * one for one in bounds)
        value = sign * unit.factor * found.difference
        return _Amount(what, value, low, high, found.n_cases, unit.digits, unit.noun, True)

    def _gaps(self, condition: Condition, cases: CaseSet) -> Iterator[_Amount]:
        """Full fine-tune minus adapter, positive where the full fine-tune is better."""
        fulls = [arm for arm in self.view.arms if arm.kind == "full"]
        metric = self.view.primary(cases.name)
        for adapter in [arm for arm in self._arms(condition) if arm.kind == "adapter"]:
            for full in fulls:
                pair = (adapter.name, full.name)
                found = self.view.comparison(cases.name, metric, pair)
                is_turned = found is None
                found = found or self.view.comparison(cases.name, metric, (full.name, adapter.name))
                if found is None:
                    continue
                g = gain(found, of_baseline=is_turned)
                what = f"{adapter.name}: its gap to {full.name}"
                yield _Amount(
                    what, g.value, g.low, g.high, found.n_cases, g.scale.digits, g.scale.noun
                )

    def _ratios(self, condition: Condition, cases: CaseSet) -> Iterator[_Amount]:
        """The share of its clean score that each arm keeps under each kind of change."""
        metric = self.view.primary(cases.name)
        for kind in changes_named(condition.subject, changes_of([cases])):
            for arm in self._arms(condition):
                what = f"{arm.name}: the share of its clean {wording.metric_title(metric)} kept under {kind}"
                scored = self.view.score(cases.name, metric, arm)
                pair = both_sides(self.view.result, cases, arm, kind)
                ends, n = (_NAN,) * 3, pair.clean.shape[1]
                if n and scored is not None and is_mean(self.view.result, cases, arm, scored.value):
                    less, more = pair.clean, pair.changed
                    if not scored.higher_is_better:
                        less, more = more, less
                    ends = kept_share(less, more, pair.codes)
                value, low, high = (100 * end for end in ends)
                yield _Amount(what, value, low, high, n, 1, "%", is_share=True)


_NAN = float("nan")


def _decide(condition: Condition, amount: _Amount) -> Gate:
    limit = _limit(condition, amount)
    wanted = f"wanted {condition.sign} {amount.shown(limit)}"
    if not (isfinite(amount.low) and isfinite(amount.high)):
        known = f" is {amount.shown(amount.value)}" if isfinite(amount.value) else ""
        return Gate(
            condition.text,
            "cannot tell",
            f"{amount.what}{known}, {wanted}: there is no interval (n={amount.n_cases}), so the "
            "data cannot tell.",
            amount.what,
        )
    is_inside = _SIGNS[condition.sign]
    ends = {is_inside(end, limit) for end in (amount.low, amount.high)}
    outcome: GateOutcome = (
        "cannot tell" if len(ends) == 2 else "passed" if ends == {True} else "failed"
    )
    sentence = (
        f"{amount.what} is {amount.shown(amount.value)}{amount.noun} "
        f"({amount.shown(amount.low)} to {amount.shown(amount.high)}, n={amount.n_cases:,}), "
        f"{wanted}: {_WHY[outcome]}."
    )
    return Gate(condition.text, outcome, sentence, amount.what)


def _limit(condition: Condition, amount: _Amount) -> float:
    """In shown units: a share may be written as 0.90, 90% or 90."""
    if amount.is_share and not condition.is_percent and abs(condition.number) <= 1:
        return 100 * condition.number
    return condition.number


def _absent(name: str, bad: Sequence[str], unclear: Sequence[str], otherwise: str) -> Gate:
    found = list(dict.fromkeys(bad)) or list(dict.fromkeys(unclear))
    outcome: GateOutcome = "failed" if bad else "cannot tell" if unclear else "passed"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Gate(name, outcome, f"{found[0]}{more}" if found else otherwise)


def _worse(result: RunResult, verdicts: Sequence[Verdict]) -> str:
    """The sentence of what became worse; "" where nothing did."""
    if result.headline == "INVALID":
        return _invalid(result)
    worse = [one for one in verdicts if one.headline in ("WORSE", "MIXED")]
    return f"{worse[0].candidate}: {_reason(worse[0])}" if worse else ""


def _invalid(result: RunResult) -> str:
    warned: list[Finding] = [one for one in result.findings if one.flag == "INVALID"]
    said = [one.sentence for one in warned] + [w for one in result.verdicts for w in one.warnings]
    return said[0] if said else "The run is invalid."


def _reason(verdict: Verdict) -> str:
    return verdict.reasons[0] if verdict.reasons else verdict.headline


def _names(arm: Arm) -> tuple[str, ...]:
    return (arm.name, *(one.name for one in arm.variants))


def _slice(condition: Condition) -> str:
    is_slice = condition.subject.startswith(SLICE)
    return condition.subject.removeprefix(SLICE) if is_slice else OVERALL


def _count(cases: CaseSet, name: str) -> int:
    """Cases of a slice, also of one that was too small to be scored."""
    if name == OVERALL:
        return sum(case.origin is None for case in cases.cases)
    attribute, equals, value = name.partition("=")
    return sum(
        case.perturbation == name
        or (bool(equals) and case.origin is None and case.groups.get(attribute) == value)
        for case in cases.cases
    )
