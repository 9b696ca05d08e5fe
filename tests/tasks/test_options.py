"""Settings that every task shares."""

from __future__ import annotations

import pytest

from tuneval import tasks


@pytest.mark.parametrize("task", ["classify", "multiple_choice"])
def test_settings_of_a_completion_are_named_where_nothing_is_drawn(task: str) -> None:
    scored = tasks.build(task, labels=("yes", "no"), max_tokens=5, stop=["."])
    assert scored.warnings() == (
        f"{task}: max_tokens and stop change nothing: answers are scored by likelihood, and no text "
        "is drawn (--scoring generate does).",
    )
    assert tasks.build(task, labels=("yes", "no")).warnings() == ()
    assert (
        tasks.build(task, labels=("yes", "no"), max_tokens=5, scoring="generate").warnings() == ()
    )
