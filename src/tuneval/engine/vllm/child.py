"""The process that holds a vLLM engine: reads asks as JSON lines, writes answers as they are there.

It runs under the interpreter that has vLLM, which need not be that of tuneval: nothing of tuneval is
imported here. When the driver is gone, however it ended, its pipe ends, and so does this process.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Any

LONGEST_REASON = 400


class Speaker:
    """Writes messages, one JSON object a line."""

    def __init__(self, outlet: int) -> None:
        self._sink = os.fdopen(outlet, "w", encoding="ascii")

    def say(self, **message: Any) -> None:
        """Send a message now."""
        self._sink.write(json.dumps(message, separators=(",", ":")) + "\n")
        self._sink.flush()


def listen(heard: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Queue what the driver sends. A driver that is gone needs no answers: end at once, in the middle
    of a step, too."""
    for text in sys.stdin:
        heard.put(json.loads(text))
    leave()


def leave() -> None:
    """End at once, and with us the workers that vLLM has started; nothing here is worth an orderly end."""
    if os.getpgrp() == os.getpid():  # ours alone
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def start(settings: Mapping[str, Any]) -> Any:
    """The engine, with its core in this process, so that nothing can outlive it."""
    from vllm import LLM

    return LLM(**settings).llm_engine


def about(engine: Any) -> dict[str, Any]:
    """What the driver writes into fingerprints."""
    import torch
    import vllm
    from vllm.platforms import current_platform

    return {
        "version": vllm.__version__,
        "torch": torch.__version__,
        "device": current_platform.device_type,
        "longest": int(engine.model_config.max_model_len),
    }


def answer(engine: Any, ask: Mapping[str, Any], speaker: Speaker) -> None:
    """Answer prompts in the order in which they end."""
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.sampling_params import RequestOutputKind

    lora = LoRARequest(**ask["lora"]) if ask["lora"] else None
    targets: dict[str, list[int]] = {}
    for number, (ids, words) in enumerate(ask["prompts"]):
        key = str(number)
        targets[key] = words.get("logprob_token_ids") or []
        params = SamplingParams(**words, output_kind=RequestOutputKind.FINAL_ONLY)
        try:
            engine.add_request(key, {"prompt_token_ids": ids}, params, lora_request=lora)
        except Exception as error:  # noqa: BLE001 - one that it does not take spoils no other
            speaker.say(**{"is": "answer", "n": number, "problem": f"vLLM: {_in_short(error)}"})
    while engine.has_unfinished_requests():
        for output in engine.step():
            if output.finished:
                key = output.request_id
                speaker.say(**{"is": "answer", "n": int(key), **_plain(output, targets[key])})
    speaker.say(**{"is": "done"})


def _plain(output: Any, targets: list[int]) -> dict[str, Any]:
    """Ids that were drawn, why they end, and the log-probabilities of named tokens in the first place."""
    (drawn,) = output.outputs
    told = drawn.logprobs[0] if targets else {}
    return {
        "ids": list(drawn.token_ids),
        "reason": drawn.finish_reason,
        "nats": [told[target].logprob for target in targets],
    }


def _in_short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_REASON]


def main() -> None:
    """Start an engine as the first message says, then answer until the driver has done."""
    speaker = Speaker(int(sys.argv[1]))
    heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(heard,), daemon=True).start()
    try:
        engine = start(heard.get()["settings"])
        speaker.say(**{"is": "ready", **about(engine)})
        while (message := heard.get())["do"] == "ask":
            answer(engine, message, speaker)
    except Exception as error:  # noqa: BLE001 - whatever it is, the driver tells it
        traceback.print_exc()
        speaker.say(**{"is": "failed", "text": _in_short(error)})
    leave()


if __name__ == "__main__":
    main()
