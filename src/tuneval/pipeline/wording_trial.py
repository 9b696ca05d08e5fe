"""The trial of wordings: was each fine-tune trained on the words that this run asks with?

A short search on a few references per fine-tune, one test on others, before any case is scored. Not
for: the candidates (``tasks.frames``), the arithmetic (``comparison.beyond.wording_trial``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuneval.assess.measure import Predictions
from tuneval.checks.training_file import read_training
from tuneval.comparison.beyond.wording_trial import (
    COSTLY_SHARE,
    MARGIN_NATS,
    WordingTrial,
    is_told_apart,
    nothing_better_sentence,
    trained_score,
    trial_sentence,
)
from tuneval.data import trained_wording
from tuneval.data.select import take
from tuneval.errors import ConfigError, VariantError
from tuneval.pipeline.build import build_task
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import CasesSpec
from tuneval.plan.variants import SERVED
from tuneval.tasks import Task
from tuneval.tasks.classify import Classify
from tuneval.tasks.frames import Frame, Framing, cue_of
from tuneval.tasks.generate import Generate
from tuneval.tasks.multiple_choice import MultipleChoice
from tuneval.tasks.reference_loss import ReferenceLoss
from tuneval.types import READS_TEXTS, Case, CaseSet, Finding, Variant, arms

MOST_REFERENCES = 32
FEWEST_REFERENCES = 16
SEARCHED_EVERY = 3
"""Each third reference is searched on, the others are tested on: an alarm rests on words that were
chosen elsewhere."""

FEWEST_ROUNDS, MOST_ROUNDS = 2, 3
MOST_JOINED = 3
"""So many of the cheapest wordings lend each other their words before and after the text."""

MOST_ALIKE = 48
"""Wordings that may be the trained one as well are tested up to that many, the cheapest first."""
TIE_NATS, TIE_SCORE = 0.02, 0.1
"""Of wordings that differ by less, the one that was tried first: likelier words stand first."""

LOGGED_TIMES, LOGGED_NATS = 2.0, 0.5
"""References that cost more than that beside the logged loss, a token, are asked otherwise than they
were trained. A loss over whole texts is higher than one over answers: it hides, never alarms."""

AskVariants = Callable[[Sequence[CaseSet], Sequence[Variant], Task], Mapping[str, Predictions]]
_OTHER_TEMPLATE = " The base has another chat template, which was not tried."
ASKED, BEST, ALIKE = "as asked here", "the best", "cannot be told from it"
COLUMNS: Mapping[str, Literal["text", "nats"]] = {
    "wording": "text",
    "nats a reference": "nats",
    "base": "nats",
    "what it is": "text",
}
Costs = dict[Frame, NDArray[np.float64]]
"""Frame -> nats and tokens of each reference, shape (2, n); nan where there is no answer."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A fine-tune under trial: the first of its training seeds stands for all.

    ``costs`` holds all wordings that were searched, the run's own first; ``best`` is the one that it
    was most likely trained on. ``untried`` names a template that was not tried, or is "".
    """

    name: str
    variant: Variant
    has_chat_template: bool
    costs: Costs
    best: Frame
    untried: str = ""

    def close(self) -> list[Frame]:
        """Wordings that the search could not tell from the best, the cheapest first."""
        if self.n_tried == 1:
            return []
        best = self.costs[self.best][0]
        near = [f for f, costs in self.costs.items() if not is_told_apart(costs[0], best)]
        return sorted(near, key=lambda frame: _mean(self.costs[frame]))[:MOST_ALIKE]

    @property
    def n_tried(self) -> int:
        """Wordings searched."""
        return len(self.costs)

    @property
    def own(self) -> NDArray[np.float64]:
        """What references cost in the run's own wording."""
        return next(iter(self.costs.values()))

    @property
    def is_costly_here(self) -> bool:
        """Are references cheaper by a tenth in some other wording?"""
        own, least = _mean(self.own), _mean(self.costs[_cheapest(self.costs)])
        return own - least >= max(MARGIN_NATS, COSTLY_SHARE * own)

    def promising(self) -> Iterator[Frame]:
        """Wordings that are cheaper by more than nothing."""
        for frame, costs in self.costs.items():
            if _mean(self.own) - _mean(costs) >= MARGIN_NATS:
                yield frame


class Trialled(NamedTuple):
    """The run as it goes on from the trial, and what was found."""

    plan: Plan
    asked: dict[str, Task]
    findings: tuple[Finding, ...]


def begin_trial(plan: Plan, asked: Mapping[str, Task]) -> tuple[Trial | None, Plan]:
    """Choose the references and read the evidence, before any model is loaded; None where there is
    nothing to try. Where the run is to take the better wording, the plan that is returned has lost
    the test cases that choose it.

    Raises
    ------
    ConfigError
        ``--prompt auto``, and no trial can be made.
    """
    mode = plan.spec.prompting.trial
    if mode == "none":
        return None, plan
    trial = _begin(plan, asked)
    if isinstance(trial, Trial):
        return trial, trial.left_out_of(plan) if mode == "take" else plan
    if mode == "take":
        raise ConfigError(f"--prompt auto: {trial}. Give the trained wording with --prompt.")
    return None, plan


def _begin(plan: Plan, asked: Mapping[str, Task]) -> Trial | str:
    """The trial, or why there is none."""
    if plan.spec.backend.kind in SERVED:
        return "a server tells no likelihood of a reference"
    if not any(one.name == plan.baseline and one.kind == "base" for one in plan.variants):
        return "the baseline is no base model to hold fine-tunes against"
    if any(one.head in READS_TEXTS for one in plan.variants):
        return "a head over labels reads the bare text, whatever the wording"
    if len(plan.variants) == 1:
        return "there is no fine-tune to try wordings on"
    subjects = [
        (cases, described, task)
        for cases, described in zip(plan.case_sets, plan.spec.cases, strict=True)
        if cases.is_decisive
        and described.benchmark is None
        and (cases.layout, cases.task)
        != ("messages", "tool_call")  # a template writes calls its own way
        and isinstance(task := asked[cases.name], Classify | Generate | MultipleChoice)
    ]
    if not subjects:
        return "no test file asks for labels, choices or free text"
    cases, described, task = subjects[0]
    if described.few_shot or plan.spec.prompting.few_shot:
        return "examples stand before every question, and fine-tunes were trained without"
    rows, are_tests = _rows(plan, cases)
    if len(rows.cases) < FEWEST_REFERENCES:
        return f"{len(rows.cases)} references are fewer than {FEWEST_REFERENCES}"
    references = take(rows, min(MOST_REFERENCES, len(rows.cases)))
    framing = Framing.of(task.wording, references.cases)
    evidence = tuple(_evidence(plan, cases))
    return Trial(plan, cases, described, task, framing, references, are_tests, evidence)


@dataclass(slots=True)
class Trial:
    """What is tried on what. ``are_tests``: the references are cases of the test file."""

    plan: Plan
    cases: CaseSet
    described: CasesSpec
    task: Classify | Generate | MultipleChoice
    framing: Framing
    references: CaseSet
    are_tests: bool
    evidence: tuple[trained_wording.TrainedWording, ...]
    n_asked: int = field(default=0)

    def left_out_of(self, plan: Plan) -> Plan:
        """The plan without the test cases that choose the wording, and without their twins."""
        if not self.are_tests:
            return plan
        chosen = {case.id for case in self.references.cases}
        kept = tuple(case for case in self.cases.cases if (case.origin or case.id) not in chosen)
        case_sets = tuple(
            replace(cases, cases=kept) if cases.name == self.cases.name else cases
            for cases in plan.case_sets
        )
        return replace(plan, case_sets=case_sets)

    def look(
        self,
        plan: Plan,
        templates: Mapping[str, str | None],
        asked: Mapping[str, Task],
        ask: AskVariants,
    ) -> Trialled:
        """Search, test, and take the better wording where the run asks for that.

        ``templates``: variant -> what tells its chat template from others, None where it has none.
        """
        found: list[Arm] = []
        for name, members in arms(self.plan.variants).items():
            if name == self.plan.baseline:
                continue
            own, base = (templates[one] for one in (members[0].name, self.plan.baseline))
            has_template = own is not None
            untried = _OTHER_TEMPLATE if own and base and own != base else ""
            known = [one.best for one in found]
            costs = self._search(members[0], known, ask, has_chat_template=has_template)
            found.append(Arm(name, members[0], has_template, costs, _cheapest(costs), untried))
        found = self._judged_beside_the_base(found, ask)
        tested = self._test(found, ask)
        trials = [(arm, self._trial(arm, tested)) for arm in found]
        if self.plan.spec.prompting.trial == "take":
            return self._taken(plan, trials, tested, asked)
        findings = tuple(self._finding(arm, trial, tested) for arm, trial in trials)
        return Trialled(plan, dict(asked), findings)

    # ------------------------------------------------------------------------------ asking

    def _search(
        self,
        variant: Variant,
        known: Sequence[Frame],
        ask: AskVariants,
        *,
        has_chat_template: bool,
    ) -> Costs:
        """Move one part of the wording at a time while that makes references cheaper."""
        start = best = self.framing.start
        costs = self._costs([start], self._searched, variant, ask)
        more = [*known, *self._evident()]
        n_rounds = MOST_ROUNDS if _mean(costs[start]) >= MARGIN_NATS else 0
        for n in range(n_rounds):
            frames = [*more, *self._neighbours(best, has_chat_template=has_chat_template)]
            cheapest = sorted(costs, key=lambda frame: _mean(costs[frame]))[:MOST_JOINED]
            frames += self.framing.joined(cheapest)
            fresh = [one for one in dict.fromkeys(frames) if one not in costs]
            costs |= self._costs(fresh, self._searched, variant, ask)
            better = _cheapest(costs)
            is_enough = _mean(costs[start]) - _mean(costs[better]) >= MARGIN_NATS
            if n + 1 >= FEWEST_ROUNDS and (better == best or not is_enough):
                break
            best, more = better, []
        return costs

    def _judged_beside_the_base(self, found: Sequence[Arm], ask: AskVariants) -> list[Arm]:
        """Of what is cheaper, choose what tuning made so: the base may know some words by itself."""
        frames = dict.fromkeys(frame for arm in found for frame in arm.promising())
        start = self.framing.start
        if not frames:
            return [replace(arm, best=start) for arm in found]
        base = self._costs([start, *frames], self._searched, self._base, ask)
        judged = []
        for arm in found:
            scores = {
                frame: trained_score(arm.costs[frame][0], base[frame][0])
                for frame in (start, *arm.promising())
                if frame in base
            }
            least = min(scores.values())
            best = next(frame for frame, one in scores.items() if one <= least + TIE_SCORE)
            if best == start and arm.is_costly_here:
                best = _cheapest(arm.costs)  # tested, and told as the base's own if it is
            judged.append(replace(arm, best=best))
        return judged

    @property
    def _searched(self) -> tuple[Case, ...]:
        return self.references.cases[::SEARCHED_EVERY]

    @property
    def _base(self) -> Variant:
        return next(one for one in self.plan.variants if one.name == self.plan.baseline)

    def _neighbours(self, frame: Frame, *, has_chat_template: bool) -> Iterator[Frame]:
        columns = self.cases.columns
        return self.framing.neighbours(
            frame,
            input_cues=[cue_of(columns["input"])] if columns.get("input") else [],
            answer_cues=[cue_of(columns["reference"])] if columns.get("reference") else [],
            has_chat_template=has_chat_template,
        )

    def _evident(self) -> Iterator[Frame]:
        for one in self.evidence:
            if self.framing.body is not None or not (one.before or one.after):
                yield Frame(one.before, one.after, one.system, one.is_chat)

    def _test(self, found: Sequence[Arm], ask: AskVariants) -> dict[str, Costs]:
        """Costs of the other references under every wording that was chosen, and, for a fine-tune,
        under those that may be the trained one as well: arm -> frame -> nats."""
        frames = list(dict.fromkeys([self.framing.start, *(one.best for one in found)]))
        cases = tuple(case for n, case in enumerate(self.references.cases) if n % SEARCHED_EVERY)
        tested: dict[str, Costs] = {}
        # The base was asked last, and its weights may be the ones that are there.
        if len(frames) > 1:
            tested[self._base.name] = self._costs(frames, cases, self._base, ask)
        for one in found:
            close = one.close()
            if len(frames) > 1 or close:
                asked = list(dict.fromkeys([*frames, *close]))
                tested[one.name] = self._costs(asked, cases, one.variant, ask)
        return tested

    def _costs(
        self, frames: Sequence[Frame], cases: Sequence[Case], variant: Variant, ask: AskVariants
    ) -> Costs:
        """Ask a variant; a chat template may refuse a system turn, which then was not trained on."""
        told = [one for one in frames if one.system != self.framing.start.system]
        costs = self._costs_of([one for one in frames if one not in told], cases, variant, ask)
        try:
            return costs | self._costs_of(told, cases, variant, ask)
        except VariantError:
            return costs

    def _costs_of(
        self, frames: Sequence[Frame], cases: Sequence[Case], variant: Variant, ask: AskVariants
    ) -> Costs:
        if not frames:
            return {}
        self.n_asked += 1
        task = ReferenceLoss(
            [self.framing.worded(one) for one in frames], self.task.words_of_reference
        )
        name = f"{self.cases.name} (wordings {self.n_asked})"
        asked = replace(self.references, name=name, cases=tuple(cases))
        predictions = ask([asked], [variant], task)[name][variant.name]
        nothing = (float("nan"), float("nan"))
        return {
            frame: np.array([one.values.get(str(n), nothing) for one in predictions]).T
            for n, frame in enumerate(frames)
        }

    # ------------------------------------------------------------------------- what was found

    def _trial(self, arm: Arm, costs: Mapping[str, Costs]) -> WordingTrial | None:
        """None where the run's own wording suits the fine-tune best."""
        start, best = self.framing.start, arm.best
        if best == start:
            return None
        base = costs[self.plan.baseline]
        if best not in base:  # its chat template refuses the system turn
            return None
        four = np.array(
            [own[frame][0] for own in (costs[arm.name], base) for frame in (start, best)]
        )
        kept = four[:, np.isfinite(four).all(axis=0)]
        return WordingTrial(*kept) if kept.shape[1] > 1 else None

    def _alike(self, arm: Arm, best: Frame, tested: Mapping[str, Costs]) -> dict[Frame, float]:
        """Wordings that the test cannot tell from the best, beside it and the run's own: nats. What
        reads alike is one."""
        costs = tested.get(arm.name, {})
        alike: dict[Frame, float] = {}
        seen = [costs[frame] for frame in (best, self.framing.start) if frame in costs]
        for frame, own in costs.items():
            is_seen = any(np.array_equal(own, other, equal_nan=True) for other in seen)
            if not is_seen and not is_told_apart(own[0], costs[best][0]):
                alike[frame] = _mean(own)
                seen.append(own)
        return dict(sorted(alike.items(), key=lambda pair: pair[1]))

    def _finding(
        self, arm: Arm, trial: WordingTrial | None, tested: Mapping[str, Costs]
    ) -> Finding:
        is_better = trial is not None and trial.is_cheaper
        alike = self._alike(arm, arm.best if is_better else self.framing.start, tested)
        further = tuple((self._shown(one, arm), nats, None, ALIKE) for one, nats in alike.items())
        common: dict[str, Any] = {
            "kind": "wording",
            "variant": arm.name,
            "case_set": self.cases.name,
            "subject": "",
        }
        if trial is None or not trial.is_cheaper:
            logged = self._logged_far_below(arm)
            return Finding(
                **common,
                level="clear" if logged is None else "unclear",
                sentence=nothing_better_sentence(
                    arm.name,
                    arm.n_tried,
                    self._figures(arm),
                    logged,
                    _per_token(arm.own),
                    len(alike),
                )
                + arm.untried,
                values={
                    "wordings": float(arm.n_tried),
                    "nats": _mean(arm.own),
                    "wordings_alike": float(len(alike)),
                },
                columns=COLUMNS if alike else {},
                rows=((self._shown(self.framing.start, arm), _mean(arm.own), None, ASKED), *further)
                if alike
                else (),
            )
        return Finding(
            **common,
            level="warning" if trial.is_serious else "unclear",
            sentence=trial_sentence(
                arm.name,
                trial,
                self._shown(arm.best, arm),
                arm.n_tried,
                self.framing.flags(arm.best, has_chat_template=arm.has_chat_template),
                len(alike),
            )
            + arm.untried,
            values={
                "wordings_alike": float(len(alike)),
                "wordings": float(arm.n_tried),
                "gain_nats": trial.gain,
                "p_cheaper": trial.p_cheaper,
                "share_of_base_here": trial.share_own,
                "share_of_base_there": trial.share_other,
                "p_trained_there": trial.p_tuned_there,
            },
            columns=COLUMNS,
            rows=(
                *(
                    (self._shown(frame, arm), float(tuned.mean()), float(base.mean()), what)
                    for frame, tuned, base, what in (
                        (self.framing.start, trial.tuned_own, trial.base_own, ASKED),
                        (arm.best, trial.tuned_other, trial.base_other, BEST),
                    )
                ),
                *further,
            ),
        )

    def _figures(self, arm: Arm) -> str:
        """What a reference costs here, and in the cheapest wording where that is another."""
        here = f"{_mean(arm.own):.2f} nats a reference"
        frame = _cheapest(arm.costs)
        if frame == self.framing.start:
            return here
        return f"{here}; {_mean(arm.costs[frame]):.2f} as {self._shown(frame, arm)}, the cheapest"

    def _logged_far_below(self, arm: Arm) -> float | None:
        """The trainer's own last loss, where the run's wording comes nowhere near it."""
        log = self.plan.logs.get(arm.variant.name)
        if log is None:
            return None
        # Like beside like: what was trained on costs less than what was not.
        losses = log.validation_loss if self.are_tests else log.train_loss
        if not losses or not _per_token(arm.own) > LOGGED_TIMES * losses[-1] + LOGGED_NATS:
            return None
        return losses[-1]

    def _shown(self, frame: Frame, arm: Arm) -> str:
        """A wording on one line, for a sentence."""
        words = (
            self.framing.template(frame) if self.framing.body is not None else "the case's turns"
        )
        shown = '"' + words.replace("\n", "\\n") + '"'
        if arm.has_chat_template:
            shown += " in the chat template" if frame.is_chat else " without a chat template"
        return shown if frame.system is None else f'{shown} after the system turn "{frame.system}"'

    # ------------------------------------------------------------------------- taking it

    def _taken(
        self,
        plan: Plan,
        trials: Sequence[tuple[Arm, WordingTrial | None]],
        costs: Mapping[str, Costs],
        asked: Mapping[str, Task],
    ) -> Trialled:
        """Ask the run in the wording that suits the fine-tunes best, on cases that chose nothing."""
        better = [arm for arm, trial in trials if trial is not None and trial.is_cheaper]
        frame, start = self.framing.start, self.framing.start
        if better:
            tuned = [costs[arm.name] for arm, _ in trials]
            chosen = dict.fromkeys([start, *(arm.best for arm, _ in trials)])
            common = [one for one in chosen if all(one in own for own in tuned)]
            frame = min(common, key=lambda one: sum(_mean(own[one]) for own in tuned))
        arm = better[0] if better else trials[0][0]
        where = f"rows of {self.references.source}"
        if self.are_tests:
            where = f"{len(self.references.cases)} of its cases, left out of the test"
        what = "the wording stays as it was" if frame == start else "asked as trained"
        note = (
            f"{self.cases.name}: --prompt auto: {what}, {self._shown(frame, arm)}; "
            f"chosen on {where}. To ask so again: "
            f"{self.framing.flags(frame, has_chat_template=arm.has_chat_template)}"
        )
        tasks = dict(asked)
        if frame != start:
            tasks[self.cases.name] = self._task(frame)
        finding = Finding("wording", "", self.cases.name, "", "note", note)
        return Trialled(replace(plan, notes=(*plan.notes, note)), tasks, (finding,))

    def _task(self, frame: Frame) -> Task:
        spec = self.plan.spec
        changes: dict[str, object] = {
            "options": {
                **self.described.options,
                "prompt_style": "messages" if frame.is_chat else "text",
            }
        }
        if self.framing.body is not None:
            changes["template"] = self.framing.template(frame)
        prompting = spec.prompting.model_copy(update={"system": frame.system})
        return build_task(
            spec.model_copy(update={"prompting": prompting}),
            self.described.model_copy(update=changes),
            self.cases,
        )


def _rows(plan: Plan, cases: CaseSet) -> tuple[CaseSet, bool]:
    """Rows of the training file where it reads like the test file, else cases of the test; and
    whether they are the latter."""
    training = read_training(plan)
    if training is not None and training.task == cases.task:
        rows = _with_references(training)
        needed = set(cases.cases[0].inputs)
        kept = tuple(case for case in rows.cases if needed <= set(case.inputs))
        rows = replace(rows, cases=kept)
        if len(rows.cases) >= FEWEST_REFERENCES:
            return rows, False
    return _with_references(cases), True


def _with_references(cases: CaseSet) -> CaseSet:
    kept = tuple(case for case in cases.cases if case.origin is None and case.references)
    return replace(cases, cases=kept)


def _evidence(plan: Plan, cases: CaseSet) -> Iterator[trained_wording.TrainedWording]:
    """What the training file and the folders of the fine-tunes say."""
    labels = cases.labels or ()
    if plan.spec.train_data is not None:
        yield from trained_wording.of_file(plan.spec.train_data, labels)
    for variant in plan.variants:
        if variant.name == plan.baseline:
            continue
        folder = variant.adapter or variant.model
        yield from trained_wording.of_folder(folder)
        for file in trained_wording.named_files(folder):
            yield from trained_wording.of_file(file, labels)


def _cheapest(costs: Costs) -> Frame:
    """The first of those that are as cheap as the cheapest: the likeliest words were tried first."""
    least = min(_mean(one) for one in costs.values())
    return next(frame for frame, one in costs.items() if _mean(one) <= least + TIE_NATS)


def _mean(costs: NDArray[np.float64]) -> float:
    """Mean nats over what could be answered; infinite where nothing could."""
    kept = costs[0, np.isfinite(costs[0])]
    return float(kept.mean()) if kept.size else float("inf")


def _per_token(costs: NDArray[np.float64]) -> float:
    return float(np.nansum(costs[0]) / max(np.nansum(costs[1]), 1.0))
