"""Models with an encoder answer as transformers' own forward and ``generate`` do, family by family."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from tiny_models import build_model as build_llama
from tiny_models import edit_json
from tiny_seq2seq import build_adapter, build_model
from tuneval.engine.hf.backend import HFBackend
from tuneval.errors import AdapterError, TunevalError, VariantError
from tuneval.types import Decoding, Request, Variant

ONCE, TOGETHER = "encoder once per text", "encoder and decoder together, padded batches"
QUICK = dict.fromkeys(("t5", "mt5", "bart", "pegasus"), ONCE)
SLOW = dict.fromkeys(
    ("umt5", "longt5", "mbart", "m2m_100", "marian", "led", "blenderbot", "pegasus_x", "plbart",
     "bigbird_pegasus", "mvp"),
    ONCE,
) | dict.fromkeys(("nllb-moe", "switch_transformers"), TOGETHER)  # fmt: skip
FAMILIES = [
    *(pytest.param(name, way, id=name) for name, way in QUICK.items()),
    *(pytest.param(name, way, id=name, marks=pytest.mark.slow) for name, way in SLOW.items()),
]
TEXTS = (
    "summarize: my card was refused",
    "Question: What is the capital of France?",
    "Once upon a time there was a little girl who lived in a house",
)
ANSWERS = ("refund", "card payment refused", "Paris", " a little girl")
SCORED = [
    Request(f"{i}-{j}", f"{i}", text, continuation=answer, with_token_logprobs=True)
    for i, text in enumerate(TEXTS)
    for j, answer in enumerate(ANSWERS)
]
DRAWN = [
    Request(f"d{i}", f"{i}", text, decoding=Decoding(max_tokens=9)) for i, text in enumerate(TEXTS)
]


def backend_of(**options: Any) -> HFBackend:
    return HFBackend(HFBackend.Options(offline=True, device="cpu", **options))


def base_of(folder: Path, **options: Any) -> Variant:
    return Variant("base", "base", str(folder), head="seq2seq", **options)


def lora_of(adapter: Path, base: Path, name: str = "lora") -> Variant:
    return Variant(name, "adapter", str(base), adapter=str(adapter), head="seq2seq")


def ask(backend: HFBackend, variant: Variant, requests, known=frozenset()):
    return {answer.request_id: answer for answer in backend.answer(variant, requests, known)}


def plain(model: Any, tokenizer: Any, request: Request, n_before: int) -> list[float]:
    """Log-probabilities of the answer's tokens by one teacher-forced pass, as a trainer makes it."""
    source = tokenizer(request.prompt, return_tensors="pt")
    target = tokenizer(text_target=request.continuation.strip(), return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model(
            input_ids=source["input_ids"], attention_mask=source["attention_mask"], labels=target
        ).logits
    logprobs = logits[0].double().log_softmax(-1)
    ids = target[0].tolist()
    return [float(logprobs[n, ids[n]]) for n in range(n_before, len(ids) - 1)]


def written(model: Any, tokenizer: Any, text: str, n: int) -> str:
    source = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(
            input_ids=source["input_ids"],
            attention_mask=source["attention_mask"],
            max_new_tokens=n,
            do_sample=False,
        )
    return tokenizer.decode(ids[0], skip_special_tokens=True)


def held_to_plain(answers, model, tokenizer) -> None:
    n_before = len(tokenizer(text_target="")["input_ids"]) - 1
    for request in SCORED:
        expected = plain(model, tokenizer, request, n_before)
        found = answers[request.id]
        assert found.token_logprobs == pytest.approx(expected, abs=1e-5)
        assert found.loglikelihood == pytest.approx(sum(expected), abs=1e-5 * len(expected))
        assert found.n_tokens == len(expected)
    for request in DRAWN:
        (completion,) = answers[request.id].completions
        assert completion.text == written(model, tokenizer, request.prompt, 9)


@pytest.mark.parametrize(("family", "way"), FAMILIES)
def test_answers_are_those_of_transformers(tmp_path, family, way) -> None:
    folder = build_model(tmp_path / family, family)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    backend, variant = backend_of(), base_of(folder)
    facts = backend.prepare([variant])["base"]
    assert facts.settings["scoring"] == way
    held_to_plain(ask(backend, variant, [*SCORED, *DRAWN]), model, tokenizer)


def test_a_forced_first_token_is_the_beginning(tmp_path) -> None:
    """As the language of a translation is: written first, scored after."""
    folder = build_model(tmp_path / "mbart", "mbart")
    forced = AutoTokenizer.from_pretrained(folder)("girl", add_special_tokens=False)["input_ids"][0]
    edit_json(folder / "generation_config.json", forced_bos_token_id=forced)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = ask(backend_of(), base_of(folder), [*SCORED, *DRAWN])
    start = [model.generation_config.decoder_start_token_id, forced]
    for request in DRAWN:
        # generate counts the forced token, and spells it where it is a word.
        text = written(model, tokenizer, request.prompt, 10)
        first = tokenizer.decode([forced])
        assert text == first + answers[request.id].completions[0].text
    for request in SCORED:
        source = tokenizer(request.prompt, return_tensors="pt")["input_ids"]
        target = tokenizer(request.continuation.strip(), add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            ids = torch.tensor([[*start, *target]])
            logits = model(input_ids=source, decoder_input_ids=ids).logits[0]
        logprobs = logits.double().log_softmax(-1)
        expected = [float(logprobs[n + 1, token]) for n, token in enumerate(target)]
        assert answers[request.id].token_logprobs == pytest.approx(expected, abs=1e-5)


def test_an_adapter_for_another_kind_of_model_is_refused(tmp_path, t5) -> None:
    llama = build_llama(tmp_path / "llama")
    lora = build_adapter(tmp_path / "lora", t5)
    with pytest.raises(TunevalError, match="lora"):
        backend_of().prepare([lora_of(lora, llama)])


@pytest.fixture(scope="module")
def t5(tmp_path_factory) -> Path:
    return build_model(tmp_path_factory.mktemp("t5") / "base")


@pytest.fixture(scope="module")
def loras(tmp_path_factory, t5) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("loras")
    return build_adapter(place / "a", t5), build_adapter(place / "b", t5, seed=2)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_company_and_order_do_not_matter(t5, batch_size) -> None:
    expected = ask(backend_of(), base_of(t5), [*SCORED, *DRAWN])
    requests = random.Random(batch_size).sample([*SCORED, *DRAWN], len(SCORED) + len(DRAWN))
    found = ask(backend_of(batch_size=batch_size), base_of(t5), requests)
    assert set(found) == set(expected)
    for key, one in expected.items():
        assert found[key].completions == one.completions
        if one.loglikelihood is not None:
            assert found[key].loglikelihood == pytest.approx(one.loglikelihood, abs=1e-5)


def test_what_is_known_is_not_answered_again(t5) -> None:
    expected = ask(backend_of(), base_of(t5), [*SCORED, *DRAWN])
    known = frozenset([SCORED[0].id, SCORED[5].id, DRAWN[1].id])
    found = ask(backend_of(), base_of(t5), [*SCORED, *DRAWN], known)
    assert set(found) == set(expected) - known
    for key, one in found.items():
        assert one.loglikelihood == expected[key].loglikelihood
        assert one.completions == expected[key].completions


def test_models_that_cannot_be_parted_run_whole(t5, monkeypatch) -> None:
    expected = ask(backend_of(), base_of(t5), [*SCORED, *DRAWN])
    monkeypatch.setattr(
        "tuneval.engine.hf.weights.encoder_decoder.EncoderDecoder.encode",
        lambda self, ids, mask: (_ for _ in ()).throw(TypeError("no encoder")),
    )
    backend = backend_of()
    facts = backend.prepare([base_of(t5)])["base"]
    assert facts.settings["scoring"] == TOGETHER
    for key, one in ask(backend, base_of(t5), [*SCORED, *DRAWN]).items():
        assert one.completions == expected[key].completions
        if one.loglikelihood is not None:
            assert one.loglikelihood == pytest.approx(expected[key].loglikelihood, abs=1e-5)


def test_stop_strings_and_limits(t5) -> None:
    (free,) = ask(backend_of(), base_of(t5), DRAWN[:1]).values()
    text = free.completions[0].text
    stop = text[3]
    asked = [
        Request("stop", "0", TEXTS[0], decoding=Decoding(max_tokens=9, stop=(stop,))),
        Request("short", "0", TEXTS[0], decoding=Decoding(max_tokens=2)),
    ]
    found = ask(backend_of(), base_of(t5), asked)
    assert found["stop"].completions[0].text == text[: text.index(stop)]
    assert found["stop"].completions[0].finish_reason == "stop"
    assert found["short"].completions[0].n_tokens == 2
    assert found["short"].completions[0].finish_reason == "length"


def test_draws_depend_on_their_seed_and_their_text_alone(t5) -> None:
    def drawn(seed, texts=TEXTS, **options):
        decoding = Decoding(max_tokens=6, temperature=1.0, n_completions=3, sampling_seed=seed)
        asked = [Request(text, "0", text, decoding=decoding) for text in texts]
        answers = ask(backend_of(**options), base_of(t5), asked)
        return {key: [one.text for one in answer.completions] for key, answer in answers.items()}

    first = drawn(0)
    assert drawn(0, TEXTS[::-1], batch_size=2) == first
    assert drawn(1) != first
    assert len({tuple(texts) for texts in first.values()}) == len(TEXTS)
    assert all(len(set(texts)) == 3 for texts in first.values())


# ---------------------------------------------------------------------------------------- adapters


def with_peft(base: Path, adapter: Path) -> Any:
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT reads a deprecated property of transformers'
        return PeftModel.from_pretrained(
            AutoModelForSeq2SeqLM.from_pretrained(base), adapter
        ).eval()


def test_adapters_on_and_off_on_one_base(t5, loras) -> None:
    backend = backend_of()
    variants = [base_of(t5), *(lora_of(path, t5, path.name) for path in loras)]
    facts = backend.prepare(variants)
    assert facts["a"].n_adapter_parameters > 0
    tokenizer = AutoTokenizer.from_pretrained(t5)
    for variant in (*variants, variants[0], variants[2]):
        if variant.adapter is None:
            model = AutoModelForSeq2SeqLM.from_pretrained(t5).eval()
        else:
            model = with_peft(t5, Path(variant.adapter))
        held_to_plain(ask(backend, variant, [*SCORED, *DRAWN]), model, tokenizer)


def kinds() -> dict[str, Any]:
    from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptEncoderConfig
    from peft import PromptTuningConfig as Prompt

    task = {"task_type": "SEQ_2_SEQ_LM"}
    return {
        "dora": LoraConfig(r=4, use_dora=True, target_modules=["q", "v"], **task),
        "lora on the decoder alone": LoraConfig(
            r=4, target_modules=r"decoder\.block\.\d+\.layer\.1\.EncDecAttention\.(q|v)", **task
        ),
        "head saved": LoraConfig(
            r=4, target_modules=["q", "v"], modules_to_save=["lm_head"], **task
        ),
        "ia3": IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"], **task),
        "prompt tuning": Prompt(num_virtual_tokens=3, **task),
        "p-tuning": PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=16, **task),
        "prefix tuning": PrefixTuningConfig(num_virtual_tokens=3, **task),
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_of_adapter_answers_as_peft_does(tmp_path, t5, kind) -> None:
    adapter = build_adapter(tmp_path / "adapter", t5, config=kinds()[kind])
    tokenizer = AutoTokenizer.from_pretrained(t5)
    backend, variant = backend_of(), lora_of(adapter, t5)
    before = ask(backend, base_of(t5), SCORED)
    model = with_peft(t5, adapter)
    answers = ask(backend, variant, SCORED)
    for request in SCORED:
        expected = plain(model, tokenizer, request, 0)
        assert answers[request.id].token_logprobs == pytest.approx(expected, abs=1e-5)
    after = ask(backend, base_of(t5), SCORED)
    assert {k: v.loglikelihood for k, v in after.items()} == {
        k: v.loglikelihood for k, v in before.items()
    }


def test_an_adapter_that_does_nothing_is_refused(tmp_path, t5) -> None:
    adapter = build_adapter(tmp_path / "inert", t5, scale=0.0)
    with pytest.raises(AdapterError, match="changes nothing"):
        backend_of().prepare([lora_of(adapter, t5)])


def test_an_adapter_of_another_base_is_refused(tmp_path, t5) -> None:
    other = build_model(tmp_path / "bart", "bart")
    adapter = build_adapter(tmp_path / "lora", other)
    with pytest.raises(AdapterError, match="no weight of this adapter acts"):
        backend_of().prepare([lora_of(adapter, t5)])


def test_a_tensor_that_is_missing_is_never_random(tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    folder = build_model(tmp_path / "base")
    tensors = load_file(folder / "model.safetensors")
    del tensors["decoder.block.1.layer.1.EncDecAttention.k.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(VariantError, match="1 tensors of the model are missing"):
        backend_of().prepare([base_of(folder)])


def test_models_in_memory(t5, loras) -> None:
    expected = ask(backend_of(), lora_of(loras[0], t5), SCORED)
    plain_base = ask(backend_of(), base_of(t5), SCORED)
    tokenizer = AutoTokenizer.from_pretrained(t5)
    peft = with_peft(t5, loras[0])
    model = peft.get_base_model()
    backend = backend_of(models={"base": (model, tokenizer), "lora": (peft, tokenizer)})
    variant = Variant("lora", "adapter", str(t5), head="seq2seq")
    for wanted, one in ((expected, variant), (plain_base, base_of(t5)), (expected, variant)):
        for key, answer in ask(backend, one, SCORED).items():
            assert answer.loglikelihood == pytest.approx(wanted[key].loglikelihood, abs=1e-5)
    backend.close()
