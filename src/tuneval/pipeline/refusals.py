"""What becomes of a run when some of its variants are refused after their weights were loaded.

What can be known before is refused before, and ends the run at once. Not for: proving (the backend's).
"""

from __future__ import annotations

from dataclasses import replace

from tuneval.errors import VariantError
from tuneval.plan.resolve import Plan


def without(plan: Plan, error: VariantError) -> tuple[Plan, tuple[str, ...]]:
    """The run without the variants that an error names, and what is to be told of them.

    Raises
    ------
    VariantError
        The given one, where it names no variant, or the baseline, or leaves nothing to compare, or
        where gates must hold for every variant of the run.
    """
    left = tuple(one for one in plan.variants if one.name not in error.refused)
    is_alone = not any(one.name != plan.baseline for one in left)
    if not error.refused or plan.baseline in error.refused or is_alone or plan.spec.gates:
        raise error
    told = tuple(
        f'"{name}" was refused and is not compared: {" ".join(reason.split())}'
        for name, reason in error.refused.items()
    )
    names = {one.name for one in left}
    smaller = replace(
        plan,
        variants=left,
        logs={name: log for name, log in plan.logs.items() if name in names},
        notes=(*plan.notes, *told),
    )
    return smaller, told
