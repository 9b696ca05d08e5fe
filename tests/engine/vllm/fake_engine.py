"""An engine without vLLM: plain forwards of transformers, with the faults of real engines on demand."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tuneval.engine.vllm.engine import Adapter
from tuneval.engine.vllm.planning import Ask
from tuneval.errors import BackendError


class FakeEngine:
    """Fills the protocol ``Up``.

    Parameters
    ----------
    fault : str
        "": none; "deaf": the adapter is dropped; "half": it acts half; "shifted": every number is off;
        "dies": it ends when it is asked.
    """

    pid, is_usable = -1, True

    def __init__(self, settings: Mapping[str, Any], fault: str = "") -> None:
        self.settings = settings
        self.fault = fault
        self.n_asked = 0
        self.is_closed = False
        self.about = {"version": "fake", "torch": torch.__version__, "device": "cpu", "longest": 1}

    def ask(self, asks: Sequence[Ask], adapter: Adapter) -> Iterator[tuple[int, dict[str, Any]]]:
        """Answer the last first, for a real engine keeps no order."""
        if self.fault == "dies":
            raise BackendError(
                "vLLM ended while it answered: no such heads.\nWhat was answered is kept."
            )
        model = AutoModelForCausalLM.from_pretrained(self.settings["model"], dtype=torch.float32)
        if adapter is not None and self.fault != "deaf":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PEFT reads a deprecated property of transformers'
                model = PeftModel.from_pretrained(model, adapter["lora_path"])
            if self.fault == "half":
                for name, tensor in model.named_parameters():
                    if ".lora_B." in name:
                        tensor.data /= 2
        model.eval()
        for number in reversed(range(len(asks))):
            self.n_asked += 1
            yield number, self._answer(model, asks[number])

    @torch.inference_mode()
    def _answer(self, model: Any, ask: Ask) -> dict[str, Any]:
        ids, drawn, nats = list(ask.ids), [], []
        for _ in range(ask.words["max_tokens"]):
            logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
            if not drawn:
                shares = logits.log_softmax(-1)
                nats = [float(shares[one]) for one in ask.words.get("logprob_token_ids", ())]
            drawn.append(int(logits.argmax()))
            ids.append(drawn[-1])
            if drawn[-1] in ask.words.get("stop_token_ids", ()):
                return {"ids": drawn, "reason": "stop", "nats": nats}
        if self.fault == "shifted":
            nats = [one - 0.3 for one in nats]
        return {"ids": drawn, "reason": "length", "nats": nats}

    def close(self, *, at_once: bool = True) -> None:
        """Nothing is held."""
        self.is_closed = True
