"""What can be set of the backend on vLLM, and what its engine and its twin on transformers are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tuneval.engine.hf.options import HFOptions
from tuneval.engine.hf.text.tokenizer import ChatTemplate, TokenizerFrom
from tuneval.engine.hf.voice import Voice
from tuneval.engine.vllm.adapters import engine_rank, rank_of
from tuneval.engine.vllm.planning import N_TARGETS

_GIB = 1 << 30
_LARGEST_CACHE = 4
"""GiB of keys and values on CPU."""
OWN_SHARE = 0.25
OWN_BYTES = 2 * _GIB
"""Left free on a GPU for scoring beside the engine: a share of the weights, and chunks of logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VLLMOptions:
    """What can be set; what is not said here is as in ``HFOptions``.

    Parameters
    ----------
    batch_size : int or "auto"
        Sequences that are written together. "auto": vLLM's own limit.
    gpu_memory_utilization : float, optional
        Share of a GPU's memory that the engine takes; by default what the weights that score on
        transformers leave.
    tensor_parallel_size : int
        GPUs that a model is spread over.
    """

    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | Literal["auto"] = "auto"
    threads: int | Literal["auto"] = "auto"
    chat_template: ChatTemplate = "auto"
    thinks: bool = True
    offline: bool = False
    allow_base_mismatch: bool = False
    tokenizer_from: TokenizerFrom = "auto"
    gpu_memory_utilization: float | None = None
    tensor_parallel_size: int = 1

    def for_transformers(self) -> HFOptions:
        """The options of the backend that proves and scores."""
        return HFOptions(
            device=self.device,
            dtype=self.dtype,
            threads=self.threads,
            chat_template=self.chat_template,
            thinks=self.thinks,
            offline=self.offline,
            allow_base_mismatch=self.allow_base_mismatch,
            tokenizer_from=self.tokenizer_from,
        )


def engine_settings(
    options: VLLMOptions, voices: Sequence[Voice], *, device: str, trust_remote_code: bool
) -> dict[str, Any]:
    """What ``vllm.LLM`` is given for variants of the same weights.

    Parameters
    ----------
    device : str
        Where the backend on transformers computes; its weights are there already.
    """
    first = voices[0]
    assert first.model is not None
    is_cpu = device == "cpu"
    settings: dict[str, Any] = {
        "model": str(first.model.path),
        "tokenizer": str(first.spoken.tokenizer.name_or_path or first.model.path),
        "dtype": first.dtype,
        "max_model_len": first.renderer.context_length,
        "max_logprobs": N_TARGETS,
        "logprobs_mode": "raw_logprobs",
        "generation_config": "vllm",  # nothing of the folder's own sampling
        "load_format": "safetensors",
        "tensor_parallel_size": options.tensor_parallel_size,
        "trust_remote_code": trust_remote_code,
        "enforce_eager": is_cpu,  # to compile takes longer there than most runs
        "use_tqdm_on_load": False,
        "seed": 0,
    }
    if options.batch_size != "auto":
        settings["max_num_seqs"] = options.batch_size
    if options.tensor_parallel_size == 1:
        settings["distributed_executor_backend"] = "uni"
    ranks = [rank_of(one.adapter) for one in voices if one.adapter is not None]
    if ranks:
        settings |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": engine_rank(ranks)}
    if not is_cpu:
        settings["gpu_memory_utilization"] = options.gpu_memory_utilization or _left(
            first.model.disk_bytes, device
        )
    return settings


def engine_environment(options: VLLMOptions, device: str, free_bytes: int) -> dict[str, str]:
    """Variables that vLLM reads: the engine stays in one process, and nothing is sent anywhere."""
    found = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",  # all files are here by now
    }
    if device == "cpu":
        cache = max(1, min(_LARGEST_CACHE, free_bytes // 4 // _GIB))
        found["VLLM_CPU_KVCACHE_SPACE"] = str(cache)
        if options.threads != "auto":
            found |= {
                "OMP_NUM_THREADS": str(options.threads),
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            }
    elif ":" in device:
        found["CUDA_VISIBLE_DEVICES"] = device.partition(":")[2]
    return found


def _left(weights_bytes: int, device: str) -> float:
    """The share of a GPU that may be taken beside weights which are there, and room to score with them."""
    import torch

    free, total = torch.cuda.mem_get_info(torch.device(device))
    share = (free - OWN_SHARE * weights_bytes - OWN_BYTES) / total
    return max(0.05, min(0.9, share))
