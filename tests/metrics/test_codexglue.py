"""The figures that CodeXGLUE prints for its own files."""

import gzip
import json

import pytest

from metrics.making import made_cases, value, written
from shared import shared_figures, shared_json, shared_path
from tuneval.metrics import build


def lines(*parts):
    path = shared_path("codexglue", *parts)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="\n") as file:
        return file.read().rstrip("\n").split("\n")


TRANSLATION = "code-to-code-trans"
JAVA, CS = f"{TRANSLATION}/test.java-cs.txt.java.gz", f"{TRANSLATION}/test.java-cs.txt.cs.gz"
SAMPLES = "evaluator_samples"


@pytest.mark.parametrize(
    ("key", "expected", "given"),
    [
        (
            f"{TRANSLATION} java->cs (system_java-cs.output vs .gold)",
            f"{TRANSLATION}/system_java-cs.gold.gz",
            f"{TRANSLATION}/system_java-cs.output.gz",
        ),
        (f"{TRANSLATION} java->cs naive copy (test .java as prediction of test .cs)", CS, JAVA),
        (f"{TRANSLATION} cs->java naive copy", JAVA, CS),
        *(
            (
                f"{SAMPLES}/{task}",
                f"{SAMPLES}/{task}/references.txt",
                f"{SAMPLES}/{task}/predictions.txt",
            )
            for task in (TRANSLATION, "code-refinement")
        ),
    ],
)
def test_code_to_code(key, expected, given):
    figures = shared_figures("codexglue", "expected_scores.json", of=(key,))
    cases, answers = made_cases(lines(*expected.split("/"))), written(lines(*given.split("/")))
    assert value(build("codexglue_bleu"), cases, answers) == pytest.approx(
        figures["bleu"], abs=0.01
    )
    assert 100 * value(build("exact_match"), cases, answers) == pytest.approx(
        figures["exact_match"], abs=0.01
    )


def test_text_to_code():
    figures = shared_json("codexglue", "expected_scores.json")[f"{SAMPLES}/text-to-code"]
    answers = [json.loads(line)["code"] for line in lines(SAMPLES, "text-to-code", "answers.json")]
    cases = made_cases(answers)
    given = written(lines(SAMPLES, "text-to-code", "predictions.txt"))
    assert value(build("codexglue_bleu"), cases, given) == pytest.approx(figures["bleu"], abs=0.01)
    assert 100 * value(build("code_exact_match"), cases, given) == pytest.approx(
        figures["exact_match"], abs=0.01
    )


def test_code_to_text():
    figures = shared_json("codexglue", "expected_scores.json")[f"{SAMPLES}/code-to-text"]
    expected, given = (
        [line.partition("\t")[2] for line in lines(SAMPLES, "code-to-text", name)]
        for name in ("reference.txt", "predictions.txt")
    )
    found = value(build("codexglue_text_bleu"), made_cases(expected), written(given))
    assert found == pytest.approx(figures["smoothed_bleu4"], abs=1e-9)


def test_defect_detection():
    figures = shared_json("codexglue", "expected_scores.json")[f"{SAMPLES}/Defect-detection"]
    expected = {
        str(row["idx"]): str(row["target"])
        for row in map(json.loads, lines(SAMPLES, "Defect-detection", "test.jsonl"))
    }
    given = dict(line.split("\t") for line in lines(SAMPLES, "Defect-detection", "predictions.txt"))
    cases = made_cases(list(expected.values()))
    answers = written([given[key].strip() for key in expected])
    assert value(build("exact_match"), cases, answers) == pytest.approx(figures["accuracy"])


def test_white_space_between_tokens_is_no_mistake_in_code():
    cases, answers = made_cases(["int  f ( )\n{ }"]), written(["int f ( ) { }"])
    assert value(build("code_exact_match"), cases, answers) == 1
    assert value(build("exact_match"), cases, answers) == 0
