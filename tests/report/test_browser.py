"""The report opened in headless Chromium: its script runs without error, hostile texts are text."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from report.finished_run import finished_run, free_text, with_benchmark
from tuneval.report import html

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

slow = pytest.mark.slow
Open = Callable[..., tuple[str, str]]


@pytest.fixture
def open_page(tmp_path: Path) -> Open:
    """Open a page and return its final DOM and the console's lines."""

    def opened(page: str, fragment: str = "") -> tuple[str, str]:
        path = tmp_path / "report.html"
        path.write_text(page, encoding="utf-8")
        done = subprocess.run(
            [
                str(CHROMIUM),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--dump-dom",
                path.as_uri() + fragment,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        lines = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done.stdout, "\n".join(lines)

    return opened


def _root(dom: str) -> dict[str, str]:
    found = re.search(r"<html([^>]*)>", dom)
    assert found
    return dict(re.findall(r'data-(\w+)="([^"]*)"', found[1]))


def test_script_runs_and_shows_hostile_texts_as_text(open_page: Open) -> None:
    dom, console = open_page(html.render(finished_run(120)))
    assert console == ""
    root = _root(dom)
    assert (root["ready"], root["rows"], root["cases"]) == ("true", "120", "360")
    assert dom.count("<li><details data-index=") == 50
    rows = dom[dom.index('id="rows"') :]
    assert '&lt;script&gt;document.title="owned"&lt;/script&gt;&lt;img src=x onerror' in rows
    assert "\\x1b[31mred\\x1b[0m \\x1b]52;c;aGk=\\x07" in rows
    assert "right \\u202eto left\\u202c and \\u2028 separator" in rows
    assert dom.count("<script") == 2
    assert "<title>support-intents: better, with warnings</title>" in dom
    assert 'role="status" aria-live="polite" id="announce">120 cases<' in dom


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("#cases?show=fixed&pair=1", lambda run: len(run.flips[1].fixed)),
        ("#cases?kind=&page=99", lambda run: 360),
        pytest.param("#cases?show=broken", lambda run: len(run.flips[0].broken), marks=slow),
        pytest.param("#cases?kind=typos%3Amedium", lambda run: 120, marks=slow),
        pytest.param("#cases?find=no+such+text", lambda run: 0, marks=slow),
        pytest.param(
            "#cases?group=writer%3Dlearner",
            lambda run: sum(
                c.groups["writer"] == "learner" and c.origin is None for c in run.case_sets[0].cases
            ),
            marks=slow,
        ),
        (
            "#cases?label=refund",
            lambda run: sum(
                c.references == ("refund",) and c.origin is None for c in run.case_sets[0].cases
            ),
        ),
        ("#cases?show=constructor&pair=1e9&group=%00&x=1", lambda run: 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_view_can_be_linked(
    open_page: Open, fragment: str, expected: Callable[[object], int]
) -> None:
    run = finished_run(120)
    dom, console = open_page(html.render(run), fragment)
    assert console == ""
    assert _root(dom)["rows"] == str(expected(run))


def test_an_opened_case_shows_every_answer(open_page: Open) -> None:
    dom, console = open_page(html.render(finished_run(30)), "#cases?open=test.jsonl%3A6")
    assert console == ""
    opened = dom[dom.index('class="open"') :]
    opened = opened[: opened.index("</details>")]
    for name in ("base", "lora-0", "lora-1", "lora-2", "full"):
        assert f">{name}<" in opened
    for who in ("base, lora-0, lora-1, lora-2", "full"):  # held once where they read the same
        assert opened.count(f">Prompt as sent to {who}<") == 1
    assert "&lt;s&gt;&lt;|user|&gt;Message: " in opened
    assert "unparsed: no label in the answer" in opened
    assert "&lt;script&gt;document.title" in opened


def test_graded_answers_are_neither_right_nor_wrong(open_page: Open) -> None:
    page = html.render(free_text(finished_run(20, perturbed=False)))
    dom, console = open_page(page, "#cases?open=test.jsonl%3A7")
    assert console == ""
    rows = dom[dom.index('id="rows"') :]
    assert "score 0.857" in rows
    assert not re.search('class="(right|wrong)"', rows)
    assert "<ins>should</ins><del>will</del>" in rows


@pytest.mark.parametrize(
    "page",
    [
        html.render(with_benchmark(finished_run(20))),
        pytest.param(html.render(finished_run(20), private=True), marks=slow),
        # Nothing to fix or break, and no verdict.
        html.render(dataclasses.replace(finished_run(20), flips=(), is_complete=False)),
    ],
    ids=["two case sets", "private", "incomplete"],
)
def test_other_pages_run_too(open_page: Open, page: str) -> None:
    dom, console = open_page(page)
    assert console == ""
    assert _root(dom)["ready"] == "true"
