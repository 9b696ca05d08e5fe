"""How quick the report's page is: sizes, and milliseconds to filter and to turn a page, in Chromium.

    PYTHONPATH=src:tests python evidence/report_page.py

Writes the table of ``docs/report.md``: a made-up run of each size is rendered, opened without a window,
and its case browser is asked for each kind of view; the times are the page's own (``performance.now``).
"""

from __future__ import annotations

import dataclasses
import random
import tempfile
import time
from pathlib import Path

from report.chromium import Tab
from report.finished_run import LABELS, finished_run, free_text
from tuneval.report import html
from tuneval.types import Case, Prediction, RunResult

WORDS = [
    f"{word}{n}" for word in ("parcel", "refund", "login", "map", "when", "why") for n in range(900)
]
SIZES = {
    "200 cases of 30 kB": (200, 30_000, True),
    "15,000 short cases": (15_000, 60, False),
    "100,000 short cases": (100_000, 60, False),
}
VIEWS = {
    "all": "#cases?kind=",
    "broken": "#cases?show=broken",
    "losses first": "#cases?sort=losses",
    "a label": "#cases?label=refund",
    "search": "#cases?find=parcel7",
    "search again": "#cases?find=parcel71",
}  # fmt: skip


def made_up(n: int, size: int, is_text: bool) -> RunResult:
    """A run of ``n`` cases whose inputs have ``size`` characters, and answers as long where texts are."""
    dice = random.Random(n)

    def text() -> str:
        return " ".join(dice.choice(WORDS) for _ in range(max(1, size // 9)))

    run = finished_run(40, perturbed=False)
    run = free_text(run) if is_text else run
    cases = tuple(
        Case(f"test.jsonl:{i + 1}", {"text": text()}, (text() if is_text else dice.choice(LABELS),))
        for i in range(n)
    )

    def answer(case: Case) -> tuple[Prediction, float]:
        if is_text:
            words = case.references[0].split()
            for _ in range(len(words) // 50):
                words[dice.randrange(len(words))] = "changed"
            return Prediction(case.id, text=" ".join(words)), round(dice.random(), 3)
        label = case.references[0] if dice.random() < 0.7 else dice.choice(LABELS)
        return Prediction(case.id, text=label, label=label), float(label == case.references[0])

    answers = {v.name: [answer(case) for case in cases] for v in run.variants}
    return dataclasses.replace(
        run,
        case_sets=(dataclasses.replace(run.case_sets[0], cases=cases),),
        predictions={name: tuple(p for p, _ in own) for name, own in answers.items()},
        case_scores={name: tuple(s for _, s in own) for name, own in answers.items()},
        prompts=(),
        prompt_places={},
        flips=(),
        confusions=(),
    )


def main() -> None:
    """Print the table."""
    print("| run | page, MB | view | cases | filter, ms | page, ms |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tab = Tab(Path(folder))
        for name, size in SIZES.items():
            path = Path(folder) / "report.html"
            path.write_text(html.render(made_up(*size)), encoding="utf-8")
            tab.goto(path.as_uri())
            time.sleep(2)  # the page is idle a while before a person clicks
            for view, address in VIEWS.items():
                tab.run(
                    f"document.documentElement.dataset.filterMs = ''; location.hash = '{address}'"
                )
                tab.wait("document.documentElement.dataset.filterMs !== ''")
                found = tab.run("({...document.documentElement.dataset})")
                megabytes = path.stat().st_size / 1e6
                print(
                    f"| {name} | {megabytes:.1f} | {view} | {int(found['rows']):,} "
                    f"| {found['filterMs']} | {found['pageMs']} |"
                )
        tab.close()


if __name__ == "__main__":
    main()
