"""The run as JUnit XML, as continuous integration reads test results: a test case for each gate,
one for the answers, and the verdicts, which fail nothing unless a gate asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from tuneval.report import wording
from tuneval.report.escape import terminal
from tuneval.types import Gate, RunResult

_NO_CHARACTERS = re.compile("[\ufffe\uffff]")


def render(result: RunResult) -> str:
    """Write one suite; a gate that fails is a failure, one that cannot be told an error."""
    cases = [_answers(result), *map(_gate, result.gates), *_verdicts(result)]
    suite = ElementTree.Element(
        "testsuite",
        name=_text(f"tuneval {result.name}"),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        time=f"{result.seconds:.3f}",
    )
    suite.extend(cases)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _answers(result: RunResult) -> ElementTree.Element:
    case = _case("run", "every answer is there")
    if not result.is_complete:
        _say(case, "failure", "units are missing", result.problems)
    return case


def _gate(gate: Gate) -> ElementTree.Element:
    case = _case("gates", f"{gate.name} [{gate.about}]" if gate.about else gate.name)
    kind = {"passed": "system-out", "failed": "failure", "cannot tell": "error"}[gate.outcome]
    _say(case, kind, gate.outcome, [gate.sentence])
    return case


def _verdicts(result: RunResult) -> list[ElementTree.Element]:
    if not result.is_complete:
        return []
    cases = []
    for verdict in result.verdicts:
        case = _case("verdicts", f"{verdict.candidate} against {verdict.baseline}")
        lines = [verdict.headline, *(f"{wording.mark(verdict)} {one}" for one in verdict.reasons)]
        _say(case, "system-out", "", [*lines, *(f"! {one}" for one in verdict.warnings)])
        cases.append(case)
    return cases


def _case(group: str, name: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", classname=f"tuneval.{group}", name=_text(name))


def _say(case: ElementTree.Element, kind: str, outcome: str, lines: Sequence[str]) -> None:
    """A failure and an error carry their first line as the message that lists show."""
    said = ElementTree.SubElement(case, kind)
    said.text = "\n".join(map(_text, lines))
    if kind != "system-out":
        said.attrib |= {"type": outcome, "message": _text(lines[0]) if lines else outcome}


def _text(text: str) -> str:
    """Without what XML cannot hold."""
    return _NO_CHARACTERS.sub("\ufffd", terminal(text))
