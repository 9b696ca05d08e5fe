"""CNN/DailyMail: sum up a news article; and two judged parts of its test split."""

from __future__ import annotations

import re
from dataclasses import replace

from tuneval.benchmarks import Facts, Place, source
from tuneval.types import Case

FACTS = Facts(
    name="cnn_dailymail",
    title="CNN/DailyMail 3.0.0",
    measures="Summing up a news article in a few sentences, held against its published highlights.",
    licence="Apache-2.0 (the hub's card); the articles are CNN's and the Daily Mail's",
    citation="Hermann et al. (2015), Teaching machines to read and comprehend; See et al. (2017), Get to the "
    "point, ACL.",
    hub="abisee/cnn_dailymail",
    config="3.0.0",
    sizes={"test": 11_490, "train": 287_113},
    split="test",
    pool="train",
    task="generate",
    options={
        "template": "Summarize the following article:\n\n{article}\n\nSummary:",
        "prompt_style": "text",
        "max_tokens": 128,
    },
    metrics=("rougeLsum", "rouge1", "rouge2", "rougeL"),
    prompts="cnn_dailymail-1 (lm-eval cnn_dailymail_abisee 1.0)",
)

PARTS = {
    "summeval": replace(
        FACTS,
        name="cnn_dailymail:summeval",
        title="SummEval (100 articles of CNN/DailyMail with 11 references)",
        licence="MIT (annotations)",
        citation="Fabbri et al. (2021), SummEval: re-evaluating summarization evaluation, TACL.",
        hub="",
        get="the pairs of Yale-LILY/SummEval as DIR/cnndm_summeval/summeval.jsonl (id, article, reference)",
        config="",
        sizes={"test": 100},
        pool="",
        metrics=("rougeL", "rouge1", "rouge2"),
        folders=("cnndm_summeval", "summeval"),
    ),
    "realsumm": replace(
        FACTS,
        name="cnn_dailymail:realsumm",
        title="REALSumm (100 articles of CNN/DailyMail)",
        licence="CC-BY-4.0 (annotations)",
        citation="Bhandari et al. (2020), Re-evaluating evaluation in text summarization, EMNLP.",
        hub="",
        get="the scores of neulab/REALSumm as DIR/cnndm_realsumm/realsumm.jsonl (doc_id, article, reference)",
        config="",
        sizes={"test": 100},
        pool="",
        folders=("cnndm_realsumm", "realsumm"),
    ),
}

SENTENCE = re.compile(r"<t>\s*(.*?)\s*</t>", re.DOTALL)


class CnnDailyMail:
    """Articles with highlights, one sentence a line."""

    subsets = ("", *PARTS)

    def facts(self, subset: str) -> Facts:
        """What is known of the whole, or of a judged part."""
        return PARTS.get(subset, FACTS)

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's columns, or those of the two judged sets."""
        facts = self.facts(subset)
        rows = source.rows(place, facts, split, (f"{subset}.jsonl*",) if subset else ())
        make = _judged if subset else _published
        return tuple(make(f"{facts.name}:{n}", row) for n, row in enumerate(rows, 1))


def _published(case_id: str, row: source.Row) -> Case:
    inputs = {"article": row.text("article"), "id": row.text("id")}
    return Case(case_id, inputs, (row.text("highlights"),))


def _judged(case_id: str, row: source.Row) -> Case:
    id_ = row.fields.get("id", row.fields.get("doc_id"))
    inputs = {"article": row.text("article"), "id": str(id_)}
    return Case(case_id, inputs, (one_sentence_a_line(row.text("reference")),))


def one_sentence_a_line(text: str) -> str:
    """Sentences that are marked as ``<t> ... </t>``, each on a line; any other text as it is."""
    return "\n".join(SENTENCE.findall(text)) or text
