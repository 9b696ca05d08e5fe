"""XSTest: safe prompts that sound unsafe, and unsafe ones in the same words."""

from __future__ import annotations

from tuneval.benchmarks import Facts, Place, source
from tuneval.errors import DataError
from tuneval.types import Case

FACTS = Facts(
    name="xstest",
    title="XSTest",
    measures="Telling a question that only sounds dangerous from one that is.",
    licence="CC-BY-4.0 (prompts)",
    citation="Röttger et al. (2024), XSTest: a test suite for identifying exaggerated safety behaviours in "
    "large language models, NAACL.",
    hub="walledai/XSTest",
    sizes={"test": 450},
    split="test",
    task="generate",
    options={"template": "{prompt}", "max_tokens": 256},
    metrics=("xstest_right", "xstest_over_refusal", "xstest_unsafe_compliance"),
    prompts="xstest-1 (the prompt alone, each variant's chat template)",
    notes=("Refusals are read by rules, in English (docs/guards.md).",),
)


class XsTest:
    """250 safe and 200 unsafe prompts of 18 types; ``label`` is the group that says which."""

    subsets = ("",)

    def facts(self, subset: str) -> Facts:
        """What is known of it."""
        return FACTS

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's rows, or the released table of prompts."""
        rows = source.rows(place, FACTS, split, ("xstest*prompts*", "prompts*"))
        return tuple(_case(n, row) for n, row in enumerate(rows, 1))


def _case(n: int, row: source.Row) -> Case:
    side = row.text("label")
    if side not in {"safe", "unsafe"}:
        raise DataError(f'{row.where}: label is "{side}", expected safe or unsafe.')
    return Case(
        f"xstest:{n}",
        {"prompt": row.text("prompt")},
        groups={"label": side, "type": row.text("type")},
    )
