"""GLUE: nine tasks on single sentences and pairs, and the mean of their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuneval.benchmarks import Facts, Place, source
from tuneval.errors import DataError
from tuneval.types import Case

PAPER = (
    "Wang et al. (2019), GLUE: a multi-task benchmark and analysis platform for natural language "
    "understanding, ICLR; data of "
)
NO_YES = ("no", "yes")
PAIR = {"context": "sentence1", "text": "sentence2"}
PROBABLE = ("log_loss", "ece")
HIDDEN = "The labels of the test split are not public: the validation split is asked."


@dataclass(frozen=True, slots=True)
class Part:
    """One task: what is known of it, and which column stands under which standard input."""

    facts: Facts
    inputs: Mapping[str, str]


def _facts(name: str, title: str, sizes: tuple[int, int], data_of: str, **own: Any) -> Facts:
    split = own.setdefault("split", "validation")
    own.setdefault("config", name)
    own.setdefault("prompts", f"glue_{name}-1 (lm-eval {name} {own.pop('version', '1.0')})")
    return Facts(
        name=f"glue:{name}",
        title=f"{title} (GLUE)",
        citation=PAPER + data_of,
        hub="nyu-mll/glue",
        sizes={split: sizes[0], "train": sizes[1]},
        pool="train",
        shots="drawn",
        folders=own.pop("folders", ("glue",)),
        notes=own.pop("notes", (HIDDEN,)),
        **own,
    )


def _classes(
    name: str,
    title: str,
    sizes: tuple[int, int],
    data_of: str,
    *,
    template: str,
    words: Mapping[str, str],
    scores: tuple[str, ...] = ("accuracy",),
    **own: Any,
) -> Facts:
    """A task with labels; ``words`` say what stands for each in a prompt, in the hub's order, and the last
    label is the positive one where F1 is a score."""
    labels = tuple(words)
    others = [one for one in ("accuracy", "f1_macro", "mcc", *PROBABLE) if one not in scores]
    return _facts(
        name,
        title,
        sizes,
        data_of,
        task="classify",
        labels=labels,
        options={"template": template, "verbalizers": words, "prompt_style": "text"},
        metrics=(*scores, *others),
        metric_options={"f1_binary": {"positive": labels[-1]}} if "f1_binary" in scores else {},
        averaged=scores,
        **own,
    )


def _words(labels: str, words: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(labels.split(), words, strict=True))


def _mnli(name: str, kind: str, n: int) -> Part:
    return Part(
        _classes(
            name,
            f"MNLI {kind}",
            (n, 392_702),
            "Williams et al. (2018), A broad-coverage challenge corpus for sentence understanding.",
            measures="Telling whether a premise entails, contradicts or leaves open a hypothesis.",
            licence="OANC; CC BY 3.0 and CC BY-SA 3.0 by genre",
            template="{context}\nQuestion: {text!sentence} True, False or Neither?\nAnswer:",
            words=_words("entailment neutral contradiction", ("True", "Neither", "False")),
            config="mnli",
            split=f"validation_{kind}",
            prompts=f"glue_{name}-1 (lm-eval {'mnli' if kind == 'matched' else 'mnli_mismatch'} 1.0)",
        ),
        {"context": "premise", "text": "hypothesis"},
    )


PARTS: dict[str, Part] = {
    "cola": Part(
        _classes(
            "cola",
            "CoLA",
            (1_043, 8_551),
            "Warstadt et al. (2019), Neural network acceptability judgments.",
            measures="Telling acceptable English sentences from unacceptable ones.",
            licence="none stated with the data",
            template="{text}\nQuestion: Does this sentence make sense?\nAnswer:",
            words=_words("unacceptable acceptable", NO_YES),
            scores=("mcc",),
        ),
        {"text": "sentence"},
    ),
    "sst2": Part(
        _classes(
            "sst2",
            "SST-2",
            (872, 67_349),
            "Socher et al. (2013), Recursive deep models for semantic compositionality.",
            measures="Telling praise from blame in one sentence of a film review.",
            licence="none stated with the data",
            template="{text}\nQuestion: Is this sentence positive or negative?\nAnswer:",
            words=_words("negative positive", ("negative", "positive")),
            folders=("glue", "sst2", "SST-2"),
        ),
        {"text": "sentence"},
    ),
    "mrpc": Part(
        _classes(
            "mrpc",
            "MRPC",
            (408, 3_668),
            "Dolan and Brockett (2005), Automatically constructing a corpus of sentential paraphrases.",
            measures="Telling whether two sentences of news mean the same.",
            licence="Microsoft Research licence",
            template="Sentence 1: {context}\nSentence 2: {text}\n"
            "Question: Do both sentences mean the same thing?\nAnswer:",
            words=_words("not_equivalent equivalent", NO_YES),
            scores=("accuracy", "f1_binary"),
        ),
        PAIR,
    ),
    "stsb": Part(
        _facts(
            "stsb",
            "STS-B",
            (1_500, 5_749),
            "Cer et al. (2017), SemEval-2017 task 1: semantic textual similarity.",
            measures="Saying how near two sentences are in meaning, from 0 to 5.",
            licence="CC BY-SA 4.0 (scores); texts by their origins",
            task="regression",
            options={
                "template": "Sentence 1: {context}\nSentence 2: {text}\nQuestion: How similar are both "
                "sentences in meaning, from 0 (not at all) to 5 (the same)?\nAnswer:",
                "prompt_style": "text",
            },
            metrics=("pearson", "spearman", "kendall_tau", "rmse", "mae"),
            averaged=("pearson", "spearman"),
            prompts="glue_stsb-1 (own wording; lm-eval has no such task)",
        ),
        PAIR,
    ),
    "qqp": Part(
        _classes(
            "qqp",
            "QQP",
            (40_430, 363_846),
            "Iyer et al. (2017), First Quora dataset release: question pairs.",
            measures="Telling whether two questions ask the same.",
            licence="Quora's terms of service (non-commercial)",
            template="Question 1: {context}\nQuestion 2: {text}\n"
            "Question: Do both questions ask the same thing?\nAnswer:",
            words=_words("not_duplicate duplicate", NO_YES),
            scores=("accuracy", "f1_binary"),
            version="2.0",
        ),
        {"context": "question1", "text": "question2"},
    ),
    "mnli": _mnli("mnli", "matched", 9_815),
    "qnli": Part(
        _classes(
            "qnli",
            "QNLI",
            (5_463, 104_743),
            "Rajpurkar et al. (2016), SQuAD: 100,000+ questions.",
            measures="Telling whether a sentence holds the answer to a question.",
            licence="CC BY-SA 4.0",
            template="{question}\n{context}\nQuestion: Does this response answer the question?\nAnswer:",
            words=_words("entailment not_entailment", ("yes", "no")),
        ),
        {"question": "question", "context": "sentence"},
    ),
    "rte": Part(
        _classes(
            "rte",
            "RTE",
            (277, 2_490),
            "Dagan et al. (2006), Bar Haim et al. (2006), Giampiccolo et al. (2007), Bentivogli et al. (2009).",
            measures="Telling whether a text entails a hypothesis.",
            licence="none stated with the data",
            template="{context}\nQuestion: {text} True or False?\nAnswer:",
            words=_words("entailment not_entailment", ("True", "False")),
        ),
        PAIR,
    ),
    "wnli": Part(
        _classes(
            "wnli",
            "WNLI",
            (71, 635),
            "Levesque et al. (2012), The Winograd schema challenge.",
            measures="Telling what a pronoun stands for, as entailment.",
            licence="CC BY 4.0",
            template="{context}\nQuestion: {text} True or False?\nAnswer:",
            words=_words("not_entailment entailment", ("False", "True")),
            version="2.0",
            notes=(
                HIDDEN,
                "Sentences of the training split stand in it with the other label: the majority class is "
                "hard to beat.",
            ),
        ),
        PAIR,
    ),
    "mnli_mismatched": _mnli("mnli_mismatched", "mismatched", 9_832),
}


class Glue:
    """Tasks are subsets; ``glue`` alone is all nine, with the mean of their scores."""

    subsets = tuple(PARTS)
    whole = tuple(name for name in PARTS if name != "mnli_mismatched")

    def facts(self, subset: str) -> Facts:
        """What is known of the task."""
        return PARTS[subset].facts

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's rows; the split that is asked may also be one file named by the task."""
        part = PARTS[subset]
        also = (f"{subset}.jsonl*",) if split == part.facts.split else ()
        rows = source.rows(place, part.facts, split, also)
        return tuple(_case(f"glue:{subset}:{n}", part, row) for n, row in enumerate(rows, 1))


def _case(case_id: str, part: Part, row: source.Row) -> Case:
    inputs = {name: row.text(column) for name, column in part.inputs.items()}
    if "idx" in row.fields:
        inputs["id"] = row.text("idx")
    labels = part.facts.labels
    answer = _score(row) if labels is None else labels[row.index("label", len(labels))]
    return Case(case_id, inputs, (answer,))


def _score(row: source.Row) -> str:
    text = row.text("label")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 5:
        raise DataError(f'{row.where}: label is "{text[:20]}", expected a number from 0 to 5.')
    return repr(value)
