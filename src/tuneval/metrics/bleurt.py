"""BLEURT: a regression network on top of BERT or RemBERT that was taught human scores.

Encodes and computes as the official TensorFlow program does, from a checkpoint in Hugging Face
layout. Not for: the official checkpoint folders (``saved_model.pb``), which need TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tuneval.errors import MetricError
from tuneval.metrics import checkpoint, fields
from tuneval.metrics.additive import Floats, Mean, rows
from tuneval.types import Case, Prediction, Unit

Pair = tuple[str, str]
"""Reference and candidate, in the order in which the network reads them."""

KNOWN_TYPES = ("bert", "rembert", "bleurt")
SHAPE = frozenset(
    {
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
        "type_vocab_size",
    }
)


class Bleurt(Mean):
    """Human-like score of a text against a reference, by a trained network; about 0 to 1.

    References
    ----------
    Sellam et al. (2020), BLEURT: learning robust metrics for text generation; Pu et al. (2021),
    Learning compact metrics for MT.
    """

    name = "bleurt"
    unit: Unit = "number"
    higher_is_better = True
    needs: tuple[str, ...] = ("text",)
    reference = "google-research/bleurt"

    def __init__(
        self, checkpoint: str | None = None, batch_tokens: int = 8_192, device: str = "auto"
    ) -> None:
        self.checkpoint = checkpoint
        self.batch_tokens = batch_tokens
        self.device = device

    def check(self) -> None:
        """Make sure that the checkpoint is here, and score a pair with it.

        Raises
        ------
        MetricError
            It is not; says where it was looked for and how to get it.
        """
        Network(self._folder(), "cpu").score([("a", "b")], self.batch_tokens)

    def _folder(self) -> Path:
        if self.checkpoint is None:
            raise MetricError(
                f'metric "{self.name}" needs a checkpoint in Hugging Face layout, and none is '
                'named. Set the option checkpoint to a folder or hub id, such as "BLEURT-20" '
                "converted to safetensors."
            )
        return checkpoint.find(self.name, "checkpoint", self.checkpoint)

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (score, 1); the best reference counts.

        Raises
        ------
        MetricError
            The checkpoint is missing, a case has no reference, or a prediction no text and no
            problem.
        """
        given = fields.texts(self.name, cases, predictions)
        groups = [
            [(one, text or "") for one in fields.references(self.name, case)]
            for case, text in zip(cases, given, strict=True)
        ]
        network = _network(self._folder(), checkpoint.device_of(self.device))
        scores = network.score([pair for group in groups for pair in group], self.batch_tokens)
        return rows(((max(scores[pair] for pair in group), 1) for group in groups), 2)

    def signature(self) -> str:
        """Checkpoint."""
        return f"checkpoint:{checkpoint.identity(self._folder())}|gelu:tanh"


@lru_cache(maxsize=1)
def _network(folder: Path, device: str) -> Network:
    return Network(folder, device)


class Network:
    """Weights and tokenizer of one checkpoint."""

    def __init__(self, folder: Path, device: str) -> None:
        config = checkpoint.config_of(folder)
        self._model: Any = _model(folder, config).float().to(device).eval()
        self._device = device
        self._tokenizer: Any = _tokenizer(folder)
        self._limit = int(config.get("max_position_embeddings", 512))
        self._begin, self._part = (self._special(folder, one) for one in ("[CLS]", "[SEP]"))

    def _special(self, folder: Path, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise MetricError(
                f'metric "bleurt": the tokenizer in "{folder}" has no "{token}". Use the one of '
                "the checkpoint."
            )
        return int(found)

    def score(self, pairs: Sequence[Pair], batch_tokens: int) -> dict[Pair, float]:
        """Score of each distinct pair, whatever the others are."""
        encoded = {pair: self.encode(pair) for pair in dict.fromkeys(pairs)}
        order = sorted(encoded, key=lambda pair: len(encoded[pair][0]), reverse=True)
        scores: dict[Pair, float] = {}
        start = 0
        while start < len(order):
            count = max(1, batch_tokens // len(encoded[order[start]][0]))
            batch = order[start : start + count]
            found = self._forward([encoded[pair] for pair in batch])
            scores.update(zip(batch, found, strict=True))
            start += count
        return scores

    def encode(self, pair: Pair) -> tuple[list[int], list[int]]:
        """Token ids and segments: [CLS] reference [SEP] candidate [SEP].

        Too long a pair loses tokens from the end of its longer side, on a tie the candidate's. An
        empty side keeps its [SEP], unlike with the tokenizers of transformers.
        """
        first, second = (
            self._tokenizer.encode(fields.encodable(text), add_special_tokens=False).ids
            for text in pair
        )
        surplus = len(first) + len(second) + 3 - self._limit
        for _ in range(surplus):
            (first if len(first) > len(second) else second).pop()
        ids = [self._begin, *first, self._part, *second, self._part]
        return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)

    def _forward(self, batch: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        import torch

        shape = (len(batch), len(batch[0][0]))
        ids, segments, mask = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
        for row, (tokens, parts) in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            segments[row, : len(tokens)] = torch.tensor(parts)
            mask[row, : len(tokens)] = 1
        with torch.inference_mode():
            logits = self._model(
                input_ids=ids.to(self._device),
                token_type_ids=segments.to(self._device),
                attention_mask=mask.to(self._device),
            ).logits
        scores: list[float] = logits[:, 0].double().cpu().tolist()
        return scores


def _model(folder: Path, config: dict[str, Any]) -> Any:
    """The network with the weights of the checkpoint, every one of them in its place."""
    from safetensors.torch import load_file
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        RemBertConfig,
        RemBertForSequenceClassification,
    )

    kind = config.get("model_type", "bert")
    if kind not in KNOWN_TYPES:
        raise MetricError(
            f'metric "bleurt": the checkpoint in "{folder}" is a "{kind}", and BLEURT is one of '
            f"{', '.join(KNOWN_TYPES)}. Name another with checkpoint."
        )
    narrow = config.get("input_embedding_size", config.get("embedding_size"))
    has_projection = kind == "rembert" or narrow not in (None, config["hidden_size"])
    settings = {key: value for key, value in config.items() if key in SHAPE} | {
        "num_labels": 1,
        "layer_norm_eps": config.get("layer_norm_eps", 1e-12),
        # "gelu" in a BLEURT checkpoint means what BERT's first code did: the tanh form.
        "hidden_act": {"gelu": "gelu_new"}.get(config.get("hidden_act", "gelu"), "gelu_new"),
    }
    with checkpoint.loading("bleurt", folder, "checkpoint"):
        if has_projection:
            network = RemBertForSequenceClassification(
                RemBertConfig(
                    **settings,
                    input_embedding_size=narrow or 256,
                    # Special tokens have no part in the arithmetic, but must be in the vocabulary.
                    bos_token_id=None,
                    eos_token_id=None,
                )
            )
        else:
            network = BertForSequenceClassification(BertConfig(**settings))
        prefix = "rembert." if has_projection else "bert."
        weights = {
            _renamed(name, prefix): tensor
            for path in sorted(folder.glob("*.safetensors"))
            for name, tensor in load_file(path).items()
            if not name.endswith("position_ids")
        }
        network.load_state_dict(weights)
    return network


def _renamed(name: str, prefix: str) -> str:
    """The name of a weight in transformers' own network."""
    for old in ("rembert.", "bleurt.", "bert."):
        if name.startswith(old):
            name = prefix + name.removeprefix(old)
            break
    return name.replace("encoder.embedding_projection", "encoder.embedding_hidden_mapping_in")


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    if (folder / "tokenizer.json").exists():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    vocabulary = folder / "vocab.txt"
    if not vocabulary.exists():
        raise MetricError(
            f'metric "bleurt": the checkpoint in "{folder}" has neither a tokenizer.json nor a '
            "vocab.txt. Save its tokenizer there with save_pretrained."
        )
    words = vocabulary.read_text(encoding="utf-8").rstrip("\n").split("\n")
    tokenizer = Tokenizer(
        WordPiece(
            {word: place for place, word in enumerate(words)},
            unk_token="[UNK]",
            max_input_chars_per_word=200,  # as in BERT's first code; transformers says 100
        )
    )
    tokenizer.normalizer = BertNormalizer(lowercase=_is_uncased(folder))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


def _is_uncased(folder: Path) -> bool:
    for name in ("bleurt_config.json", "tokenizer_config.json"):
        path = folder / name
        if path.exists():
            return bool(json.loads(path.read_text(encoding="utf-8")).get("do_lower_case", True))
    return True
