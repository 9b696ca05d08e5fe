"""Suites of guards: one word for the abilities that a fine-tune should not cost.

A suite names published benchmarks; where the rows of one are not on this machine, our own of the same kind
stand in for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval import registry
from tuneval.benchmarks import BENCHMARKS, Facts, Place
from tuneval.benchmarks.load import find
from tuneval.benchmarks.source import is_here
from tuneval.bridges import BRIDGES
from tuneval.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Guard:
    """One ability: the published benchmark, how many of its cases are asked, what stands in for it.

    ``tokens``: what one published case costs a variant, prompt and answer together, about.
    """

    published: str
    n_cases: int
    own: str | None
    tokens: int


SUITES: dict[str, tuple[Guard, ...]] = {
    "standard": (
        Guard("gsm8k", 1319, "everyday:sums", 330),
        Guard("ifeval", 541, "everyday:orders", 420),
        Guard("xstest", 450, "everyday:refusals", 160),
        Guard("mmlu", 2000, None, 120),
    )
}
"""Suite -> its guards. The sizes are those at which a loss of about 3 points is seen in 80 of 100 runs
where one case in five changes (``docs/guards.md``); a smaller published set is asked whole."""


OUR_PROMPT = 45
"""Tokens of a prompt of our own, on average, by the demo's small vocabulary."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is asked for one guard on this machine."""

    name: str
    limit: int | None
    facts: Facts
    guard: Guard

    @property
    def n_cases(self) -> int:
        """How many cases are asked."""
        every = self.facts.sizes.get(self.facts.split) or self.guard.n_cases
        return min(every, self.limit or every)

    @property
    def n_tokens(self) -> int:
        """What all cases cost a variant; for ours, what they cost where every answer is as long as may be."""
        if not self.facts.is_our_own:
            return self.n_cases * self.guard.tokens
        return self.n_cases * (OUR_PROMPT + int(self.facts.options["max_tokens"]))

    @property
    def n_independent(self) -> int:
        """The same where each case stands for itself; wordings of one question of ours are one."""
        if not self.facts.is_our_own:
            return self.n_cases
        benchmark, subset = find(self.name)
        cases = benchmark.read(Place(None, offline=True), subset, self.facts.split)
        return len({case.cluster or case.id for case in cases})


def chosen(suite: str, place: Place) -> list[Chosen]:
    """The guards of a suite: published where the rows are here, else our own, else none.

    Raises
    ------
    ConfigError
        There is no such suite.
    """
    if suite not in SUITES:
        raise ConfigError(f'no suite of guards is called "{suite}". Known: {", ".join(SUITES)}.')
    found = []
    for guard in SUITES[suite]:
        for name in (guard.published, guard.own):
            if name is None:
                continue
            benchmark, subset = find(name)
            facts = benchmark.facts(subset)
            if name == guard.own or is_here(place, facts):
                limit = guard.n_cases if name == guard.published else None
                found.append(Chosen(name, limit, facts, guard))
                break
    return found


def unfold(words: Sequence[str], place: Place) -> Iterator[dict[str, Any]]:
    """Sections of run.yaml for the words of ``--guard``: a suite becomes its benchmarks."""
    for word in words:
        if word not in SUITES:
            _refuse_unknown(word)
            yield {"benchmark": word, "guard": True}
            continue
        for one in chosen(word, place):
            yield {"benchmark": one.name, "limit": one.limit, "guard": True}


def _refuse_unknown(word: str) -> None:
    """A guard that is no suite is a benchmark; what is neither is told with both lists.

    Raises
    ------
    ConfigError
        There is no such guard.
    """
    name = word.partition(":")[0]
    known = registry.names(BENCHMARKS, room="benchmarks")
    if name not in {*known, *BRIDGES}:
        raise ConfigError(
            f"--guard: {registry.unknown(name, [*SUITES, *known])}. It takes a suite ({', '.join(SUITES)}), a "
            "benchmark, or a file of cases; tuneval list guards says what a suite asks."
        )
