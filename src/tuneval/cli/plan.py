"""``tuneval plan``: what a number of cases can show, or how many a difference needs; no model."""

from __future__ import annotations

from typing import Annotated

import typer

from tuneval.cli.terminal import fitted

DISAGREEMENT = {"base -> tuned": 0.2, "LoRA -> full": 0.1}
"""Share of cases on which two variants disagree, as far as it can be assumed before a run."""


def plan(
    cases: Annotated[
        str | None, typer.Argument(metavar="[FILE|N]", help="a test file, or a number of cases")
    ] = None,
    detect: Annotated[
        float | None, typer.Option(help="difference to be seen, in points", metavar="POINTS")
    ] = None,
    disagreement: Annotated[
        float | None,
        typer.Option(help="expected share of cases on which two disagree", metavar="SHARE"),
    ] = None,
) -> int:
    """tuneval plan test.jsonl --detect 5

    How many cases a difference needs, and what n cases can show.
    Rates are for right-or-wrong scores, 80% power, two-sided tests at 5%.
    """
    from tuneval.errors import ConfigError

    if cases is None and detect is None:
        raise ConfigError("give a test file or a number of cases, or --detect POINTS, or both.")
    if detect is not None and not 0 < detect < 100:
        raise ConfigError(f'--detect "{detect:g}" is not a difference between 0 and 100 points.')
    if disagreement is not None and not 0 < disagreement <= 1:
        raise ConfigError(f'--disagreement "{disagreement:g}" is not a share between 0 and 1.')
    shares = DISAGREEMENT if disagreement is None else {"two variants": disagreement}
    if cases is not None:
        n = _count(cases)
        print(f"{n} cases can show, with 80% power:")
        for pair, share in shares.items():
            print(fitted("  " + _shown_by(n, pair, share), hang=17))
    if detect is not None:
        print(f"a difference of {detect:g} points needs:")
        for pair, share in shares.items():
            print(fitted("  " + _needed_for(detect, pair, share), hang=17))
    return 0


def _count(text: str) -> int:
    from tuneval.data.source import load
    from tuneval.errors import ConfigError

    if text.isdigit():
        if int(text) == 0:
            raise ConfigError("0 cases show nothing.")
        return int(text)
    return len(load(text, None, "test").rows)


def _shown_by(n: int, pair: str, share: float) -> str:
    from tuneval.comparison.estimate.power import detectable

    points = 100 * detectable(n, share)
    return (
        f"{pair:<14} differences of {points:.1f} points or more "
        f"(if the two disagree on {share:.0%} of the cases)"
    )


def _needed_for(points: float, pair: str, share: float) -> str:
    from tuneval.comparison.estimate.power import cases_for, cases_for_equivalence

    if points / 100 >= share:
        return (
            f"{pair:<14} disagreement on more than {share:.0%} of the cases: raise --disagreement"
        )
    n = cases_for(points / 100, share)
    n_equivalent = cases_for_equivalence(points / 100, share)
    return (
        f"{pair:<14} {n:,.0f} cases to be seen, {n_equivalent:,.0f} to prove that two equal "
        f"variants are that close"
    )
