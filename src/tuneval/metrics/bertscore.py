"""BERTScore: words of two texts paired by the likeness of their contextual embeddings.

Differs from bert-score where that one is unstable: no score depends on the other pairs of a batch
(its padding takes part in the maximum), and an empty text scores 0 instead of failing.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tuneval.errors import MetricError
from tuneval.metrics import checkpoint, fields
from tuneval.metrics.additive import Floats, Mean, rows
from tuneval.types import Case, Prediction, Unit

# The layer that bert-score picked for each encoder, by correlation with human scores on WMT16.
LAYERS = {
    "roberta-base": 10,
    "roberta-large": 17,
    "roberta-large-mnli": 19,
    "bert-base-uncased": 9,
    "bert-large-uncased": 18,
    "bert-base-multilingual-cased": 9,
    "distilbert-base-uncased": 5,
    "xlm-roberta-large": 17,
    "microsoft/deberta-xlarge-mnli": 40,
}
PARTS = ("precision", "recall", "f1")
BLOCK_TOKENS = 250_000
"""Embeddings of about so many tokens are held at once; 1 GB for an encoder 1,024 wide."""
KEPT_BYTES = 512 * 2**20
"""References keep their embeddings up to this size, because the next variant needs them again."""

Pair = tuple[str, str]
"""Candidate and reference."""


class _BertScore(Mean):
    name = ""
    unit: Unit = "share"
    higher_is_better = True
    needs: tuple[str, ...] = ("text",)
    reference = "bert-score 0.3.12, one pair at a time"
    part = ""

    def __init__(
        self,
        encoder: str = "roberta-large",
        layer: int | None = None,
        idf: bool = False,
        baseline: str | None = None,
        batch_tokens: int = 8_192,
        device: str = "auto",
    ) -> None:
        self.encoder = encoder
        self.layer = LAYERS.get(encoder) if layer is None else layer
        self.idf = idf
        self.baseline = baseline
        self.batch_tokens = batch_tokens
        self.device = device
        self._truncated = 0

    def check(self) -> None:
        """Make sure that encoder and baseline are here, and score a pair with them.

        Raises
        ------
        MetricError
            They are not; says where they were looked for and how to get them.
        """
        self._offset()
        Scorer(self._folder(), self.layer, "cpu", self.batch_tokens).score([("a", "b")], None)

    def _folder(self) -> Path:
        return checkpoint.find(self.name, "encoder", self.encoder)

    def per_case(self, cases: Sequence[Case], predictions: Sequence[Prediction]) -> Floats:
        """Rows (score, 1); the best reference counts. An empty text scores 0 before rescaling.

        Raises
        ------
        MetricError
            The encoder is missing, a case has no reference, or a prediction no text and no
            problem.
        """
        given = fields.texts(self.name, cases, predictions)
        expected = [fields.references(self.name, case) for case in cases]
        pairs = [
            [(text or "", one) for one in ones] for text, ones in zip(given, expected, strict=True)
        ]
        offset = self._offset()
        scorer = _scorer(
            self._folder(), self.layer, checkpoint.device_of(self.device), self.batch_tokens
        )
        frequencies = scorer.frequencies([one for ones in expected for one in ones], self.idf)
        scores = scorer.score([pair for group in pairs for pair in group], frequencies)
        column = PARTS.index(self.part)
        values = (
            max((scores[pair][column] - offset) / (1 - offset) for pair in group) for group in pairs
        )
        self._truncated = sum(
            map(scorer.is_truncated, {one for p in pairs for q in p for one in q})
        )
        return rows(((value, 1) for value in values), 2)

    def _offset(self) -> float:
        """The score of unrelated texts, from a file as bert-score ships them: LAYER,P,R,F."""
        if self.baseline is None:
            return 0.0
        if self.layer is None:
            raise MetricError(
                f'metric "{self.name}": a baseline needs the layer too. Set the option layer.'
            )
        path = Path(self.baseline)
        if not path.is_file():
            raise MetricError(
                f'metric "{self.name}": there is no baseline file "{path}". bert-score ships one '
                "for each encoder (rescale_baseline/en/roberta-large.tsv)."
            )
        with path.open(encoding="utf-8", newline="") as lines:
            table = [row for row in csv.reader(lines) if row and row[0].strip().isdigit()]
        found = next((row for row in table if int(row[0]) == self.layer), None)
        if found is None or len(found) != 1 + len(PARTS):
            raise MetricError(
                f'metric "{self.name}": the baseline file "{path}" has no row "{self.layer},P,R,F".'
            )
        return float(found[1 + PARTS.index(self.part)])

    def notes(self) -> tuple[str, ...]:
        """What the reader of the last ``per_case`` should know."""
        if not self._truncated:
            return ()
        return (
            f"{self.name}: {self._truncated} texts are longer than the encoder reads and were cut.",
        )

    def signature(self) -> str:
        """Encoder, layer, weights, baseline."""
        return (
            f"encoder:{checkpoint.identity(self._folder())}|layer:{self.layer or 'last'}"
            f"|idf:{'yes' if self.idf else 'no'}|rescaled:{'yes' if self.baseline else 'no'}"
            f"|special tokens:matched, not weighed|transformers:{version('transformers')}"
        )


class BertScorePrecision(_BertScore):
    """How well each word of the text is matched by one of the reference, by embedding.

    References
    ----------
    Zhang et al. (2020), BERTScore: evaluating text generation with BERT.
    """

    name, part = "bertscore_precision", "precision"


class BertScoreRecall(_BertScore):
    """How well each word of the reference is matched by one of the text, by embedding.

    References
    ----------
    Zhang et al. (2020), BERTScore: evaluating text generation with BERT.
    """

    name, part = "bertscore_recall", "recall"


class BertScoreF1(_BertScore):
    """Harmonic mean of BERTScore precision and recall.

    References
    ----------
    Zhang et al. (2020), BERTScore: evaluating text generation with BERT.
    """

    name, part = "bertscore_f1", "f1"


@lru_cache(maxsize=1)
def _scorer(folder: Path, layer: int | None, device: str, batch_tokens: int) -> Scorer:
    """One encoder at a time stays loaded: three metrics and all variants share it."""
    return Scorer(folder, layer, device, batch_tokens)


class Scorer:
    """An encoder, and what it found out about texts so far."""

    def __init__(self, folder: Path, layer: int | None, device: str, batch_tokens: int) -> None:
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        safely = {"local_files_only": True, "trust_remote_code": False}
        with checkpoint.loading("bertscore", folder, "encoder"):
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **safely)
            config = AutoConfig.from_pretrained(folder, **safely)
            if config.is_encoder_decoder:
                raise ValueError("it is an encoder-decoder, and BERTScore reads encoders")
            depth = config.num_hidden_layers
            if layer is not None and not 1 <= layer <= depth:
                raise MetricError(
                    f'BERTScore: layer is "{layer}", but the encoder in "{folder}" has {depth}. '
                    f"Set the option layer to 1 to {depth}."
                )
            # Layers above the chosen one would be computed for nothing.
            config.num_hidden_layers = layer or depth
            model = AutoModel.from_pretrained(folder, config=config, use_safetensors=True, **safely)
        self._model: Any = model.float().to(device).eval()
        self._device = device
        self._batch_tokens = batch_tokens
        self._limit = _limit(self._tokenizer, config)
        # As bert-score does for byte-level tokenizers: a first word is spelled like any other.
        self._prefix = " " if _is_byte_level(self._tokenizer) else ""
        self._unweighed = {self._tokenizer.cls_token_id, self._tokenizer.sep_token_id}
        self._ids: dict[str, list[int]] = {}
        self._long: set[str] = set()
        self._kept: dict[str, Any] = {}
        self._kept_bytes = 0
        self._scores: dict[tuple[Pair, int], tuple[float, float, float]] = {}

    def is_truncated(self, text: str) -> bool:
        """Whether the encoder saw only the beginning of a text."""
        return text in self._long

    def frequencies(self, references: Sequence[str], idf: bool) -> Mapping[int, float] | None:
        """Weight of each token by how few references hold it; None for equal weights."""
        if not idf:
            return None
        self._encode(references)
        holders = Counter(one for text in references for one in set(self._ids[text]))
        return _Idf(
            {one: math.log((len(references) + 1) / (n + 1)) for one, n in holders.items()},
            math.log(len(references) + 1),
        )

    def score(
        self, pairs: Sequence[Pair], weights: Mapping[int, float] | None
    ) -> dict[Pair, tuple[float, float, float]]:
        """Precision, recall and F1 of each distinct pair."""
        key = 0 if weights is None else hash(tuple(sorted(weights.items())))
        wanted = list(dict.fromkeys(pairs))
        todo = [pair for pair in wanted if (pair, key) not in self._scores]
        self._encode([text for pair in todo for text in pair])
        for block in self._blocks(todo):
            embedded = self._embed(block)
            for pair in block:
                self._scores[pair, key] = self._compare(pair, embedded, weights)
        found = {pair: self._scores[pair, key] for pair in wanted}
        if len(self._scores) > 1_000_000:
            self._scores.clear()
        return found

    def _encode(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._ids]
        for text in new:
            ids = self._tokens(text)
            if len(ids) > self._limit:
                self._long.add(text)
                ids = self._tokens(text, truncation=True, max_length=self._limit)
            self._ids[text] = ids

    def _tokens(self, text: str, **options: Any) -> list[int]:
        stripped = fields.encodable(text).strip()
        spelled = self._prefix + stripped if stripped else ""
        found: list[int] = self._tokenizer(spelled, verbose=False, **options)["input_ids"]
        return found

    def _blocks(self, pairs: Sequence[Pair]) -> list[list[Pair]]:
        # By reference, so that a reference is embedded in one block, whatever its candidates.
        blocks: list[list[Pair]] = []
        size = 0
        for pair in sorted(pairs, key=lambda one: (len(self._ids[one[1]]), one[1])):
            n_tokens = sum(len(self._ids[text]) for text in pair)
            if not blocks or size + n_tokens > BLOCK_TOKENS:
                blocks.append([])
                size = 0
            blocks[-1].append(pair)
            size += n_tokens
        return blocks

    def _embed(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """Embeddings of all texts of the pairs, each distinct one computed once."""
        texts = dict.fromkeys(text for pair in pairs for text in pair)
        embedded = {text: self._kept[text] for text in texts if text in self._kept}
        new = sorted(
            (text for text in texts if text not in embedded and self._ids[text]),
            key=lambda text: len(self._ids[text]),
            reverse=True,
        )
        start = 0
        while start < len(new):
            count = max(1, self._batch_tokens // len(self._ids[new[start]]))
            batch = new[start : start + count]
            embedded.update(zip(batch, self._forward(batch), strict=True))
            start += count
        for _, reference in pairs:
            self._keep(reference, embedded.get(reference))
        return embedded

    def _keep(self, text: str, found: Any) -> None:
        if found is None or text in self._kept:
            return
        size = found.numel() * found.element_size()
        if self._kept_bytes + size <= KEPT_BYTES:
            self._kept[text] = found.clone()  # a view would keep its whole batch alive
            self._kept_bytes += size

    def _forward(self, texts: Sequence[str]) -> list[Any]:
        import torch

        longest = len(self._ids[texts[0]])
        pad = self._tokenizer.pad_token_id or 0
        ids = torch.full((len(texts), longest), pad)
        mask = torch.zeros((len(texts), longest), dtype=torch.long)
        for row, text in enumerate(texts):
            found = self._ids[text]
            ids[row, : len(found)] = torch.tensor(found)
            mask[row, : len(found)] = 1
        with torch.inference_mode():
            states = self._model(
                input_ids=ids.to(self._device), attention_mask=mask.to(self._device)
            ).last_hidden_state
            states = torch.nn.functional.normalize(states.float(), dim=-1)
        return [states[row, : len(self._ids[text])] for row, text in enumerate(texts)]

    def _compare(
        self, pair: Pair, embedded: Mapping[str, Any], weights: Mapping[int, float] | None
    ) -> tuple[float, float, float]:
        sides = [self._weights(text, weights) for text in pair]
        if not all(side.sum() > 0 for side in sides):
            return 0.0, 0.0, 0.0
        # [CLS] and [SEP] may be the best match of a word; only their own weight is 0.
        likeness = (embedded[pair[0]] @ embedded[pair[1]].T).double().cpu().numpy()
        precision = float(np.average(likeness.max(axis=1), weights=sides[0]))
        recall = float(np.average(likeness.max(axis=0), weights=sides[1]))
        both = precision + recall
        return precision, recall, 2 * precision * recall / both if both else 0.0

    def _weights(self, text: str, weights: Mapping[int, float] | None) -> Floats:
        return np.array(
            [
                0.0 if one in self._unweighed else 1.0 if weights is None else weights[one]
                for one in self._ids[text]
            ],
            dtype=np.float64,
        )


class _Idf(dict[int, float]):
    """Weights by token; one that no reference holds has the weight of the rarest."""

    def __init__(self, known: Mapping[int, float], unknown: float) -> None:
        super().__init__(known)
        self.unknown = unknown

    def __missing__(self, token: int) -> float:
        return self.unknown


def _limit(tokenizer: Any, config: Any) -> int:
    """Most tokens that the encoder reads, special ones included."""
    limits = [512 if tokenizer.model_max_length > 1_000_000 else tokenizer.model_max_length]
    positions = getattr(config, "max_position_embeddings", None)
    if positions and positions > 0:
        # RoBERTa counts positions from the padding id on, and stores so many more.
        is_shifted = "roberta" in config.model_type or config.model_type in {"camembert", "mpnet"}
        limits.append(positions - (config.pad_token_id + 1 if is_shifted else 0))
    return min(limits)


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return "ByteLevel" in str(getattr(backend, "pre_tokenizer", ""))
