"""A name such as "mmlu:anatomy" -> cases, examples and all that makes their number comparable."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tuneval import registry
from tuneval.benchmarks import BENCHMARKS, Benchmark, Facts, Loaded, Place
from tuneval.benchmarks.checksums import KNOWN
from tuneval.benchmarks.source import origin
from tuneval.data.select import few_shot as choose_examples
from tuneval.data.select import take
from tuneval.errors import ConfigError
from tuneval.types import Case, CaseSet

BOS_RULE = "the tokenizer's own"
"""A beginning-of-sequence token stands before a prompt where the tokenizer puts one, as in lm-eval."""

LM_EVAL_SEED = 1234
"""Seed of lm-eval's few-shot sampler, which goes on from one document to the next."""


def find(text: str) -> tuple[Benchmark, str]:
    """Benchmark and subset of "NAME" or "NAME:SUBSET".

    Raises
    ------
    ConfigError
        There is no such benchmark or subset; the nearest is offered.
    """
    name, _, subset = text.partition(":")
    benchmark: Benchmark = registry.load(BENCHMARKS, name, room="benchmarks")()
    if subset not in benchmark.subsets:
        if not subset:
            few = ", ".join(f"{name}:{one}" for one in benchmark.subsets[:12])
            raise ConfigError(f'benchmark "{name}" has parts; name one: {few}.')
        raise ConfigError(f'benchmark "{name}": {registry.unknown(subset, benchmark.subsets)}.')
    return benchmark, subset


def unfold(text: str) -> tuple[str, ...]:
    """The names that a benchmark's name stands for: its parts, where the whole is several tasks.

    Raises
    ------
    ConfigError
        There is no such benchmark.
    """
    name, colon, _ = text.partition(":")
    whole = () if colon else _parts_of(name)
    return whole or (text,)


def _parts_of(name: str) -> tuple[str, ...]:
    kind = registry.load(BENCHMARKS, name, room="benchmarks")
    return tuple(f"{name}:{subset}" for subset in getattr(kind, "whole", ()))


def load(
    text: str,
    place: Place,
    *,
    few_shot: int = 0,
    limit: int | float | None = None,
    selection_seed: int = 0,
    is_asked: bool = True,
) -> Loaded:
    """Read a benchmark.

    Parameters
    ----------
    few_shot : int
        Examples before every question, from the benchmark's own pool.
    limit : int, float or None
        Number or share of the cases: a fixed random choice, in proportion to the strata if it has any.
    is_asked : bool
        False where outputs are at hand already: the signature then says nothing of prompts.

    Raises
    ------
    ConfigError, DataError
        No such benchmark or subset, no rows here, or fewer examples than were asked for.
    """
    benchmark, subset = find(text)
    facts = benchmark.facts(subset)
    every = benchmark.read(place, subset, facts.split)
    digest = checksum(every)
    notes = [*_about_rows(facts, every, digest), *facts.notes]
    cases = CaseSet(
        name=facts.name,
        source=origin(place, facts),
        layout="benchmark",
        task=facts.task,
        cases=every,
        labels=facts.labels,
        sha256=digest,
    )
    cases = take(cases, limit, strata=facts.strata or None)
    asked = _without_lone_groups(cases.cases)
    notes += cases.notes
    examples: Sequence[Case] | Callable[[Case], Sequence[Case]] = ()
    pool_digest = ""
    if few_shot and not facts.pool:
        notes.append("Asked without examples: this benchmark is never shown any.")
        few_shot = 0
    if few_shot:
        pool = benchmark.read(place, subset, facts.pool)
        pool_digest = f"/{checksum(pool)[:12]}"
        examples = _examples(facts, pool, every, few_shot, selection_seed)
    parts = [
        f"benchmark:{facts.name}",
        f"split:{facts.split}",
        f"revision:{facts.revision or 'none'}",
        f"rows:{len(every)}/{digest[:12]}",
        *([f"asked:{len(asked)}"] if len(asked) < len(every) else []),
    ]
    if is_asked:
        parts += [f"prompts:{facts.prompts}", f"shots:{few_shot}{pool_digest}", f"bos:{BOS_RULE}"]
        notes = [f"Prompts {facts.prompts}, {few_shot}-shot.", *notes]
    signature = "|".join(parts)
    return Loaded(
        cases=replace(
            cases,
            cases=asked,
            notes=tuple(notes),
            columns={"id": "id"} if any("id" in case.inputs for case in asked) else {},
            signature=signature,
        ),
        options=facts.options,
        metrics=facts.metrics,
        examples=examples,
        signature=signature,
        metric_options=_metric_options(facts, every),
        counts_unanswered=facts.counts_unanswered,
        averaged=facts.averaged,
        whole=_parts_of(facts.name.partition(":")[0]) if facts.averaged else (),
    )


def checksum(cases: Sequence[Case]) -> str:
    """32 hex digits of the rows' content, whatever their order, packaging and ids.

    A sum of hashes, so that it is the same for one file and for many.
    """
    total = sum(
        int.from_bytes(
            hashlib.blake2b(
                json.dumps(
                    [case.inputs, case.references, case.groups],
                    sort_keys=True,
                    ensure_ascii=True,
                    default=list,
                ).encode(),
                digest_size=16,
            ).digest()
        )
        for case in cases
    )
    return f"{total % 2**128:032x}"


def _about_rows(facts: Facts, cases: Sequence[Case], digest: str) -> list[str]:
    """Whether these are the published rows, as sentences."""
    if facts.is_our_own:
        return [
            f"{len(cases):,} cases of our own (checksum {digest[:12]}): no figures are published."
        ]
    n_known, known = KNOWN.get(f"{facts.name}/{facts.split}", (None, None))
    n = n_known or facts.sizes.get(facts.split)
    counted = f"{len(cases):,} of {n:,} published rows" if n else f"{len(cases):,} rows"
    if known == digest:
        return [f"{counted}, checksum as published."]
    if known is not None and n == len(cases):
        return [
            f"{counted}, but their checksum {digest[:12]} is not that of the published rows "
            f"({known[:12]}): texts were changed."
        ]
    if n is not None and n < len(cases):
        return [f"{counted} (checksum {digest[:12]}): not the published split."]
    if n is not None and n != len(cases):
        return [f"Only {counted} (checksum {digest[:12]}): not comparable with figures for all."]
    return [f"{counted}, checksum {digest[:12]} (none is known to compare with)."]


def _examples(
    facts: Facts, pool: Sequence[Case], cases: Sequence[Case], k: int, selection_seed: int
) -> Sequence[Case] | Callable[[Case], Sequence[Case]]:
    if facts.shots == "first":
        return _first_of_stratum(facts, pool, cases, k)
    if facts.shots.startswith("drawn"):
        return _drawn_for_each(facts, pool, cases, k)
    return choose_examples(pool, k, selection_seed, labels=facts.labels, test=cases)


def _first_of_stratum(
    facts: Facts, pool: Sequence[Case], cases: Sequence[Case], k: int
) -> Callable[[Case], Sequence[Case]]:
    of_stratum: dict[str, list[Case]] = {}
    for one in pool:
        of_stratum.setdefault(one.groups[facts.strata], []).append(one)
    stratum_of = {case.id: case.groups[facts.strata] for case in cases}
    for stratum in dict.fromkeys(stratum_of.values()):
        n = len(of_stratum.get(stratum, ()))
        if n < k:
            raise ConfigError(
                f'benchmark "{facts.name}": {k} examples are wanted, and {facts.pool} has {n} of '
                f'{facts.strata} "{stratum}". Give --few-shot {n} or less.'
            )
    return lambda case: of_stratum[stratum_of[case.origin or case.id]][:k]


def _drawn_for_each(
    facts: Facts, pool: Sequence[Case], cases: Sequence[Case], k: int
) -> Callable[[Case], Sequence[Case]]:
    """The draws of lm-eval's default sampler, document after document over the whole split.

    Of a task without a test split it draws one more than it shows, to have a spare should the document
    itself be drawn, which cannot happen where the pool is another split.

    References
    ----------
    lm-evaluation-harness 0.4.13, ``ContextSampler.sample``.
    """
    if len(pool) <= k:
        raise ConfigError(
            f'benchmark "{facts.name}": {k} examples are wanted, and {facts.pool} has {len(pool)}.'
        )
    rng = random.Random(LM_EVAL_SEED)
    n = k if facts.shots == "drawn_without_spare" else k + 1
    drawn = {case.id: rng.sample(range(len(pool)), n)[:k] for case in cases}
    return lambda case: [pool[place] for place in drawn[case.origin or case.id]]


def _without_lone_groups(cases: Sequence[Case]) -> tuple[Case, ...]:
    """A group of which there is one value alone is no subgroup: its slice would be the whole again."""
    values: dict[str, set[str]] = {}
    for case in cases:
        for name, value in case.groups.items():
            values.setdefault(name, set()).add(value)
    kept = {name for name, found in values.items() if len(found) > 1}
    return tuple(
        replace(case, groups={name: one for name, one in case.groups.items() if name in kept})
        for case in cases
    )


def _metric_options(facts: Facts, cases: Sequence[Case]) -> dict[str, Mapping[str, object]]:
    """Those of the facts; an average over strata is told which there are."""
    found = dict(facts.metric_options)
    if facts.strata and "accuracy_macro" in facts.metrics:
        strata = tuple(dict.fromkeys(case.groups[facts.strata] for case in cases))
        found["accuracy_macro"] = {"group": facts.strata, "strata": strata}
    return found
