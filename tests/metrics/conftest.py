"""Tiny networks and the place of WordNet, for metrics that need them."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import shared_path

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789.,!?"]
VOCABULARY = [*WORDS, *(f"##{one}" for one in WORDS[5:]), "the", "cat", "dog", "sat", "runs"]


def small_bert(**changes):
    """Configuration of a two-layer network over VOCABULARY."""
    from transformers import BertConfig

    return BertConfig(
        **{
            "vocab_size": len(VOCABULARY),
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "max_position_embeddings": 128,
            **changes,
        }
    )


def save_tokenizer(folder: Path) -> None:
    """A BERT tokenizer over VOCABULARY."""
    from transformers import BertTokenizerFast

    BertTokenizerFast(
        vocab={word: n for n, word in enumerate(VOCABULARY)}, model_max_length=128
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """A random BERT encoder in Hugging Face layout."""
    import torch
    from transformers import BertModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder")
    BertModel(small_bert()).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def bleurt_checkpoint(tmp_path_factory) -> Path:
    """A random BLEURT on BERT in Hugging Face layout."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bleurt")
    BertForSequenceClassification(small_bert(num_labels=1)).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture
def wordnet_data(monkeypatch) -> Path:
    """WordNet where NLTK would look for it."""
    folder = shared_path("nltk_data")
    monkeypatch.setenv("NLTK_DATA", str(folder))
    return folder
