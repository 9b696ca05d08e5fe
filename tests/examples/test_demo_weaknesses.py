"""Each weakness that is planted in the demo is found, its twin raises no alarm, the report shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tuneval import demo
from tuneval.api import RunResult, run
from tuneval.plan.spec import RunSpec
from tuneval.types import Finding

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEVAL_HOME", str(folder / "home"))
        yield folder


def walked(place: Path, *changes: str) -> RunResult:
    words = [f"output.dir={place}", "statistics.resamples=2000", *changes]
    return run(RunSpec.from_yaml(demo.folder() / "run.yaml", words))


@pytest.fixture(scope="module")
def planted(place: Path) -> RunResult:
    """The demo as it ships."""
    return walked(place)


@pytest.fixture(scope="module")
def twin(place: Path) -> RunResult:
    """The same without the leak, and with few slips of the finger."""
    return walked(
        place, f"train_data={demo.folder() / 'train.jsonl'}", "perturbations=[typos:light]"
    )


def found(result: RunResult, kind: str, subject: str = "", variant: str | None = None) -> Finding:
    (one,) = (
        f
        for f in result.findings
        if f.kind == kind
        and f.subject.startswith(subject)
        and f.case_set == "test"
        and (variant is None or f.variant == variant)
        and f.level != "note"
    )
    return one


@pytest.mark.parametrize(
    ("kind", "subject", "variant"),
    [
        ("robustness", "typos", "lora"),
        ("groups", "writer", "lora"),
        ("contamination", "", ""),
        ("calibration", "", "overfitted"),
        ("training gap", "", "overfitted"),
    ],
)
def test_planted_weaknesses_are_found(
    kind: str, subject: str, variant: str, planted: RunResult
) -> None:
    one = found(planted, kind, subject, variant)
    assert one.level == "warning", one.sentence
    about = [v for v in planted.verdicts if v.baseline == "base" and v.candidate == variant]
    assert all(one.sentence in verdict.warnings for verdict in about)


@pytest.mark.parametrize(
    ("kind", "subject", "variant"),
    [
        ("robustness", "typos", "lora"),
        ("groups", "channel", "lora"),
        ("contamination", "", ""),
        ("calibration", "", "full"),
    ],
)
def test_a_twin_without_the_weakness_raises_no_alarm(
    kind: str, subject: str, variant: str, twin: RunResult
) -> None:
    assert found(twin, kind, subject, variant).level == "clear"


def test_only_the_overfitted_one_forgot(planted: RunResult) -> None:
    told = {
        verdict.candidate: " ".join(verdict.warnings)
        for verdict in planted.verdicts
        if verdict.baseline == "base"
    }
    assert "General ability fell" in told["overfitted"]
    assert not any("General ability fell" in told[arm] for arm in ("lora", "full"))


def test_the_leak_is_named_case_by_case(planted: RunResult) -> None:
    leak = found(planted, "contamination")
    assert (leak.values["exact"], leak.values["near"]) == (11, 5)
    assert {row[1] for row in leak.rows} == {"exact", "near"}
    without = [s for s in planted.scores if s.slice == "overlap=clean"]
    assert {s.n_cases for s in without} == {384}


def test_the_report_shows_them(planted: RunResult) -> None:
    page = (Path(planted.output_dir) / "report.html").read_text(encoding="utf-8")
    beyond = page[page.index('id="beyond"') :]
    for title in ("Changed inputs", "Differences between groups", "Leaked cases"):
        assert f"<h3>{title}</h3>" in beyond
    assert "how often right, by confidence" in beyond
    assert "General ability fell" in page
    assert re.search(r"16 of 400 cases of test \(4\.0%\) occur", page)
