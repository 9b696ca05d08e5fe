"""``tuneval list``: what there is to choose from, a line each."""

from __future__ import annotations

import inspect
import textwrap
from typing import Annotated

import typer

from tuneval.cli.terminal import width

ROOMS = ("metrics", "benchmarks", "guards", "tasks", "perturbations", "backends", "reports")

COLUMN = 21
DISCORDANT = 0.2
"""Share of cases that change, for the size of a loss that can be seen."""


def list_(
    room: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help=f"one of {', '.join(ROOMS)}",
            autocompletion=lambda: [(one, "") for one in ROOMS],
        ),
    ],
    benchmark_data: Annotated[
        str | None, typer.Option(help="where benchmarks lie, instead of the hub", metavar="DIR")
    ] = None,
) -> int:
    """tuneval list metrics

    List metrics, benchmarks, guards, tasks, perturbations, backends or reports.
    """
    from tuneval import registry
    from tuneval.engine import BACKENDS
    from tuneval.errors import ConfigError
    from tuneval.metrics import FAMILIES, METRICS, describe
    from tuneval.perturbations import PERTURBATIONS
    from tuneval.report import REPORTS
    from tuneval.tasks import TASKS

    if room == "metrics":
        for name in registry.names(METRICS, room="metrics"):
            one = describe(name)
            _print_row(name, one.summary)
            facts = [
                "higher is better" if one.higher_is_better else "lower is better",
                one.unit,
                f"needs {', '.join(one.needs)}",
                *([f"as {one.reference}"] if one.reference else []),
            ]
            _print_row("", "; ".join(facts))
        families = ", ".join(f"{name} = {' '.join(of)}" for name, of in FAMILIES.items())
        print("\n" + "\n".join(textwrap.wrap(f"families: {families}", width())))
        return 0
    if room == "benchmarks":
        _print_benchmarks(benchmark_data)
        return 0
    if room == "guards":
        _print_guards(benchmark_data)
        return 0
    tables = {
        "tasks": TASKS,
        "perturbations": PERTURBATIONS,
        "backends": BACKENDS,
        "reports": REPORTS,
    }
    if room not in tables:
        raise ConfigError(f"list: {registry.unknown(room, ROOMS)}")
    for name in registry.names(tables[room], room=room):
        thing = registry.load(tables[room], name, room=room)
        _print_row(name, inspect.getdoc(inspect.getmodule(thing)) or inspect.getdoc(thing) or "")
    return 0


MANY_SUBSETS = 20
"""Subsets beyond this many are told in one line: those of MMLU are its subjects."""


def _print_benchmarks(folder: str | None) -> None:
    """Each benchmark, or each part of one that has no whole."""
    from tuneval import registry
    from tuneval.benchmarks import BENCHMARKS, Benchmark
    from tuneval.benchmarks.source import is_here, place_of

    place = place_of(folder)
    for name in registry.names(BENCHMARKS, room="benchmarks"):
        benchmark: Benchmark = registry.load(BENCHMARKS, name, room="benchmarks")()
        many = len(benchmark.subsets) > MANY_SUBSETS
        for subset in ("",) if many else benchmark.subsets:
            facts = benchmark.facts(subset)
            _print_row(facts.name, f"{facts.title}. {facts.measures}")
            size = facts.sizes.get(facts.split)
            _print_row("", f"{size or 'unknown'} cases ({facts.split}); licence: {facts.licence}")
            _print_row("", f"task {facts.task}; metrics: {', '.join(facts.metrics)}")
            _print_row("", facts.citation)
            _print_row("", f"here: {is_here(place, facts) or 'no'}")
        if many:
            _print_row(
                "", f"parts: {', '.join(f'{name}:{one}' for one in benchmark.subsets if one)}"
            )


def _print_guards(folder: str | None) -> None:
    """Each suite as it would run here: what is asked, what it costs, what loss it can show."""
    from tuneval.benchmarks.source import place_of
    from tuneval.comparison.estimate.power import detectable
    from tuneval.plan.guards import SUITES, chosen

    for suite in SUITES:
        guards = chosen(suite, place_of(folder))
        n, tokens = (
            sum(one.n_cases for one in guards),
            sum(one.n_tokens for one in guards),
        )
        _print_row(
            suite,
            f"{n:,} cases, about {tokens / 1e6:.1f} million tokens a variant: "
            f"{tokens / 1000 / 60:.0f} minutes at 1,000 tokens a second.",
        )
        for one in guards:
            least = 100 * detectable(one.n_independent, DISCORDANT)
            apart = f" ({one.n_independent} independent)" * (one.n_independent < one.n_cases)
            is_own = one.name != one.guard.published
            _print_row("", f"{one.name}: {one.facts.measures}")
            _print_row(
                "",
                f"{one.n_cases:,} cases{apart}; licence: {one.facts.licence}; sees a loss of {least:.1f} points in 80 "
                f"of 100 runs where one case in five changes"
                + f"; stands in for {one.guard.published}, whose rows are not here"
                * is_own,
            )
        missing = {one.published for one in SUITES[suite]} - {g.guard.published for g in guards}
        if missing:
            _print_row("", f"not here, and nothing stands in: {', '.join(sorted(missing))}")


def _print_row(name: str, text: str) -> None:
    """A name and its first paragraph, wrapped to the terminal."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    first, *rest = textwrap.wrap(paragraph.replace("`", ""), width() - COLUMN) or [""]
    if len(name) >= COLUMN:  # a long name stands alone
        print(name)
        name = ""
    print(f"{name:<{COLUMN - 1}} {first}".rstrip())
    for line in rest:
        print(" " * COLUMN + line)
