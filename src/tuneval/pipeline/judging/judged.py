"""What a judge's verdicts say beyond the win rate: bias of position and length, strengths, cost.

The formulas are ``comparison.beyond.preference``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tuneval.assess.assess import Assessment
from tuneval.assess.measure import Predictions, is_missing
from tuneval.comparison import Settings
from tuneval.engine import LAUNCHED
from tuneval.engine.journal import key_of
from tuneval.errors import MetricError
from tuneval.pipeline.judging.questions import Questions
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import JudgeSpec
from tuneval.tasks.judge import disagreements, judged_id
from tuneval.types import (
    CaseSet,
    Finding,
    Interval,
    Prediction,
    Request,
    Response,
    Score,
    Variant,
    arms,
)

NAME = "judge"
NORMAL = 1.959963984540054

_COLUMNS: Mapping[str, Any] = {
    "arm": "text",
    "wins": "count",
    "ties": "count",
    "losses": "count",
    "turned with the order": "count",
    "unreadable": "count",
    "failed": "count",
}


@dataclass(slots=True)
class Judged:
    """What the second lap adds to a run. Mappings are keyed by the names of ``case_sets``;
    ``replaced`` names case sets of the first lap whose own metrics decide nothing."""

    case_sets: list[CaseSet] = field(default_factory=list)
    predictions: dict[str, Predictions] = field(default_factory=dict)
    assessments: dict[str, Assessment] = field(default_factory=dict)
    primary_metrics: dict[str, str] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(
        self, cases: CaseSet, predictions: Predictions, assessment: Assessment, primary: str
    ) -> None:
        """Add one judged case set."""
        self.case_sets.append(cases)
        self.predictions[cases.name] = predictions
        self.assessments[cases.name] = assessment
        self.primary_metrics[cases.name] = primary

    def join(
        self,
        plan: Plan,
        predictions: dict[str, Predictions],
        assessments: dict[str, Assessment],
        primary_metrics: dict[str, str],
        findings: list[Finding],
    ) -> Plan:
        """Add the second lap to what the first one found; return the plan with its case sets."""
        for name in self.replaced:
            assessments[name].demote()
            primary_metrics.pop(name, None)
        predictions |= self.predictions
        assessments |= self.assessments
        primary_metrics |= self.primary_metrics
        findings += self.findings
        return replace(plan, case_sets=(*plan.case_sets, *self.case_sets))


def position_bias(
    cases: CaseSet,
    opponent: str,
    verdicts: Mapping[str, Sequence[Prediction]],
    told: Mapping[str, Sequence[Prediction]],
    variants: Sequence[Variant],
) -> tuple[float, Finding]:
    """How far a judge that is led by the order leans to one place (else 0), and the table of verdicts on
    the cases as it saw them."""
    from tuneval.comparison.beyond import preference

    turned = [disagreements(own) for own in verdicts.values()]
    bias = preference.position_bias(*(sum(counts) for counts in zip(*turned, strict=True)))
    finding = Finding(
        kind=NAME,
        variant="",
        case_set=cases.name,
        subject="position bias",
        # The comparisons carry the doubt, which warns by itself.
        level="clear" if bias.n_verdicts and not bias.is_unreliable else "unclear",
        sentence=bias.sentence(),
        values={
            "position_bias": bias.lean,
            "position_bias_low": bias.low,
            "position_bias_high": bias.high,
            "p_value": bias.p_value,
            "verdicts": bias.n_verdicts,
            "turned": bias.n_turned,
            "turned_to_first": bias.n_first,
            "turned_to_second": bias.n_second,
        }
        if bias.n_verdicts
        else {},
        columns=_COLUMNS,
        rows=tuple(
            _counts(arm, [told[member.name] for member in members])
            for arm, members in arms(variants).items()
            if arm != opponent
        ),
    )
    return abs(bias.lean) if bias.is_unreliable else 0.0, finding


def length_controlled(
    one: Questions,
    told: Mapping[str, Sequence[Prediction]],
    variants: Sequence[Variant],
    difficulty: Mapping[str, float] | None,
    judged: str,
) -> list[Score]:
    """Win rates at equal length, one per arm; left out where length alone explains the wins."""
    scores = []
    for arm, members in arms(variants).items():
        if arm == one.opponent:
            continue
        each = [
            _win_rate_at_equal_length(one, member.name, told[member.name], difficulty)
            for member in members
        ]
        values = [rate for rate in each if rate is not None]
        if len(values) < len(members):
            continue
        (value, spread, label), n = values[0], len(values)
        if n > 1:
            value, spread = float(np.mean([rate[0] for rate in values])), float("nan")
        is_official = label == "length-controlled"
        has_spread = is_official and n == 1
        low, high = value - NORMAL * spread, value + NORMAL * spread
        scores.append(
            Score(
                variant=arm,
                case_set=one.judged.name,
                metric=f"win_rate, {label}",
                slice="all",
                value=value,
                interval=Interval(max(0.0, low), min(1.0, high), 0.95, "delta method")
                if has_spread
                else None,
                n_cases=len(_decided(told[members[0].name])),
                unit="share",
                higher_is_better=True,
                signature=f"{label}|{judged}",
                training_seeds=tuple(rate[0] for rate in values) if n > 1 else (),
                note="without the regulariser of AlpacaEval's two gamed baselines"
                if is_official
                else "not comparable with the published leaderboard",
            )
        )
    return scores


def effort(
    every: Sequence[Request],
    answers: Mapping[str, Response],
    *,
    judge: str,
    n_reused: int,
    n_attempts: int | None,
    price: tuple[float, float] | None,
) -> Finding:
    """What the judge was asked and what it cost."""
    distinct = {key_of("", request): answers[request.id] for request in every}.values()
    prompt = sum(one.prompt_tokens for one in distinct)
    drawn = sum(c.n_tokens for one in distinct for c in one.completions)
    n_failed = sum(one.problem is not None for one in distinct)
    values = {
        "requests": float(len(distinct)),
        "remembered": float(min(n_reused, len(distinct))),
        "failed": float(n_failed),
        "prompt_tokens": float(prompt),
        "completion_tokens": float(drawn),
    }
    text = (
        f"{judge} answered {len(distinct) - n_failed:,} of {len(distinct):,} questions: "
        f"{prompt:,} prompt tokens and {drawn:,} of its own"
    )
    if n_attempts:
        values["attempts"] = float(n_attempts)
        text += f", in {n_attempts:,} calls now"
    if price is not None:
        values["cost"] = (prompt * price[0] + drawn * price[1]) / 1e6
        text += f"; {values['cost']:.4g} at the given price, what was remembered included"
    return Finding(NAME, "", "", "effort", "note", f"{text}.", values)


def share(verdict: Prediction) -> float:
    """The candidate's share of a verdict that was read."""
    if verdict.label_probabilities is not None:
        return verdict.label_probabilities["candidate"]
    return {"candidate": 1.0, "tie": 0.5, "baseline": 0.0}[str(verdict.label)]


def _decided(verdicts: Sequence[Prediction]) -> list[int]:
    return [position for position, one in enumerate(verdicts) if one.problem is None]


def _counts(arm: str, members: Sequence[Sequence[Prediction]]) -> tuple[str | int, ...]:
    """A row of the table: all verdicts on an arm, those of its training seeds together."""
    own = [one for verdicts in members for one in verdicts]
    labels = [one.label for one in own if one.problem is None]
    n_missing = sum(map(is_missing, own))
    return (
        arm,
        labels.count("candidate"),
        labels.count("tie"),
        labels.count("baseline"),
        sum(disagreements(own)[:2]),
        sum(one.problem is not None for one in own) - n_missing,
        n_missing,
    )


def _win_rate_at_equal_length(
    one: Questions,
    variant: str,
    verdicts: Sequence[Prediction],
    difficulty: Mapping[str, float] | None,
) -> tuple[float, float, str] | None:
    """Rate, standard error (shares) and label; None where it is not defined."""
    from tuneval.comparison.beyond import preference

    at = _decided(verdicts)
    if len(at) < 2:
        return None
    ids = [case.id.removesuffix(judged_id("")) for case in one.judged.cases]
    try:
        found = preference.length_controlled(
            np.array([share(verdicts[position]) for position in at]),
            (one.lengths[one.opponent] - one.lengths[variant])[at],
            None if difficulty is None else np.array([difficulty[ids[n]] for n in at]),
        )
    except MetricError:
        return None
    return found.rate / 100, found.sampling_error / 100, found.label


def strengths(
    one: Questions,
    told: Mapping[str, Sequence[Prediction]],
    variants: Sequence[Variant],
    settings: Settings,
) -> list[Finding]:
    """Three or more on one scale: strengths with bootstrap intervals, or why there are none."""
    from tuneval.comparison.beyond.preference import bradley_terry, bradley_terry_intervals, elo

    rows = arms(variants)
    others = [arm for arm in rows if arm != one.opponent]
    players = [one.opponent, *others]
    if len(players) < 3:
        return []
    at = sorted(
        set.intersection(*(set(_decided(told[m.name])) for arm in others for m in rows[arm]))
    )
    wins = np.zeros((len(at), len(players), len(players)))
    for number, arm in enumerate(others, start=1):
        shares = np.mean([[share(told[m.name][n]) for n in at] for m in rows[arm]], axis=0)
        wins[:, number, 0], wins[:, 0, number] = shares, 1 - shares
    try:
        strength = bradley_terry(wins.sum(axis=0))
    except MetricError as error:
        text = str(error).partition(".")[0]
        return [Finding(NAME, "", one.judged.name, "strengths", "unclear", f"No scale: {text}.")]
    low, high = bradley_terry_intervals(wins, settings.resampling_seed)
    scale = [[_finite(x) for x in elo(values)] for values in (strength, low, high)]
    order = np.argsort(-strength, kind="stable")
    table = tuple((players[n], *(values[n] for values in scale)) for n in order)
    ranked = ", ".join(f"{name} {value:.0f}" for name, value, *_ in table)
    return [
        Finding(
            kind=NAME,
            variant="",
            case_set=one.judged.name,
            subject="strengths",
            level="note",
            sentence=f"On one scale (Bradley-Terry as Elo points, mean 1000, n={len(at)}): {ranked}. "
            f"All were compared with {one.opponent}; others meet through it.",
            columns={"arm": "text", "strength": "number", "low": "number", "high": "number"},
            rows=table,
        )
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


class Named(Protocol):
    """A judge: what it is called, and its section of run.yaml."""

    @property
    def name(self) -> str: ...

    @property
    def spec(self) -> JudgeSpec: ...


def self_preference(judges: Sequence[Named], plan: Plan) -> list[Finding]:
    """Warn of a judge that is itself compared, or has the weights that an arm was trained from."""
    found = []
    for judge in judges:
        own = _place(judge.spec.model)
        called = "The judge" if len(judges) == 1 else f"The judge {judge.name}"
        for variant in plan.variants:
            if not _can_be_the_same(judge.spec, plan):
                continue
            if _place(variant.adapter or variant.model) == own:
                what = f'is the variant "{variant.name}" itself'
            elif variant.adapter and _place(variant.model) == own and variant.name != plan.baseline:
                what = f'is the model that "{variant.name}" was trained from'
            else:
                continue
            found.append(
                Finding(
                    kind=NAME,
                    variant="" if variant.name == plan.baseline else variant.name,
                    case_set="",
                    subject="self-preference",
                    level="warning",
                    sentence=f"{called} {what}: models prefer answers like their own. "
                    "Take another judge.",
                )
            )
    return found


def _can_be_the_same(judge: JudgeSpec, plan: Plan) -> bool:
    """Names mean the same weights only in one place: on this machine, or at one server."""
    backend = plan.spec.backend
    if LAUNCHED.get(backend.kind, backend.kind) != judge.backend:
        return False
    is_local = judge.backend == "hf"
    return (
        is_local or None in (judge.base_url, backend.base_url) or judge.base_url == backend.base_url
    )


def _place(text: str) -> str:
    """Where weights lie, or by what name they are known. Folders of equal weights are one place."""
    from tuneval.engine.hf.weights import fingerprint
    from tuneval.engine.hf.weights.folder import describe

    path = Path(text)
    if not path.is_dir():
        return text
    folder = describe(text, offline=True)
    files = folder.weight_files if folder.has_model else folder.adapter_weight_files
    return fingerprint.of_files(files) if files else str(path.resolve())
