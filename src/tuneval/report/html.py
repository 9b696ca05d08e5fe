"""The report as one self-contained HTML file, and its first screen for notebooks.

Arranges what the run found; charts are drawn in ``charts/``, packed cases in ``case_data``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from urllib.parse import urlencode

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from tuneval.report import case_data, escape, findings, wording
from tuneval.report.charts.confusion import MOST_CONFUSIONS, MOST_NUMBERED_LABELS, confusion
from tuneval.report.charts.forest import forest
from tuneval.report.charts.learning_curve import learning_curve
from tuneval.report.charts.marks import css_classes, icon
from tuneval.report.charts.robustness import robustness
from tuneval.report.charts.scale import Scale, value_scale
from tuneval.report.charts.strip import strip
from tuneval.report.charts.svg import CaseLink, Chart
from tuneval.report.view import Arm, View, chosen, originals, worst_first
from tuneval.types import CaseSet, Finding, Flips, PerClass, RunResult, Score, VariantFacts

MOST_CARDS = 5
MOST_FLIP_TABLES = 3
SCRIPTS = ("page", "data", "select", "diff", "pictures", "rows", "marks", "rest", "browser")
"""Parts of the page's script, in ``templates/js/``; they share one scope."""
MOST_MESSAGES = 10
MOST_PRINTED_FLIPS = 40
MOST_PRINTED_CHARACTERS = 300
FEW_CASES = 30

_SIGN_TONES = {"+": "good", "=": "", "?": "", "!": "warn"}
_SIGN_WORDS = {"+": "shown", "=": "no difference", "?": "open", "!": "warning"}
_BAR_KEY = Markup(
    '<li><span class="swatch"></span>clean score</li>'
    '<li><span class="swatch dash"></span>90% of it: brittle below</li>'
)


def render(
    result: RunResult,
    *,
    private: bool = False,
    most_text_bytes: int = case_data.MOST_TEXT_BYTES,
) -> str:
    """Make the whole report.

    Parameters
    ----------
    private : bool
        Leave out all texts of cases and answers.
    most_text_bytes : int
        Above this much case text the page keeps flips, failures and an even choice of the rest.
    """
    page = Page(result, private)
    script = _script()
    style = _text("summary.css") + _text("report.css")
    has_cases = not private and any(case_set.cases for case_set in result.case_sets)
    cases = case_data.pack(result, page.css, most_text_bytes=most_text_bytes) if has_cases else None
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            cases=cases,
            script=Markup(script),
            style=Markup(style),
            script_hash=_csp_hash(script),
            style_hash=_csp_hash(style),
            bar_key=_BAR_KEY,
        )
    )


def render_summary(result: RunResult) -> str:
    """Make the first screen as a fragment for ``_repr_html_``: decision, cards, table of metrics."""
    return (
        _environment()
        .get_template("summary.html.j2")
        .render(page=Page(result, private=True), summary_css=Markup(_text("summary.css")))
    )


@dataclass(frozen=True, slots=True)
class ConfusionBlock:
    """Confusions of one case set: a chart for each arm, the other training seeds apart."""

    case_set: str
    is_numbered: bool
    first: tuple[Chart, ...]
    rest: tuple[Chart, ...]
    per_class: tuple[PerClass, ...]
    most: int = MOST_CONFUSIONS


Message = tuple[str, str]
"""Sign and sentence."""


@dataclass(frozen=True, slots=True)
class WarningGroup:
    """Warnings of one check that the first screen has no room for, and the arms they are about."""

    title: str
    about: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """One arm in the list of many: its score, what was said of it, its place among the tuned ones."""

    arm: Arm
    score: Score | None
    headline: str
    n_warnings: int
    place: str = ""


def _place(name: str, best: str, ranking: Finding) -> str:
    """ "best", "not told apart from the best", or nothing."""
    if name == best:
        return "best"
    p = next((row[-1] for row in ranking.rows if {row[0], row[1]} == {name, best}), None)
    is_behind = isinstance(p, float) and p < wording.SIGNIFICANT
    return "" if is_behind else "not told apart from the best"


class Page:
    """What the templates ask for."""

    most_cards = MOST_CARDS
    sign_tones = _SIGN_TONES
    sign_words = _SIGN_WORDS
    same_command = wording.SAME_COMMAND

    def __init__(self, result: RunResult, private: bool) -> None:
        self.result = result
        self.private = private
        self.view = View.of(result)
        self.css: Mapping[str, str] = css_classes(self.view.arms)

    @cached_property
    def messages(self) -> tuple[list[Message], list[WarningGroup], list[Message]]:
        """What the first screen says, the warnings that it has no room for by kind, and the rest."""
        found = self.view.messages()
        shown = chosen([sign for sign, _ in found], [1] * len(found), MOST_MESSAGES)
        more = [one for at, one in enumerate(found) if at not in set(shown)]
        warned = [sentence for sign, sentence in more if sign == wording.SIGNS["warning"]]
        return (
            [found[at] for at in shown],
            self._grouped(warned),
            [one for one in more if one[0] != wording.SIGNS["warning"]],
        )

    def _grouped(self, sentences: Sequence[str]) -> list[WarningGroup]:
        groups: dict[str, list[str]] = {}
        about: dict[str, list[str]] = {}
        for sentence in sentences:
            sources = [
                one
                for one in self.result.findings
                if one.sentence and sentence.endswith(one.sentence)
            ]
            kind = findings.title(sources[0].kind) if sources else "Other warnings"
            groups.setdefault(kind, []).append(sentence)
            about.setdefault(kind, []).extend(one.variant for one in sources if one.variant)
        return [
            WarningGroup(kind, ", ".join(dict.fromkeys(about[kind])), tuple(own))
            for kind, own in groups.items()
        ]

    @property
    def tone(self) -> str:
        """Colour of the headline."""
        headline = self.result.headline
        if not self.result.is_complete or headline == "BETTER, WITH WARNINGS":
            return "warn"
        if headline in ("BETTER", "LORA AHEAD", "EXCELLENT"):
            return "good"
        undecided = ("SCORES ONLY", "NO CHANGE", "INCONCLUSIVE", "ACCEPTABLE", "LARGE GAP")
        return "" if headline.startswith("LOOKS") or headline in undecided else "bad"

    @cached_property
    def scale(self) -> Scale:
        """One axis for the strips of all cards."""
        main = self.result.main.name
        found = (self.view.score(main, self.view.primary(main), arm) for arm in self.view.arms)
        return value_scale([score for score in found if score], 6, 254)

    @property
    def main_pairs(self) -> list[tuple[str, str]]:
        """Pairs with a column in the first table."""
        return self.view.shown_pairs(self.result.main.name)

    @property
    def facts(self) -> Mapping[str, VariantFacts]:
        """Variant -> what the backend found out."""
        return {facts.variant: facts for facts in self.result.facts}

    @property
    def flip_tables(self) -> tuple[Flips, ...]:
        """Pairs drawn as two by two boxes."""
        return self.result.flips[:MOST_FLIP_TABLES]

    @property
    def further_flips(self) -> tuple[Flips, ...]:
        """The others, for a table."""
        return self.result.flips[MOST_FLIP_TABLES:]

    def flip_link(self, flips: Flips, show: str) -> str:
        """Address of the changed cases of a pair in the case browser."""
        words = {"show": show, "from": flips.baseline, "to": flips.candidate}
        return _case_link(words | self._set_word(flips.case_set))

    def case_link(self, case_id: str) -> str:
        """Address of one case in the case browser; empty where the page holds none of that name."""
        is_here = not self.private and case_id in self._case_ids
        return _case_link({"kind": "", "open": case_id}) if is_here else ""

    @cached_property
    def _case_ids(self) -> frozenset[str]:
        return frozenset(case.id for one in self.result.case_sets for case in one.cases)

    def _link(self, case_set: str) -> CaseLink | None:
        if self.private:
            return None
        return lambda words: _case_link({**words, **self._set_word(case_set)})

    def _set_word(self, case_set: str) -> dict[str, str]:
        return {"set": case_set} if len(self.result.case_sets) > 1 else {}

    @cached_property
    def standing(self) -> list[Standing]:
        """All arms by their primary score, the best first; what has none last."""
        view, main = self.view, self.result.main.name
        ranking = next((one for one in self.result.findings if one.kind == "ranking"), None)
        verdicts = {one.candidate: one for one in reversed(self.result.verdicts)}
        rows = []
        for arm in view.arms:
            said = verdicts.get(arm.name)
            rows.append(
                Standing(
                    arm,
                    view.score(main, view.primary(main), arm),
                    said.headline if said else "",
                    len(said.warnings) if said else 0,
                )
            )
        rows.sort(key=lambda row: worst_first(row.score), reverse=True)
        rows.sort(key=lambda row: row.score is None or math.isnan(row.score.value))
        tuned = [row for row in rows if row.arm.kind != "base" and row.score]
        if ranking is None or not tuned:
            return rows
        best = tuned[0].arm.name
        return [
            replace(row, place=_place(row.arm.name, best, ranking)) if row in tuned else row
            for row in rows
        ]

    @property
    def n_flips(self) -> int:
        """Changed cases of the first pair."""
        flips = self.result.flips[0]
        return len(flips.fixed) + len(flips.broken)

    @cached_property
    def flip_list(self) -> list[tuple[str, str, str]]:
        """(word, case id, text) of the first pair's changed cases, for paper."""
        if not self.result.flips or self.private:
            return []
        flips = self.result.flips[0]
        texts = {
            case.id: wording.main_text(case)
            for case_set in self.result.case_sets
            if case_set.name == flips.case_set
            for case in case_set.cases
        }
        changed = [("broken", case) for case in flips.broken]
        changed += [("fixed", case) for case in flips.fixed]
        return [
            (word, case, escape.terminal(texts.get(case, "")[:MOST_PRINTED_CHARACTERS]))
            for word, case in changed[:MOST_PRINTED_FLIPS]
        ]

    @cached_property
    def confusions(self) -> list[ConfusionBlock]:
        """One block per case set that has confusion counts."""
        leaders = {arm.variants[0].name for arm in self.view.arms} | {
            a.name for a in self.view.arms
        }
        blocks = []
        for case_set in self.result.case_sets:
            tables = [t for t in self.result.confusions if t.case_set == case_set.name]
            if not tables:
                continue
            has_unparsed = any(row[-1] for table in tables for row in table.counts)
            link = self._link(case_set.name)
            drawn = [
                (t, confusion(t, self._css(t.variant), has_unparsed=has_unparsed, link=link))
                for t in tables
            ]
            blocks.append(
                ConfusionBlock(
                    case_set=case_set.name,
                    is_numbered=len(tables[0].labels) <= MOST_NUMBERED_LABELS,
                    first=tuple(chart for t, chart in drawn if t.variant in leaders),
                    rest=tuple(chart for t, chart in drawn if t.variant not in leaders),
                    per_class=tuple(
                        row
                        for label in tables[0].labels
                        for row in self.result.per_class
                        if row.case_set == case_set.name and row.label == label
                    ),
                )
            )
        return blocks

    @cached_property
    def forests(self) -> list[Chart]:
        """Groups, the attribute with the widest gap first."""
        found = [
            (
                self._gap(case_set.name, names),
                forest(self.view, case_set.name, key, self.css, self._link(case_set.name)),
            )
            for case_set in self.result.case_sets
            for key, names in self.view.groups(case_set.name).items()
        ]
        return [chart for _, chart in sorted(found, key=lambda entry: -entry[0])]

    @cached_property
    def bars(self) -> list[Chart]:
        """Changed inputs, one chart per case set."""
        return [
            robustness(self.view, case_set.name, self.css, self._link(case_set.name))
            for case_set in self.result.case_sets
            if self.view.perturbations(case_set.name)
        ]

    @cached_property
    def curves(self) -> list[Chart]:
        """Learning curves in the order of the run."""
        return [
            learning_curve(curve, self._css(curve.variant)) for curve in self.result.learning_curves
        ]

    @cached_property
    def blocks(self) -> list[findings.Block]:
        """What the checks beyond the test score found."""
        return findings.blocks(self.result, self.css)

    @property
    def signatures(self) -> list[tuple[str, str]]:
        """(metric, signature), each once."""
        pairs = ((score.metric, score.signature) for score in self.result.scores)
        return [pair for pair in dict.fromkeys(pairs) if pair[1]]

    @property
    def limits(self) -> list[str]:
        """What this run cannot show, and what was not measured."""
        view, found = self.view, []
        kinds = {arm.kind for arm in view.arms}
        for arm in view.arms:
            if arm.kind in ("base", "majority"):
                continue
            if len(arm.variants) == 1:
                found.append(
                    f"{arm.name} is one training run: its numbers hold for this checkpoint, not for "
                    "the recipe. Three or more training seeds would show the spread."
                )
            elif len(arm.variants) == 2:
                found.append(
                    f"{arm.name} has two training seeds: too few for an interval over seeds."
                )
        if "full" not in kinds:
            found.append("No full fine-tune given: the LoRA gap is unknown.")
        for case_set in self.result.case_sets:
            name, primary = case_set.name, view.primary(case_set.name)
            for pair in view.shown_pairs(name):
                comparison = view.comparison(name, primary, pair)
                if comparison and comparison.detectable_difference is not None:
                    smallest = wording.number(comparison.detectable_difference, comparison.unit)
                    points = " points" if comparison.unit in {"share", "points"} else ""
                    found.append(
                        f"{name}: {wording.count(comparison.n_cases)} cases detect differences in "
                        f"{wording.metric_title(primary)} between {pair[0]} and {pair[1]} from "
                        f"about {smallest}{points} on; smaller ones stay invisible."
                    )
            small = sorted(
                {
                    f"{wording.slice_title(score.slice)} (n={score.n_cases})"
                    for score in self.result.scores
                    if score.case_set == name and "=" in score.slice and score.n_cases < FEW_CASES
                }
            )
            if small:
                found.append(f"{name}: groups too small to judge: {', '.join(small)}.")
            if not view.perturbations(name):
                found.append(f"{name}: changed inputs were not tried, so robustness is unknown.")
            if not view.groups(name):
                found.append(
                    f"{name}: no groups were given, so differences between them are unknown."
                )
        if not self.result.learning_curves:
            found.append(
                "No training log was read, so overfitting during training was not looked at."
            )
        found.append("All numbers describe cases like these; other data may behave otherwise.")
        return found

    @property
    def spec(self) -> str:
        """The run's description as readable JSON."""
        return json.dumps(self.result.spec, indent=2, ensure_ascii=False, default=str)

    @staticmethod
    def originals(case_set: CaseSet) -> list[str]:
        """Ids of the cases that are no perturbed twins."""
        return originals(case_set)

    def _css(self, variant: str) -> str:
        return self.css.get(variant, "base-0")

    def _gap(self, case_set: str, names: list[str]) -> float:
        metric, arm = self.view.primary(case_set), self.view.leading
        scores = [
            s for name in names if arm and (s := self.view.score(case_set, metric, arm, name))
        ]
        values = [score.value for score in scores if math.isfinite(score.value)]
        return max(values) - min(values) if values else 0.0


@cache
def _environment() -> Environment:
    names = ("parts.html.j2", "report.html.j2", "summary.html.j2")
    environment = Environment(
        loader=DictLoader({name: _text(name) for name in names}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Control characters and bidi marks of names would survive HTML escaping.
    environment.finalize = _finalize
    for function in (
        icon,
        strip,
        wording.count,
        wording.difference,
        wording.duration,
        wording.interval,
        wording.is_significant,
        wording.is_holm,
        wording.shown_difference,
        wording.starred,
        wording.metric_title,
        wording.number,
        wording.p_value,
        wording.quantity,
        wording.reading_aid,
        wording.signed_interval,
        wording.slice_title,
    ):
        environment.globals[function.__name__] = function
    return environment


def _finalize(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(escape.terminal, value.split("\n")))
    return value


def _text(name: str) -> str:
    return (files("tuneval.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    parts = "\n".join(_text(f"js/{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def _case_link(words: Mapping[str, str]) -> str:
    return f"#cases?{urlencode(words)}"


def _csp_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
