"""Whole comparisons of models with an encoder, and of heads over words beside a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline.conftest import rows, write_rows
from tiny_models import build_classifier, edit_json
from tiny_models import build_model as build_llama
from tiny_seq2seq import build_adapter, build_model
from tuneval.api import RunResult, compare
from tuneval.errors import DataError, VariantError

FEW = {"resamples": 200}
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


class Models(NamedTuple):
    """A T5, what was tuned on it, a language model from left to right, and a head over words."""

    base: Path
    lora: Path
    full: Path
    llama: Path
    tagger: Path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    prefixes = {"summarization": {"prefix": "summarize: "}}
    base = build_model(folder / "base", task_specific_params=prefixes)
    full = build_model(folder / "full", seed=4)
    edit_json(full / "generation_config.json", num_beams=4, min_length=10)
    tagger = build_classifier(
        folder / "tagger", "bert", names=TAGS, kind="TokenClassification", initializer_range=0.5
    )
    return Models(
        base, build_adapter(folder / "lora", base), full, build_llama(folder / "llama"), tagger
    )


def run(models: Models, **changes: Any) -> RunResult:
    words: dict[str, Any] = {
        "base": str(models.base),
        "adapters": str(models.lora),
        "full": str(models.full),
        "statistics": FEW,
        "options": {},
    }
    return compare(**{**words, **changes})


def test_labels_are_scored_from_the_decoder(models: Models, tmp_path: Path) -> None:
    result = run(models, data=str(write_rows(tmp_path / "test.jsonl", rows(12))))
    assert {one.head for one in result.variants} == {"seq2seq"}
    for predictions in result.predictions.values():
        assert all(sum(one.label_probabilities.values()) == pytest.approx(1) for one in predictions)
    assert result.predictions["base"] != result.predictions["lora"]
    (shown,) = {one.text for one in result.prompts if "number 0" in one.text}
    assert shown == "The lazy dog number 0 jumps over\nLabel:</s><pad>"
    notes = "\n".join(result.notes)
    assert 'config.json names prefixes of tasks ("summarize: ")' in notes


def test_an_article_is_cut_and_a_lost_question_stops_the_run(
    models: Models, tmp_path: Path
) -> None:
    article = "Once upon a time there was a little girl. " * 40
    long = [{"article": article + str(n), "summary": f"A girl {n}"} for n in range(6)]
    data = write_rows(tmp_path / "long.jsonl", long)
    result = run(models, data=str(data), options={"max_tokens": 4})
    assert all(one.is_truncated for one in result.predictions["lora"])
    notes = "\n".join(result.notes)
    assert "base: 6 of 6 prompts do not fit and are cut" in notes
    assert "lost" not in notes
    cut = next(one for one in result.prompts if one.n_cut)
    assert cut.text[cut.cut_at :] == "</s><pad>"
    assert "full: generation_config.json asks for num_beams 4, min_length 10: not used" in notes

    result = run(
        models, data=str(data), options={"max_tokens": 4}, backend={"context_length": 1024}
    )
    assert not any(one.is_truncated for one in result.predictions["lora"])

    asked = [{"context": article, "question": f"Who is {n}?", "answer": "a girl"} for n in range(6)]
    data = write_rows(tmp_path / "asked.jsonl", asked)
    with pytest.raises(DataError, match="lose their question"):
        run(models, data=str(data), task="generate")


def test_heads_over_words_beside_a_language_model(models: Models, tmp_path: Path) -> None:
    made = [
        {"tokens": ["Ada", "Lovelace", "lives", "in", f"Paris{n}"], "ner_tags": [1, 2, 0, 0, 3]}
        for n in range(12)
    ]
    data = write_rows(tmp_path / "ner.jsonl", made)
    result = run(
        models,
        base=str(models.llama),
        adapters=(),
        full=str(models.tagger),
        data=str(data),
        perturbations=[{"name": "typos", "level": "heavy"}, {"name": "long", "level": "2x"}],
    )
    assert {one.name: one.head for one in result.variants} == {
        "base": "causal", "majority": "tokens", "full": "tokens",
    }  # fmt: skip
    (cases,) = result.case_sets
    assert cases.labels == TAGS
    assert cases.cases[0].references == ("B-PER I-PER O O B-LOC",)
    # A changed text has as many words as it has tags, or is left out.
    assert {one.perturbation.partition(":")[0] for one in cases.cases if one.origin} == {"typos"}
    for one, case in zip(result.predictions["full"], cases.cases, strict=True):
        assert len(one.text.split()) == len(case.references[0].split())
    assert {one.text for one in result.predictions["majority"]} == {"O O O O O"}
    assert any((one.problem or "").startswith("unparsed") for one in result.predictions["base"])


def test_what_cannot_be_asked_is_refused(models: Models, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "test.jsonl", rows(12))
    with pytest.raises(VariantError, match=r"64 tokens at most, and backend\.context_length asks"):
        run(
            models, base=str(models.llama), adapters=(), full=(), data=str(data),
            backend={"context_length": 65},
        )  # fmt: skip
    with pytest.raises(VariantError, match="has a head over words"):
        run(models, base=str(models.llama), adapters=(), full=str(models.tagger), data=str(data))
