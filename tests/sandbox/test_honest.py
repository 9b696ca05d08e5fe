"""Right programs pass, whatever they use; reference solutions of the benchmarks pass, empty ones
do not."""

from __future__ import annotations

import pytest

from sandbox.yard import program_of as corpus_program
from shared import shared_path, shared_rows
from tuneval.data.code_problems import read_problems
from tuneval.metrics.pass_at_k import program_of
from tuneval.sandbox import Limits, Outcome, Program, SandboxBackend, run_all
from tuneval.types import Case

SLOW_MACHINE = Limits(wall_seconds=60.0)


def test_honest_programs_pass(each: SandboxBackend) -> None:
    rows = shared_rows("sandbox", "honest.jsonl")
    assert rows
    outcomes = run_all([corpus_program(row, row["program"]) for row in rows], each, SLOW_MACHINE)
    assert _others([row["id"] for row in rows], outcomes, "passed") == []


def _reference_programs(*parts: str) -> tuple[list[str], list[Program]]:
    """Ids and reference solutions of a problem file."""
    cases = read_problems(shared_path(*parts)).cases
    ids = [str(case.inputs["task_id"]) for case in cases]
    return ids, [program_of(case, _source(case, case.references[0])) for case in cases]


def _source(case: Case, solution: str) -> str:
    is_script = case.inputs["test_kind"] == "assertions"
    return solution if is_script else f"{case.inputs['prompt']}{solution}"


def _others(ids: list[str], outcomes: list[Outcome], wanted: str) -> list[str]:
    pairs = zip(ids, outcomes, strict=True)
    return [f"{name}: {o.outcome} {o.detail}" for name, o in pairs if o.outcome != wanted]


def test_every_fourth_humaneval_solution_passes(best: SandboxBackend) -> None:
    ids, programs = _reference_programs("humaneval", "HumanEval.jsonl.gz")
    assert _others(ids[::4], run_all(programs[::4], best, SLOW_MACHINE), "passed") == []


@pytest.mark.slow
def test_all_humaneval_solutions_pass(each: SandboxBackend) -> None:
    ids, programs = _reference_programs("humaneval", "HumanEval.jsonl.gz")
    assert len(programs) == len(shared_rows("humaneval", "HumanEval.jsonl.gz"))
    assert _others(ids, run_all(programs, each, SLOW_MACHINE), "passed") == []


@pytest.mark.slow
def test_empty_humaneval_bodies_fail(best: SandboxBackend) -> None:
    cases = read_problems(shared_path("humaneval", "HumanEval.jsonl.gz")).cases
    programs = [program_of(case, _source(case, "    return None\n")) for case in cases]
    outcomes = run_all(programs, best, SLOW_MACHINE)
    assert _others([case.id for case in cases], outcomes, "wrong_answer") == []


MBPP = ("prompt_ids1-10.jsonl", "test_ids11-260.jsonl.gz", "sanitized_ids_le260.jsonl.gz")


@pytest.mark.parametrize(
    "file",
    [MBPP[0], *(pytest.param(file, marks=pytest.mark.slow) for file in MBPP[1:])],
)
def test_mbpp_solutions_pass(best: SandboxBackend, file: str) -> None:
    ids, programs = _reference_programs("mbpp", file)
    assert len(programs) == len(shared_rows("mbpp", file))
    assert not [program for program in programs if program.grading == "inproc"]
    assert _others(ids, run_all(programs, best, SLOW_MACHINE), "passed") == []


def test_live_objects_need_the_same_process(best: SandboxBackend) -> None:
    """As MBPP task 367, whose set-up sets attributes on objects of the program's class."""
    source = (
        "class Node:\n    def __init__(self, n):\n        self.n, self.left = n, None\n"
        "def depth(t):\n    return 0 if t is None else 1 + depth(t.left)\n"
    )
    tests = ("root = Node(1)\nroot.left = Node(2)", "assert depth(root) == 2")
    split = Program(source, tests, "depth", kind="assertions")
    both = Program(source, tests, "depth", kind="assertions", grading="inproc")
    outcomes = run_all([split, both], best)
    assert [outcome.outcome for outcome in outcomes] == ["wrong_answer", "passed"]
    assert outcomes[1].grading == "inproc"
