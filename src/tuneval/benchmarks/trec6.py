"""TREC-6: what kind of answer does a question ask for?"""

from __future__ import annotations

from tuneval.benchmarks import Facts, Place, source
from tuneval.errors import DataError
from tuneval.types import Case

WORDS = {
    "ABBR": "Abbreviation",
    "ENTY": "Entity",
    "DESC": "Description",
    "HUM": "Person",
    "LOC": "Location",
    "NUM": "Number",
}
"""Label, in the hub's order -> the word that stands for it in the prompt."""

LABELS = tuple(WORDS)

FACTS = Facts(
    name="trec6",
    title="TREC-6 (question classification)",
    measures="Sorting questions by the kind of answer they ask for; six unequal classes.",
    licence="none stated with the data",
    citation="Li and Roth (2002), Learning question classifiers, COLING; Voorhees and Tice (2000).",
    hub="CogComp/trec",
    config="default",
    get="hf download CogComp/trec --repo-type dataset --revision refs/convert/parquet --local-dir "
    "DIR/trec6 (or the original TREC_10.label and train_5500.label in DIR/trec6)",
    sizes={"test": 500, "train": 5_452},
    split="test",
    pool="train",
    task="classify",
    labels=LABELS,
    options={
        "preface": "Classify the questions based on whether their answer type is a Number, Location, "
        "Person, Description, Entity, or Abbreviation.",
        "template": "Question: {text}\nAnswer Type:",
        "verbalizers": WORDS,
        "prompt_style": "text",
    },
    metrics=("accuracy", "f1_macro", "balanced_accuracy", "mcc", "log_loss", "ece"),
    prompts="trec6-1 (wording of Zhao et al. 2021)",
    folders=("trec", "TREC"),
    notes=(
        "lm-eval has no such task; the wording is that of Zhao et al. (2021), arXiv:2102.09690.",
    ),
)

ORIGINAL = {"test": ("TREC_10.label",), "train": ("train_5500.label",)}


class Trec6:
    """500 questions in six classes."""

    subsets = ("",)

    def facts(self, subset: str) -> Facts:
        """What is known of it."""
        return FACTS

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's columns, or the original "DESC:manner How did ..." lines, which are Latin-1."""
        plain = source.find(place, FACTS, ORIGINAL[split])
        if plain:
            pairs = [
                _pair(f"{plain[0]}, line {n}", line)
                for n, line in enumerate(source.lines_of(plain[0], "latin-1"), 1)
                if line.strip()
            ]
        else:
            rows = source.rows(place, FACTS, split, (f"{split}_half.jsonl.gz",))
            pairs = [
                (LABELS[row.index("coarse_label", len(LABELS))], row.text("text")) for row in rows
            ]
        return tuple(
            Case(f"trec6:{n}", {"text": text}, (label,)) for n, (label, text) in enumerate(pairs, 1)
        )


def _pair(where: str, line: str) -> tuple[str, str]:
    head, _, text = line.partition(" ")
    label = head.partition(":")[0]
    if label not in LABELS:
        raise DataError(f'{where}: "{label[:20]}" is none of {", ".join(LABELS)}.')
    return label, text
