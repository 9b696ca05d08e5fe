"""The report under axe-core, which npm brings: no violation, in both themes, narrow and wide."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from report.chromium import CHROMIUM, Tab
from report.finished_run import finished_run, five_arms, free_text, with_benchmark
from tuneval.report import html

AXE = "axe-core@4.14.1"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

PAGES = {
    "labels": lambda: finished_run(60),
    "graded": lambda: free_text(finished_run(40)),
    "five arms": lambda: five_arms(finished_run(40)),
    "two case sets": lambda: with_benchmark(finished_run(40), 150),
}


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine, which brings axe-core")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "pack", AXE, "--silent"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm could not fetch {AXE}: {done.stderr.strip()[:200]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    tab = Tab(tmp_path_factory.mktemp("chromium"))
    yield tab
    tab.close()


QUICK = {("labels", 400, "dark"), ("graded", 1280, "light")}
"""What is tried in every run of the tests; all of them in the slow one."""


@pytest.mark.parametrize(
    ("name", "width", "theme"),
    [
        pytest.param(*one, marks=[] if one in QUICK else [pytest.mark.slow])
        for one in product(PAGES, (400, 1280), ("light", "dark"))
    ],
)
def test_no_violation(
    tab: Tab, axe: str, tmp_path: Path, name: str, width: int, theme: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(html.render(PAGES[name]()), encoding="utf-8")
    tab.resize(width, 900)
    tab.prefer(theme)
    tab.goto(path.as_uri() + "#cases?open=test.jsonl%3A7")
    tab.run("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
    tab.run(axe + "; true")
    found = tab.run(
        "axe.run().then((r) => r.violations.map((v) => [v.id, v.help,"
        " v.nodes.slice(0, 4).map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary.slice(0, 200))]))"
    )
    assert not found, "\n".join(map(str, found))
