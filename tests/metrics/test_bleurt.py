"""BLEURT against the official program on a random network, traps of its encoding included."""

import json
import shutil

import pytest

from metrics.conftest import VOCABULARY, save_tokenizer, small_bert
from metrics.making import made_cases, written
from shared import shared_path, shared_rows
from tuneval.errors import MetricError
from tuneval.metrics import build, try_out
from tuneval.metrics.bleurt import Network


def scored(checkpoint, references, texts, **options):
    metric = build("bleurt", checkpoint=str(checkpoint), **options)
    return metric.per_case(made_cases(references), written(texts))[:, 0]


@pytest.mark.parametrize("batch_tokens", [1, 8_192])
def test_shared_figures(batch_tokens):
    rows = shared_rows("bleurt_synthetic", "expected_scores.jsonl")
    found = scored(
        shared_path("bleurt_synthetic"),
        [row["reference"] for row in rows],
        [row["candidate"] for row in rows],
        batch_tokens=batch_tokens,
    )
    assert found == pytest.approx([row["bleurt"] for row in rows], abs=1e-3)


@pytest.mark.parametrize(
    ("reference", "candidate", "kept"),
    [
        pytest.param("a b", "c", (2, 1), id="short"),
        pytest.param("", "", (0, 0), id="an empty side keeps its [SEP]"),
        pytest.param("a " * 200, "c " * 10, (115, 10), id="the longer side is cut"),
        pytest.param("a " * 200, "c " * 200, (63, 62), id="on a tie the candidate is cut"),
    ],
)
def test_encoding(bleurt_checkpoint, reference, candidate, kept):
    ids, segments = Network(bleurt_checkpoint, "cpu").encode((reference, candidate))
    begin, part = VOCABULARY.index("[CLS]"), VOCABULARY.index("[SEP]")
    assert ids[0] == begin
    assert ids[kept[0] + 1] == ids[-1] == part
    assert len(ids) == len(segments) == sum(kept) + 3
    assert segments == [0] * (kept[0] + 2) + [1] * (kept[1] + 1)


def save_rembert(folder, **names):
    """A random RemBERT in Hugging Face layout, or in that of bleurt-pytorch."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import RemBertConfig, RemBertForSequenceClassification

    torch.manual_seed(0)
    config = RemBertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        input_embedding_size=16,
        hidden_act="gelu_new",
        num_labels=1,
        bos_token_id=None,
        eos_token_id=None,
    )
    network = RemBertForSequenceClassification(config).eval()
    network.save_pretrained(folder)
    save_tokenizer(folder)
    if names:
        path = folder / "model.safetensors"
        weights = load_file(path)
        for old, new in names.items():
            weights = {name.replace(old, new): one for name, one in weights.items()}
        save_file(weights, path)
        settings = json.loads((folder / "config.json").read_text())
        settings |= {"model_type": "bleurt", "embedding_size": settings.pop("input_embedding_size")}
        settings["hidden_act"] = "gelu"
        (folder / "config.json").write_text(json.dumps(settings))
    return network


@pytest.mark.parametrize(
    "names",
    [
        pytest.param({}, id="transformers"),
        pytest.param(
            {"rembert.": "bleurt.", "embedding_hidden_mapping_in": "embedding_projection"},
            id="bleurt-pytorch",
        ),
    ],
)
def test_rembert_checkpoints(tmp_path, names):
    import torch

    network = save_rembert(tmp_path, **names)
    pairs = [("the cat sat", "a dog runs"), ("x", "the the the dog sat on 1, 2, 3!")]
    ours = Network(tmp_path, "cpu")
    expected = []
    for pair in pairs:
        ids, segments = ours.encode(pair)
        with torch.inference_mode():
            logits = network(
                input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([segments])
            ).logits
        expected.append(float(logits))
    assert scored(tmp_path, *zip(*pairs, strict=True)) == pytest.approx(expected, abs=1e-5)


def test_errors_name_the_remedy(tmp_path, bleurt_checkpoint):
    with pytest.raises(MetricError, match="needs a checkpoint in Hugging Face layout"):
        try_out(build("bleurt"))
    with pytest.raises(MetricError, match=r'needs the model "BLEURT-20".*hf download BLEURT-20'):
        try_out(build("bleurt", checkpoint="BLEURT-20"))
    folder = tmp_path / "copy"
    shutil.copytree(bleurt_checkpoint, folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(MetricError, match=r"neither a tokenizer\.json nor a vocab\.txt"):
        try_out(build("bleurt", checkpoint=str(folder)))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "llama"}))
    with pytest.raises(MetricError, match='is a "llama", and BLEURT is one of bert'):
        try_out(build("bleurt", checkpoint=str(folder)))
    (folder / "config.json").write_text(json.dumps(settings | {"hidden_size": 64}))
    with pytest.raises(MetricError, match=r"cannot be loaded .*Name another with checkpoint"):
        try_out(build("bleurt", checkpoint=str(folder)))


def test_an_encoder_without_a_score_head_is_refused(tmp_path):
    from transformers import BertModel

    BertModel(small_bert()).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    with pytest.raises(MetricError, match=r"cannot be loaded .*Name another with checkpoint"):
        try_out(build("bleurt", checkpoint=str(tmp_path)))
