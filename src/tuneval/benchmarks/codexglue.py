"""CodeXGLUE: seven tasks on code, each with its official metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tuneval.benchmarks import Facts, Place, source
from tuneval.errors import DataError
from tuneval.types import Case

PAPER = "Lu et al. (2021), CodeXGLUE: a machine learning benchmark dataset for code understanding and generation."
LANGUAGES = {
    "python": 14_918,
    "java": 10_955,
    "go": 8_122,
    "php": 14_014,
    "javascript": 3_291,
    "ruby": 1_261,
}
"""Language -> published rows of the test split."""

ONE_LINE = {"prompt_style": "text", "stop": ("\n",), "max_tokens": 512}
NO_YES = {"0": "no", "1": "yes"}


@dataclass(frozen=True, slots=True)
class Part:
    """One task: what is known of it, the original files of its splits, and how a row becomes a case."""

    facts: Facts
    files: Mapping[str, tuple[str, ...]]
    case: Callable[[str, source.Row], Case]


def _facts(subset: str, **own: object) -> Facts:
    given: dict[str, object] = {
        "name": f"codexglue:{subset}",
        "licence": "C-UDA (data)",
        "citation": PAPER,
        "split": "test",
        "pool": "train",
        "task": "generate",
        "prompts": f"codexglue_{subset}-1 (own wording)",
        **own,
    }
    return Facts(**given)  # type: ignore[arg-type]


def _pair(source_field: str, target_field: str) -> Callable[[str, source.Row], Case]:
    def case(case_id: str, row: source.Row) -> Case:
        inputs = {"text": row.text(source_field), "id": str(row.fields.get("id", _number(case_id)))}
        return Case(case_id, inputs, (row.text(target_field),))

    return case


def _number(case_id: str) -> int:
    """Rows without an id of their own go by their place, from 0, as in the task's own files."""
    return int(case_id.rpartition(":")[2]) - 1


def _comment(case_id: str, row: source.Row) -> Case:
    """The official preparation: tokens of code and comment, joined by spaces."""
    code, comment = (
        " ".join(" ".join(map(str, row[name])).replace("\n", " ").split())
        for name in ("code_tokens", "docstring_tokens")
    )
    inputs = {"text": code, "id": str(row.fields.get("id", _number(case_id)))}
    return Case(case_id, inputs, (comment,))


def _defect(case_id: str, row: source.Row) -> Case:
    id_ = row.fields.get("idx", row.fields.get("id", _number(case_id)))
    inputs = {"text": row.text("func"), "id": str(id_)}
    return Case(case_id, inputs, (str(int(row["target"])),))


def _clone(case_id: str, row: source.Row) -> Case:
    ids = [str(row[name]) for name in ("id1", "id2")]
    inputs = {"text": row.text("func1"), "other": row.text("func2"), "id": "\t".join(ids)}
    return Case(case_id, inputs, (str(int(row["label"])),))


def _translation(subset: str, given: str, wanted: str) -> Part:
    says = {"java": "Java", "cs": "C#"}
    return Part(
        _facts(
            subset,
            title=f"CodeXGLUE code translation, {says[given]} to {says[wanted]}",
            measures=f"Translating a method from {says[given]} to {says[wanted]}.",
            hub="google/code_x_glue_cc_code_to_code_trans",
            sizes={"test": 1_000, "train": 10_300},
            options={
                **ONE_LINE,
                "template": f"Translate this {says[given]} method to {says[wanted]}.\n\n{says[given]}: "
                f"{{text}}\n{says[wanted]}:",
            },
            metrics=("codexglue_bleu", "exact_match"),
            folders=("code-to-code-trans", "codexglue/code-to-code-trans"),
        ),
        {},
        _pair(given, wanted),
    )


def _refinement(subset: str, size: str, n_test: int, n_train: int) -> Part:
    return Part(
        _facts(
            subset,
            title=f"CodeXGLUE code refinement ({size})",
            measures="Mending the bug in a Java method whose names were made abstract.",
            hub="google/code_x_glue_cc_code_refinement",
            config=size,
            sizes={"test": n_test, "train": n_train},
            options={
                **ONE_LINE,
                "template": "Mend the bug in this Java method.\n\nBuggy: {text}\nMended:",
            },
            metrics=("codexglue_bleu", "exact_match"),
            folders=("code-refinement", "codexglue/code-refinement"),
        ),
        {},
        _pair("buggy", "fixed"),
    )


def _to_text(subset: str, language: str) -> Part:
    return Part(
        _facts(
            subset,
            title=f"CodeXGLUE code to text ({language})",
            measures=f"Saying in a comment what a {language} function does.",
            hub="google/code_x_glue_ct_code_to_text",
            config=language,
            sizes={"test": LANGUAGES[language]},
            options={
                **ONE_LINE,
                "max_tokens": 64,
                "template": "{text}\n\nWhat does this code do, in one sentence?\nComment:",
            },
            metrics=("codexglue_text_bleu",),
            folders=("code-to-text", "codexglue/code-to-text"),
        ),
        {
            "test": (f"{language}/test.jsonl*", f"dataset/{language}/test.jsonl*"),
            "train": (f"{language}/train.jsonl*", f"dataset/{language}/train.jsonl*"),
        },
        _comment,
    )


PARTS: dict[str, Part] = {
    "code_to_text": _to_text("code_to_text", "python"),
    "code_to_code_trans": _translation("code_to_code_trans", "java", "cs"),
    "code_to_code_trans_cs_java": _translation("code_to_code_trans_cs_java", "cs", "java"),
    "code_refinement": _refinement("code_refinement", "small", 5_835, 46_680),
    "code_refinement_medium": _refinement("code_refinement_medium", "medium", 6_545, 52_364),
    "text_to_code": Part(
        _facts(
            "text_to_code",
            title="CodeXGLUE text to code (CONCODE)",
            measures="Writing a Java method from a comment and the names of its class.",
            hub="google/code_x_glue_tc_text_to_code",
            sizes={"validation": 2_000, "train": 100_000},
            split="validation",
            options={**ONE_LINE, "template": "Write the Java method.\n\n{text}\nJava:"},
            metrics=("codexglue_bleu", "code_exact_match"),
            folders=("text-to-code", "codexglue/text-to-code"),
            notes=("The code of the test split is not public: the development split is asked.",),
        ),
        {
            "validation": ("concode_dev.jsonl*", "dev.json", "concode/dev.json", "answers.json"),
            "train": ("concode_train.jsonl*", "train.json", "concode/train.json"),
        },
        _pair("nl", "code"),
    ),
    "defect": Part(
        _facts(
            "defect",
            title="CodeXGLUE defect detection (Devign)",
            measures="Telling C functions with a weakness from sound ones.",
            hub="google/code_x_glue_cc_defect_detection",
            sizes={"test": 2_732, "train": 21_854},
            task="classify",
            labels=tuple(NO_YES),
            options={
                "template": "{text}\n\nQuestion: Is this function open to attack or crash?\nAnswer:",
                "verbalizers": NO_YES,
                "prompt_style": "text",
            },
            metrics=("accuracy", "f1_macro", "mcc", "log_loss", "ece"),
            folders=("Defect-detection", "codexglue/Defect-detection"),
        ),
        {"test": ("test.jsonl*", "dataset/test.jsonl*"), "train": ("dataset/train.jsonl*",)},
        _defect,
    ),
    "clone": Part(
        _facts(
            "clone",
            title="CodeXGLUE clone detection (BigCloneBench)",
            measures="Telling whether two Java methods do the same.",
            hub="google/code_x_glue_cc_clone_detection_big_clone_bench",
            sizes={"test": 415_416, "train": 901_028},
            task="classify",
            labels=tuple(NO_YES),
            options={
                "template": "{text}\n\n{other}\n\nQuestion: Do these two methods do the same?\nAnswer:",
                "verbalizers": NO_YES,
                "prompt_style": "text",
            },
            metrics=("f1_binary", "precision_binary", "recall_binary", "accuracy", "log_loss"),
            folders=("Clone-detection-BigCloneBench", "codexglue/Clone-detection-BigCloneBench"),
            notes=("Clone detection on POJ-104 ranks embeddings (MAP@R) and is not offered.",),
        ),
        {},
        _clone,
    ),
    **{
        f"code_to_text_{language}": _to_text(f"code_to_text_{language}", language)
        for language in LANGUAGES
    },
}

PARALLEL = {
    "code_to_code_trans": ("java", "cs"),
    "code_to_code_trans_cs_java": ("java", "cs"),
    "code_refinement": ("buggy", "fixed"),
    "code_refinement_medium": ("buggy", "fixed"),
}
"""Tasks whose original files hold one side each, a line a row."""


class CodeXGlue:
    """Tasks are subsets; there is no score of the whole."""

    subsets = tuple(PARTS)

    def facts(self, subset: str) -> Facts:
        """What is known of the task."""
        return PARTS[subset].facts

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's rows, or the files of microsoft/CodeXGLUE."""
        part = PARTS[subset]
        rows = _sides(place, part.facts, PARALLEL[subset], split) if subset in PARALLEL else []
        if not rows and subset == "clone":
            rows = _clone_pairs(place, part.facts, split)
        if not rows:
            rows = source.rows(place, part.facts, split, part.files.get(split, ()))
        return tuple(part.case(f"{part.facts.name}:{n}", row) for n, row in enumerate(rows, 1))


def _sides(place: Place, facts: Facts, names: tuple[str, str], split: str) -> list[source.Row]:
    """Rows of two files side by side, such as ``test.java-cs.txt.java`` and ``.cs``."""
    stem = f"{split}.{'-'.join(names)}*"
    sides = [
        source.find(place, facts, [f"{head}{stem}.{name}*" for head in _heads(facts)])
        for name in names
    ]
    if not all(sides):
        return []
    texts = [list(source.lines_of(side[0])) for side in sides]
    if len(texts[0]) != len(texts[1]):
        raise DataError(
            f"{sides[0][0]} has {len(texts[0])} lines and {sides[1][0].name} {len(texts[1])}: they "
            "belong side by side."
        )
    return [
        source.Row(f"{sides[0][0]}, line {n}", dict(zip(names, pair, strict=True)))
        for n, pair in enumerate(zip(*texts, strict=True), 1)
    ]


def _heads(facts: Facts) -> tuple[str, ...]:
    return (f"{facts.config}/", f"data/{facts.config}/") if facts.config else ("", "data/")


def _clone_pairs(place: Place, facts: Facts, split: str) -> list[source.Row]:
    """Pairs of ``test.txt`` ("id1 id2 label") with the functions of ``data.jsonl``."""
    pairs = source.find(place, facts, (f"{split}.txt", f"dataset/{split}.txt"))
    code = source.find(place, facts, ("data.jsonl*", "dataset/data.jsonl*"))
    if not pairs or not code:
        return []
    functions = {row.text("idx"): row.text("func") for row in source.rows_of(code)}
    found = []
    for n, line in enumerate(source.lines_of(pairs[0]), 1):
        where = f"{pairs[0]}, line {n}"
        cells = line.split()
        if len(cells) != 3 or cells[0] not in functions or cells[1] not in functions:
            raise DataError(f'{where}: expected two known ids and a label, found "{line[:60]}".')
        first, second, label = cells
        found.append(
            source.Row(
                where,
                {"id1": first, "id2": second, "func1": functions[first],
                 "func2": functions[second], "label": label},
            )
        )  # fmt: skip
    return found
