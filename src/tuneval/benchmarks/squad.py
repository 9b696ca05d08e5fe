"""SQuAD 1.1 and 2.0: answer a question by words of a passage, or say that it has none."""

from __future__ import annotations

from dataclasses import replace

from tuneval.benchmarks import Facts, Place, source
from tuneval.types import Case

V1 = Facts(
    name="squad",
    title="SQuAD 1.1",
    measures="Finding the words of a passage that answer a question.",
    licence="CC BY-SA 4.0",
    citation="Rajpurkar et al. (2016), SQuAD: 100,000+ questions for machine comprehension of text, EMNLP.",
    hub="rajpurkar/squad",
    sizes={"validation": 10_570, "train": 87_599},
    split="validation",
    pool="train",
    task="generate",
    options={
        "template": "Title: {title}\n\nBackground: {context}\n\nQuestion: {question}\n\nAnswer:",
        "prompt_style": "text",
        "stop": ("\n",),
        "max_tokens": 64,
    },
    metrics=("squad_v1_f1", "squad_v1_em"),
    prompts="squad-1 (lm-eval squadv2 3)",
    counts_unanswered=True,
    notes=("The test split is not public: the development split is asked.",),
)

V2 = replace(
    V1,
    name="squad:v2",
    title="SQuAD 2.0",
    measures="The same, and knowing when the passage holds no answer.",
    citation="Rajpurkar et al. (2018), Know what you don't know: unanswerable questions for SQuAD, ACL.",
    hub="rajpurkar/squad_v2",
    sizes={"validation": 11_873, "train": 130_319},
    options={**V1.options, "no_answer": "unanswerable"},
    metrics=("squad_f1", "squad_em"),
    folders=("squad",),
    counts_unanswered=False,
)

NAMES = {"": "v1.1", "v2": "v2.0"}


class Squad:
    """Questions on passages of Wikipedia; questions on one passage are resampled together."""

    subsets = ("", "v2")

    def facts(self, subset: str) -> Facts:
        """What is known of the version."""
        return V2 if subset == "v2" else V1

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's rows, or the official nested file of the version."""
        facts, version = self.facts(subset), NAMES[subset]
        part = {"validation": "dev", "train": "train"}[split]
        # The official files of both versions may lie side by side: their names tell them apart.
        official = [f"{part}-{version}.json", f"{part}-{version}.json.gz", f"{part}_{version}*"]
        files = source.find(place, facts, official)
        rows = source.rows_of(files) if files else source.rows(place, facts, split)
        return tuple(_case(f"{facts.name}:{n}", row) for n, row in enumerate(rows, 1))


def _case(case_id: str, row: source.Row) -> Case:
    given = row["answers"]
    texts = given["text"] if isinstance(given, dict) else [one["text"] for one in given]
    inputs = {name: row.text(name) for name in ("id", "title", "context", "question")}
    answered = "answerable" if texts else "unanswerable"
    return Case(
        case_id,
        inputs,
        tuple(map(str, texts)),
        groups={"kind": answered} if case_id.startswith("squad:v2") else {},
        cluster=inputs["context"],
    )
