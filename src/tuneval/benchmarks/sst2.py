"""SST-2: is a sentence of a film review positive or negative?"""

from __future__ import annotations

from tuneval.benchmarks import Facts, Place, source
from tuneval.types import Case

LABELS = ("negative", "positive")

FACTS = Facts(
    name="sst2",
    title="SST-2 (Stanford Sentiment Treebank, GLUE)",
    measures="Telling praise from blame in one sentence of a film review.",
    licence="none stated with the data",
    citation="Socher et al. (2013), Recursive deep models for semantic compositionality over a sentiment "
    "treebank, EMNLP; as in Wang et al. (2019), GLUE.",
    hub="nyu-mll/glue",
    config="sst2",
    sizes={"validation": 872, "train": 67_349},
    split="validation",
    pool="train",
    shots="drawn",
    task="classify",
    labels=LABELS,
    options={
        "template": "{text}\nQuestion: Is this sentence positive or negative?\nAnswer:",
        "prompt_style": "text",
    },
    metrics=("accuracy", "f1_macro", "mcc", "log_loss", "ece"),
    prompts="sst2-1 (lm-eval sst2 1.0)",
    folders=("SST-2", "glue"),
    notes=("The labels of the test split are not public: the validation split is asked.",),
)


class Sst2:
    """872 sentences with two labels; the GLUE server keeps the labels of the test split."""

    subsets = ("",)

    def facts(self, subset: str) -> Facts:
        """What is known of it."""
        return FACTS

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """GLUE's own TSV has no idx column; sentences keep their trailing space, as in GLUE."""
        original = {"validation": "dev.tsv", "train": "train.tsv"}[split]
        rows = source.rows(place, FACTS, split, (original, f"SST-2/{original}"))
        return tuple(
            Case(
                f"sst2:{n}",
                {"text": row.text("sentence")},
                (LABELS[row.index("label", len(LABELS))],),
            )
            for n, row in enumerate(rows, 1)
        )
