"""A DPO adapter, trained for real: what is told of it is what a plain script finds.

The loss is that of Rafailov et al. (2023), written out; the pairs are our own: glad and sad ends of stories.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from shared import shared_path
from tuneval.api.calls import compare
from tuneval.types import Finding, RunResult

WHO = ("Lily", "Tom", "Sue", "Ben", "the cat", "the dog", "Mia", "Max")
WHERE = ("in the park", "at home", "by the lake", "in the garden", "at the farm", "on the hill")
GLAD = ("was very happy and smiled.", "laughed and played all day.", "said thank you to mom.")
SAD = ("was very sad and cried.", "fell and got hurt.", "was angry and ran away.")
BETA = 0.1
# PEFT reads a deprecated property of transformers'
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
Pair = Mapping[str, str]


def pair(n: int) -> Pair:
    who = WHO[n % len(WHO)]
    return {
        "prompt": f"One day, {who} was {WHERE[n % len(WHERE)]}.",
        "chosen": f" {who[0].upper()}{who[1:]} {GLAD[n % 3]}",
        "rejected": f" {who[0].upper()}{who[1:]} {SAD[(n // 3) % 3]}",
    }


PAIRS = [pair(n) for n in range(72)]
TRAINED, TESTED = PAIRS[::2], PAIRS[1::2]


def loglikelihood(model: Any, tokenizer: Any, prompt: str, answer: str) -> tuple[torch.Tensor, int]:
    """Nats of an answer after a prompt, and its tokens: one forward pass over both."""
    head = tokenizer(prompt)["input_ids"]
    whole = torch.tensor(tokenizer(prompt + answer)["input_ids"])
    logprobs = model(whole[None]).logits[0, :-1].log_softmax(-1)
    own = logprobs.gather(1, whole[1:, None])[len(head) - 1 :, 0]
    return own.sum(), len(own)


def margin(model: Any, tokenizer: Any, one: Pair) -> torch.Tensor:
    (good, _), (bad, _) = (
        loglikelihood(model, tokenizer, one["prompt"], one[side]) for side in ("chosen", "rejected")
    )
    return good - bad


def train(base: Path, folder: Path, *, sign: float = 1.0) -> Path:
    """DPO against the base itself; ``sign`` -1 teaches to prefer what was rejected."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    frozen = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    with torch.no_grad():
        before = torch.stack([margin(frozen, tokenizer, one) for one in TRAINED])
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", target_modules="all-linear")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(frozen, config).train()
    step = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=2e-3)
    for n in range(12):
        chosen = range(n % 3, len(TRAINED), 3)
        now = torch.stack([margin(model, tokenizer, TRAINED[k]) for k in chosen])
        reward = sign * BETA * (now - before[list(chosen)])
        loss = -torch.nn.functional.logsigmoid(reward).mean()
        step.zero_grad()
        loss.backward()
        step.step()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base() -> Path:
    return Path(shared_path("models", "stories260k"))


@pytest.fixture(scope="module")
def result(base: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    at = tmp_path_factory.mktemp("dpo")
    data = at / "pairs.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in TESTED), encoding="utf-8")
    return compare(
        str(base),
        adapters=[
            f"dpo={train(base, at / 'dpo')}",
            f"against={train(base, at / 'against', sign=-1.0)}",
        ],
        data=[str(data)],
        backend={"device": "cpu", "dtype": "float32"},
        output={"dir": str(at / "runs")},
        statistics={"resamples": 300},
    )


def reward_of(result: RunResult, name: str) -> Finding:
    (found,) = (
        one for one in result.findings if (one.kind, one.variant) == ("implicit reward", name)
    )
    return found


def test_the_figures_are_those_of_a_plain_script(base: Path, result: RunResult) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    margins = {}
    for variant in result.variants:
        model = plain
        if variant.adapter is not None:
            fresh = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
            model = PeftModel.from_pretrained(fresh, variant.adapter).eval()
        sides = {}
        for side in ("chosen", "rejected"):
            with torch.no_grad():
                found = [loglikelihood(model, tokenizer, p["prompt"], p[side]) for p in TESTED]
            sides[side] = [float(nats) for nats, _ in found]
            told = [one.values[side] for one in result.predictions[variant.name]]
            assert [nats for nats, _ in told] == pytest.approx(sides[side], abs=1e-3)
            assert [n for _, n in told] == [n for _, n in found]
        own = margins[variant.name] = np.array(sides["chosen"]) - np.array(sides["rejected"])
        scores = {one.metric: one.value for one in result.scores if one.variant == variant.name}
        assert scores["preference_accuracy"] == pytest.approx((own > 0).mean())
        assert scores["preference_margin"] == pytest.approx(own.mean(), abs=1e-3)
    for name in ("dpo", "against"):
        reward = margins[name] - margins["base"]
        values = reward_of(result, name).values
        assert values["accuracy"] == pytest.approx((reward > 0).mean())
        assert values["margin_nats"] == pytest.approx(reward.mean(), abs=1e-3)


def test_what_was_trained_is_found(result: RunResult) -> None:
    """Towards the chosen answer, and of the twin away from it; both beyond chance."""
    towards, away = (reward_of(result, name).values for name in ("dpo", "against"))
    assert towards["accuracy_low"] > 0.5
    assert towards["margin_low"] > 0
    assert away["accuracy_high"] < 0.5
    assert away["margin_high"] < 0
    assert "raised the chosen answer" in reward_of(result, "dpo").sentence
