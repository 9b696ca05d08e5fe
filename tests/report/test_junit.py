"""JUnit XML, read back by a parser as continuous integration does."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from report.finished_run import HOSTILE_TEXTS, finished_run
from tuneval.report.junit import render
from tuneval.types import Gate, RunResult

GATES = (
    Gate("accuracy >= 0.90", "passed", "It holds.", "lora: accuracy"),
    Gate("accuracy >= 0.99", "failed", "It fails.", "lora: accuracy"),
    Gate("gap_to_full <= 1", "cannot tell", "Nobody knows."),
)
RUN = replace(finished_run(6), gates=GATES)


def suite_of(result: RunResult) -> ElementTree.Element:
    suite = ElementTree.fromstring(render(result)).find("testsuite")
    assert suite is not None
    return suite


def test_a_gate_is_a_test_case() -> None:
    suite = suite_of(RUN)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        str(1 + len(GATES) + len(RUN.verdicts)),
        "1",
        "1",
    )
    said = {case.get("name"): case for case in suite if case.get("classname") == "tuneval.gates"}
    assert list(said) == [
        "accuracy >= 0.90 [lora: accuracy]",
        "accuracy >= 0.99 [lora: accuracy]",
        "gap_to_full <= 1",
    ]
    failed, open_ = (
        said[name].find(kind)
        for name, kind in (
            ("accuracy >= 0.99 [lora: accuracy]", "failure"),
            ("gap_to_full <= 1", "error"),
        )
    )
    assert failed is not None
    assert open_ is not None
    assert failed.get("message") == "It fails."
    assert open_.get("type") == "cannot tell"


def test_a_verdict_alone_fails_nothing() -> None:
    worse = replace(
        RUN, verdicts=tuple(replace(v, headline="WORSE") for v in RUN.verdicts), gates=()
    )
    suite = suite_of(worse)
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert any("WORSE" in (text.text or "") for text in suite.iter("system-out"))


def test_missing_units_are_a_failure() -> None:
    suite = suite_of(replace(RUN, is_complete=False, gates=(), problems=("lora, 3: gave up",)))
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "lora, 3: gave up"
    assert suite.find("testcase[@classname='tuneval.verdicts']") is None


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS, "]]>", "\x00\ufffe\uffff\ud800", "&#0;&lol;"])
def test_hostile_text_stays_text(text: str) -> None:
    gates = (Gate(text, "failed", text, text), Gate(text, "cannot tell", text))
    run = replace(
        RUN,
        name=text,
        gates=gates,
        verdicts=tuple(replace(v, candidate=text, reasons=(text,)) for v in RUN.verdicts),
    )
    suite = suite_of(run)
    assert len(suite.findall("testcase")) == 1 + len(gates) + len(run.verdicts)
    assert {child.tag for case in suite for child in case} == {"failure", "error", "system-out"}
