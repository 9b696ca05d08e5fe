"""The second lap: a judge compares each variant's texts with one opponent's, in both orders.

The questions are ``tasks.judge``'s, the formulas ``comparison.preference``'s; verdicts are assessed
like any other predictions. Not for: asking the variants.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tuneval import metrics, registry
from tuneval.assess.assess import Assessment, assess
from tuneval.assess.measure import Predictions, is_missing
from tuneval.comparison import Settings
from tuneval.engine import BACKENDS, Backend
from tuneval.engine.answer import answer
from tuneval.engine.hf.weights.describe import describe
from tuneval.engine.journal import Journal, key_of
from tuneval.errors import BackendUnavailable, ConfigError, DataError, MetricError, VariantError
from tuneval.metrics.additive import Floats
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import CasesSpec, JudgeSpec, RunSpec
from tuneval.tasks.judge import Judge, disagreements, judge_cases
from tuneval.types import (
    Case,
    CaseSet,
    Finding,
    Interval,
    Prediction,
    Progress,
    Request,
    Response,
    Score,
    Variant,
    arms,
)

NAME = "judge"
METRICS = ("win_rate", "discrete_win_rate")
REFERENCE = "reference"
"""Opponent that is no variant: the answers that come with the cases."""

TIE = {"candidate": 0.5, "baseline": 0.5}
PROBE = Case(
    id="probe",
    inputs={"question": "What is 2 + 2?", "candidate": "4", "baseline": "5"},
)
NORMAL = 1.959963984540054

MakeBackend = Callable[[RunSpec], Backend]


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
            del primary_metrics[name]
        predictions |= self.predictions
        assessments |= self.assessments
        primary_metrics |= self.primary_metrics
        findings += self.findings
        return replace(plan, case_sets=(*plan.case_sets, *self.case_sets))


@dataclass(frozen=True, slots=True)
class Judging:
    """A judge that is ready. ``opponents``: case set -> whose answers the others are compared with;
    ``difficulty``: case set -> case id -> AlpacaEval's difficulty, where it was given."""

    spec: JudgeSpec
    judge: Variant
    backend: Backend
    task: Judge
    opponents: Mapping[str, str]
    difficulty: Mapping[str, Mapping[str, float]]

    @property
    def title(self) -> str:
        """The judge in words."""
        place = self.spec.base_url or "the server"
        return f'"{self.spec.model}"' + (f" at {place}" if self.spec.backend == "openai" else "")

    def signature(self) -> str:
        """All that can change a verdict."""
        return f"{self.task.signature()}|model:{self.spec.model}|temperature:0"

    def notes(self) -> tuple[str, ...]:
        """Who judges what, for whoever reads the report."""
        how = (
            "probabilities of the letters A and B"
            if self.task.has_probabilities
            else "a letter that it writes"
        )
        against = "; ".join(
            f"{name} against {'the references' if one == REFERENCE else one}"
            for name, one in self.opponents.items()
        )
        return (
            f"judge: {self.title}, both orders, by {how}, temperature 0, "
            f"prompt {self.task.prompt_hash}; {against}",
        )

    def look(
        self,
        plan: Plan,
        predictions: Mapping[str, Predictions],
        journal: Journal,
        progress: Progress,
        settings: Settings,
    ) -> Judged:
        """Ask the judge everything in one go, and assess its verdicts set by set."""
        laps = [
            _Lap.of(cases, predictions[cases.name], plan, self.opponents[cases.name])
            for cases in plan.case_sets
            if cases.name in self.opponents
        ]
        asked = {
            (number, variant, case.id): tuple(
                replace(request, id=f"{number}/{variant}/{request.id}")
                for request in self.task.ask(case)
            )
            for number, one in enumerate(laps)
            for variant, cases in one.questions.items()
            for case in cases
        }
        every = [request for of_case in asked.values() for request in of_case]
        reused = journal.n_reused
        answers = answer(self.backend, self.judge, every, journal, progress)
        found = Judged()
        for number, one in enumerate(laps):
            verdicts = {
                variant: [
                    self.task.read(case, [answers[r.id] for r in asked[number, variant, case.id]])
                    for case in cases
                ]
                for variant, cases in one.questions.items()
            }
            self._assess(found, one, verdicts, plan, settings)
        found.findings += [
            *_self_preference(self.spec, plan),
            self._effort(every, answers, journal.n_reused - reused),
        ]
        return found

    def close(self) -> None:
        """Let go of the judge."""
        self.backend.close()

    def _assess(
        self,
        found: Judged,
        one: _Lap,
        verdicts: Mapping[str, Sequence[Prediction]],
        plan: Plan,
        settings: Settings,
    ) -> None:
        """Add one judged case set: scores, comparisons, position bias, strengths."""
        from tuneval.comparison.beyond.preference import position_bias

        name, cases = one.judged.name, one.judged
        told = {variant.name: list(verdicts.get(variant.name, ())) for variant in plan.variants}
        if one.opponent in told:  # an answer is as good as itself
            told[one.opponent] = [_tie(case) for case in cases.cases]
        judged = f"against:{one.opponent}|{self.signature()}"
        chosen = [metrics.build(metric, judged=judged) for metric in METRICS]
        if not self.task.has_probabilities:
            chosen = chosen[:1]  # verdicts without shares are discrete already
        turned = [disagreements(own) for own in verdicts.values()]
        bias = position_bias(*(sum(counts) for counts in zip(*turned, strict=True)))
        assessment = assess(cases, chosen, told, plan.variants, plan.baseline, settings)
        rate = bias.rate if bias.n_verdicts else 0.0
        for comparisons in (assessment.confirmatory, assessment.exploratory):
            comparisons[:] = [
                replace(c, details={**c.details, "position_bias": rate}) for c in comparisons
            ]
        controlled = self._length_controlled(one, told, plan, judged)
        assessment.scores += controlled
        found.case_sets.append(cases)
        found.predictions[name] = told
        found.assessments[name] = assessment
        found.primary_metrics[name] = chosen[0].name
        if one.opponent == REFERENCE:
            found.replaced.append(one.name)
        rows = arms(plan.variants)
        found.findings.append(
            Finding(
                kind=NAME,
                variant="",
                case_set=name,
                subject="position bias",
                # The comparisons carry the doubt, which warns by itself.
                level="clear" if bias.n_verdicts and not bias.is_unreliable else "unclear",
                sentence=bias.sentence(),
                values={
                    "position_bias": bias.rate,
                    "position_bias_low": bias.low,
                    "position_bias_high": bias.high,
                    "verdicts": bias.n_verdicts,
                    "turned": bias.n_turned,
                }
                if bias.n_verdicts
                else {},
                columns=_COLUMNS,
                rows=tuple(
                    _counts(arm, [told[member.name] for member in members])
                    for arm, members in rows.items()
                    if arm != one.opponent
                ),
            )
        )
        found.findings += _strengths(one, told, rows, settings)

    def _length_controlled(
        self, one: _Lap, told: Mapping[str, Sequence[Prediction]], plan: Plan, judged: str
    ) -> list[Score]:
        """Win rates at equal length, one per arm; left out where length alone explains the wins."""
        difficulty = self.difficulty.get(one.name)
        scores = []
        for arm, members in arms(plan.variants).items():
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
            has_spread = is_official and n == 1  # the error is that of the cases' difficulties
            scores.append(
                Score(
                    variant=arm,
                    case_set=one.judged.name,
                    metric=f"win_rate, {label}",
                    slice="all",
                    value=value,
                    interval=Interval(
                        value - NORMAL * spread, value + NORMAL * spread, 0.95, "normal"
                    )
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

    def _effort(
        self, every: Sequence[Request], answers: Mapping[str, Response], n_reused: int
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
            f"The judge answered {len(distinct) - n_failed:,} of {len(distinct):,} questions: "
            f"{prompt:,} prompt tokens and {drawn:,} of its own"
        )
        attempts = getattr(getattr(self.backend, "retry", None), "n_attempts", None)
        if attempts:
            values["attempts"] = float(attempts)
            text += f", in {attempts:,} calls now"
        if self.spec.price is not None:
            values["cost"] = (prompt * self.spec.price[0] + drawn * self.spec.price[1]) / 1e6
            text += f"; {values['cost']:.4g} at the given price, what was remembered included"
        return Finding(NAME, "", "", "effort", "note", f"{text}.", values)


@dataclass(frozen=True, slots=True)
class _Lap:
    """One judged case set. ``questions``: variant -> its cases, the same ids in the same order;
    ``lengths``: variant -> characters of its answers, the opponent's among them."""

    name: str
    judged: CaseSet
    opponent: str
    questions: Mapping[str, tuple[Case, ...]]
    lengths: Mapping[str, Floats]

    @classmethod
    def of(cls, cases: CaseSet, predictions: Predictions, plan: Plan, opponent: str) -> _Lap:
        """Take the clean cases that everybody answered: what is missing is missing for all."""
        at = [
            position
            for position, case in enumerate(cases.cases)
            if case.origin is None
            and not any(is_missing(own[position]) for own in predictions.values())
        ]
        clean = [cases.cases[position] for position in at]
        texts = {
            variant.name: [predictions[variant.name][position] for position in at]
            for variant in plan.variants
        }
        texts[REFERENCE] = [Prediction(c.id, text=next(iter(c.references), None)) for c in clean]
        questions = {
            variant.name: tuple(
                replace(case, id=judged_id(case.id))
                for case in judge_cases(clean, texts[opponent], texts[variant.name])[0]
            )
            for variant in plan.variants
            if variant.name != opponent
        }
        shown = [
            replace(case, inputs={k: v for k, v in case.inputs.items() if k != "candidate"})
            for case in next(iter(questions.values()))
        ]
        judged = replace(
            cases,
            name=f"{cases.name} (judged)",
            task="judge",
            cases=tuple(shown),
            labels=None,
            notes=(),
            skipped=(),
        )
        lengths = {
            name: np.array([len(one.text or "") for one in own], dtype=np.float64)
            for name, own in texts.items()
        }
        return cls(cases.name, judged, opponent, questions, lengths)


_COLUMNS: Mapping[str, Any] = {
    "arm": "text",
    "wins": "count",
    "ties": "count",
    "losses": "count",
    "turned with the order": "count",
    "unreadable": "count",
    "failed": "count",
}


def judged_id(case_id: str) -> str:
    """Id of a case in the second lap; that of the first lap is taken."""
    return f"{case_id} (judged)"


def begin(plan: Plan, make_backend: MakeBackend) -> tuple[Plan, Judging | None]:
    """Prove, before the compared models are loaded, that the judge is there; None without one.

    Returns the plan with a note on who judges what.

    Raises
    ------
    ConfigError, DataError
        No case set has texts to compare, or a file of the judge cannot be used.
    VariantError, BackendError
        There is no such model, the server cannot be reached or refuses.
    """
    spec = plan.spec.judge
    if spec is None:
        return plan, None
    opponents = check(plan)
    difficulty = _difficulties(spec, plan, opponents)
    if spec.backend == "openai" and not (spec.base_url or os.environ.get("OPENAI_BASE_URL")):
        raise ConfigError(
            "the judge's server has no address. Give --judge-url http://HOST:PORT/v1, or set "
            "OPENAI_BASE_URL."
        )
    chosen = plan.spec.backend.model_copy(update={"kind": spec.backend, "base_url": spec.base_url})
    if spec.backend != plan.spec.backend.kind:  # rows in a batch are no calls at a time
        chosen = chosen.model_copy(update={"batch_size": "auto"})
    backend = make_backend(plan.spec.model_copy(update={"backend": chosen}))
    judge = Variant(name=NAME, kind="judge", model=spec.model, dtype=chosen.dtype)
    if spec.backend != "hf":
        backend.prepare([judge])
    scoring = spec.scoring
    if scoring != "generate":
        tells = _tells_likelihoods(backend, judge, spec)
        scoring = "likelihood" if tells else "generate"
    judging = Judging(spec, judge, backend, _task(spec, scoring), opponents, difficulty)
    return replace(plan, notes=(*plan.notes, *judging.notes())), judging


def check(plan: Plan) -> dict[str, str]:
    """Check what can be checked without a model: case set -> opponent of its variants.

    Raises
    ------
    ConfigError, VariantError
        The judge cannot judge this run.
    """
    spec = plan.spec.judge
    assert spec is not None
    known = registry.names(BACKENDS, room="backends")
    if spec.backend not in known:
        raise ConfigError(f"judge.backend: {registry.unknown(spec.backend, known)}")
    _task(spec, "generate")
    opponents = {
        cases.name: _opponent(spec, described, cases, plan)
        for described, cases in zip(plan.spec.cases, plan.case_sets, strict=True)
        if cases.task == "generate"
    }
    if not opponents:
        tasks = ", ".join(f"{cases.name}: {cases.task}" for cases in plan.case_sets)
        raise ConfigError(
            f"a judge compares texts, and no case set of this run has any ({tasks}).\n"
            "Give cases with --task generate, or leave --judge away."
        )
    if spec.backend == "hf":
        folder = describe(spec.model, offline=plan.spec.backend.offline)
        if not folder.has_model:
            raise VariantError(f'the judge "{spec.model}" is no folder of a whole model.')
    return opponents


def _opponent(spec: JudgeSpec, described: CasesSpec, cases: CaseSet, plan: Plan) -> str:
    """Whose answers the variants' are compared with."""
    is_alpaca = (described.benchmark or "").partition(":")[0] == "alpaca_eval"
    if spec.against == "reference" or (spec.against == "auto" and is_alpaca):
        without = [case.id for case in cases.cases if not case.references]
        if without:
            raise ConfigError(
                f'{cases.name}: {len(without)} cases have no reference to be compared with (first: "'
                f'{without[0]}").\nGive the references, or set judge.against: baseline in run.yaml.'
            )
        return REFERENCE
    if len(plan.variants) < 2:
        raise ConfigError(
            f"{cases.name}: the judge needs two variants to compare, or references "
            "(judge.against: reference in run.yaml)."
        )
    return plan.baseline


def _task(spec: JudgeSpec, scoring: str) -> Judge:
    return Judge(
        template=spec.template, system=spec.system, scoring=scoring, max_tokens=spec.max_tokens
    )


def _tells_likelihoods(backend: Backend, judge: Variant, spec: JudgeSpec) -> bool:
    """Does the judge tell how likely a letter is? Local models do; a server is asked once."""
    if spec.backend == "hf":
        return True
    request = _task(spec, "likelihood").ask(PROBE)[0]
    try:
        (response,) = backend.answer(judge, [request])
    except BackendUnavailable:  # it answers (prepare proved it), but without log-probabilities
        if spec.scoring == "likelihood":
            raise
        return False
    return response.problem is None or spec.scoring == "likelihood"


def _difficulties(
    spec: JudgeSpec, plan: Plan, opponents: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Case set -> case id -> difficulty, for the case sets that are compared with references."""
    if spec.difficulty is None:
        return {}
    compared = [one for one in plan.case_sets if opponents.get(one.name) == REFERENCE]
    if not compared:
        raise ConfigError(
            "judge.difficulty is for answers compared with AlpacaEval's references; this run has "
            "none (judge.against: reference)."
        )
    rows = _read_difficulty(spec.difficulty)
    found = {}
    for cases in compared:
        clean = [case for case in cases.cases if case.origin is None]
        without = [case.id for case in clean if _index(case) not in rows]
        if without:
            raise DataError(
                f'judge.difficulty: "{spec.difficulty}" has no row for {len(without)} cases of '
                f'{cases.name} (first: "{without[0]}").\n'
                'A case is found by its column "index" (from 0), else by its number in its file.'
            )
        found[cases.name] = {case.id: rows[_index(case)] for case in clean}
    return found


def _index(case: Case) -> str:
    """AlpacaEval counts its instructions from 0, our ids count from 1."""
    if "index" in case.inputs:
        return str(case.inputs["index"])
    number = case.id.rpartition(":")[2]
    return str(int(number) - 1) if number.isdigit() else number


def _read_difficulty(path: str) -> dict[str, float]:
    """Read "index,difficulty" rows below a header."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as lines:
            _, *rows = [row for row in csv.reader(lines) if row]
        return {str(int(float(row[0]))): float(row[-1]) for row in rows}
    except OSError as error:
        raise DataError(f'judge.difficulty: "{path}" cannot be read: {error.strerror}.') from None
    except (ValueError, csv.Error):  # also bytes that are no text
        raise DataError(
            f'judge.difficulty: "{path}" is no table of "index,instruction_difficulty".'
        ) from None


# --- after the verdicts ------------------------------------------------------------------------------


def _tie(case: Case) -> Prediction:
    return Prediction(case.id, text="tie", label="tie", label_probabilities=TIE)


def _share(verdict: Prediction) -> float:
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
        disagreements(own)[0],
        sum(one.problem is not None for one in own) - n_missing,
        n_missing,
    )


def _win_rate_at_equal_length(
    one: _Lap,
    variant: str,
    verdicts: Sequence[Prediction],
    difficulty: Mapping[str, float] | None,
) -> tuple[float, float, str] | None:
    """Rate, standard error (shares) and label; None where it is not defined."""
    from tuneval.comparison.beyond.preference import length_controlled

    at = _decided(verdicts)
    if len(at) < 2:
        return None
    ids = [case.id.removesuffix(judged_id("")) for case in one.judged.cases]
    try:
        found = length_controlled(
            np.array([_share(verdicts[position]) for position in at]),
            (one.lengths[one.opponent] - one.lengths[variant])[at],
            None if difficulty is None else np.array([difficulty[ids[n]] for n in at]),
        )
    except MetricError:
        return None
    return found.rate / 100, found.standard_error / 100, found.label


def _strengths(
    one: _Lap,
    told: Mapping[str, Sequence[Prediction]],
    rows: Mapping[str, Sequence[Variant]],
    settings: Settings,
) -> list[Finding]:
    """Three or more on one scale: strengths with bootstrap intervals, or why there are none."""
    from tuneval.comparison.beyond.preference import bradley_terry, bradley_terry_intervals, elo

    others = [arm for arm in rows if arm != one.opponent]
    players = [one.opponent, *others]
    if len(players) < 3:
        return []
    at = sorted(
        set.intersection(*(set(_decided(told[m.name])) for arm in others for m in rows[arm]))
    )
    wins = np.zeros((len(at), len(players), len(players)))
    for number, arm in enumerate(others, start=1):
        shares = np.mean([[_share(told[m.name][n]) for n in at] for m in rows[arm]], axis=0)
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


def _self_preference(spec: JudgeSpec, plan: Plan) -> list[Finding]:
    """Warn of a judge that is itself compared."""

    def place(text: str) -> str:
        return str(Path(text).resolve()) if Path(text).exists() else text

    same = [
        variant.name
        for variant in plan.variants
        if (plan.spec.backend.kind == spec.backend)
        and place(variant.adapter or variant.model) == place(spec.model)
    ]
    return [
        Finding(
            kind=NAME,
            variant="" if name == plan.baseline else name,
            case_set="",
            subject="self-preference",
            level="warning",
            sentence=f'The judge is the variant "{name}" itself: models prefer answers like their '
            "own. Take another judge.",
        )
        for name in same
    ]
