"""A fast forward pass of our own for small models of the Llama family on CPU.

Small models spend half of their time between matrix products. Here projections that read the same
rows are one product, norms are folded into weights, a LoRA is added into the copies, and attention
reads grouped keys without repeating them. It is used only where it was found to give the model's
own logits. Not for: large models (it keeps copies), other families (``tree.py`` runs them all).
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

FAMILIES = {"llama", "mistral", "qwen2", "qwen3"}
MAX_BYTES = 128 * 2**20
"""Largest copy of the layers' weights that is kept beside the model."""
_SIZES = (8, 16, 32, 48, 64, 96, 128, 192, 256)
"""Numbers of rows that products are set up for: each takes megabytes and milliseconds."""
_ROPE = {"default", "linear", "llama3", "yarn"}


class Product:
    """Rows times a weight, through oneDNN where torch has it.

    torch multiplies float32 through MKL, which reaches 105 of the 250 GFLOP/s that oneDNN reaches
    on the machine where this was measured (one thread, AVX-512).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._bias = bias
        self._packed: Tensor | None = None
        self._weight: Tensor | None = weight.detach().contiguous()
        if has_onednn():
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self._weight)
            self._weight = None

    def plain(self, x: Tensor) -> Tensor:
        """``x @ weight.T + bias``."""
        if self._packed is None:
            return functional.linear(x, _given(self._weight), self._bias)
        n_more = -len(x) + rounded(len(x))
        if n_more:
            x = functional.pad(x, (0, 0, 0, n_more))
        # Sums and activations could go into the same call; those cost more than they spare.
        product = _onednn(x, self._packed, self._bias, "none", [], "")
        return product[: len(product) - n_more]


def rounded(n_rows: int) -> int:
    """The number of rows, that many or some more, that products are set up for."""
    fitting = bisect.bisect_left(_SIZES, n_rows)
    return _SIZES[fitting] if fitting < len(_SIZES) else -(-n_rows // _SIZES[-1]) * _SIZES[-1]


def _onednn(*arguments: Any) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(*arguments)
    return result


def _given(weight: Tensor | None) -> Tensor:
    assert weight is not None
    return weight


def multiplied(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` through oneDNN for a weight that is used once; neither may have gaps."""
    return _onednn(x, weight, None, "none", [], "")


@cache
def has_onednn() -> bool:
    """Whether torch's oneDNN products are there and right (they are private to torch)."""
    if not torch._C._has_mkldnn:
        return False
    try:
        x, weight = torch.randn(3, 16), torch.randn(8, 16)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        right = functional.linear(x, weight)
        found = _onednn(x, packed, None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return False
    return float((found - right).abs().max()) < 1e-3


@cache
def _keep_freed_memory() -> None:
    """Let the C library reuse what is freed instead of asking the system for new pages each time.

    glibc gives blocks of many pages back at once, until one of up to 32 MB has been freed; from
    then on it keeps as much. Half a gigabyte of logits per second else costs a third of the time.
    The block is never written to, so it takes no memory.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


@dataclass(frozen=True, slots=True)
class _Layer:
    """Weights of one layer; those that read normed rows have the norm folded in."""

    qkv: Product
    out: Product
    gate_up: Product
    down: Product
    q_norm: Tensor | None
    k_norm: Tensor | None


def fits(model: Any) -> bool:
    """Whether a model is of a family, size and setting that this pass knows."""
    config = model.config.get_text_config()
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    rope = getattr(config, "rope_parameters", None) or {}
    parameters = [p for layer in _layers(model) for p in layer.parameters()]
    return (
        config.model_type in FAMILIES
        and layer_types == {"full_attention"}
        and not (config.model_type == "mistral" and config.sliding_window)
        and config.hidden_act == "silu"
        and not getattr(config, "mlp_bias", False)
        and rope.get("rope_type", "default") in _ROPE
        and not rope.get("partial_rotary_factor")
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in parameters)
        and sum(p.numel() * 4 for p in parameters) <= MAX_BYTES
    )


def _layers(model: Any) -> Any:
    return getattr(getattr(model, model.base_model_prefix, None), "layers", ())


def effective_weight(module: Any, adapter: str | None) -> Tensor:
    """Weight of a linear module with a LoRA added; the module's own tensor is not changed.

    Raises
    ------
    ValueError
        The adapter is none that can be added to a weight exactly (DoRA, biases, other kinds).
    """
    from peft.tuners.lora import Linear as LoraLinear
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not isinstance(module, BaseTunerLayer):
        weight: Tensor = module.weight
        return weight
    base: Any = module.get_base_layer()
    weight = base.weight
    if adapter is None or adapter not in getattr(module, "lora_A", {}):
        if adapter is not None and not isinstance(module, LoraLinear):
            raise ValueError("not a LoRA")
        return weight
    if module.use_dora.get(adapter) or module.lora_bias.get(adapter):
        raise ValueError("not a plain LoRA")
    delta: Tensor = module.get_delta_weight(adapter)
    return weight + delta.to(weight.dtype)


class FusedBody:
    """The decoder below the head, with the weights of one variant.

    Parameters
    ----------
    model
        A transformers model for which ``fits`` holds.
    adapter : str or None
        PEFT's name of the LoRA to add.
    """

    def __init__(self, model: Any, adapter: str | None) -> None:
        config = model.config.get_text_config()
        body = getattr(model, model.base_model_prefix)
        self.n_heads = config.num_attention_heads
        self.n_kv = config.num_key_value_heads
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.n_heads
        self.eps = config.rms_norm_eps
        _keep_freed_memory()
        if type(body.embed_tokens).__name__ != "Embedding":
            raise ValueError("embeddings are adapted")
        self.embedding = body.embed_tokens.weight
        self.norm = body.norm.weight
        self.layers = [self._fuse(layer, adapter) for layer in body.layers]
        positions = torch.arange(config.max_position_embeddings)[None]
        cos, sin = body.rotary_emb(self.embedding[:1], positions)
        half = self.width // 2
        if cos.shape[-1] != self.width:
            raise ValueError("rotary positions cover a part of each head")
        self.turns = torch.complex(cos[0, :, :half].float(), sin[0, :, :half].float())[:, None]

    def _fuse(self, layer: Any, adapter: str | None) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        order = self._interleaved()
        q = effective_weight(attention.q_proj, adapter)
        k = effective_weight(attention.k_proj, adapter)
        v = effective_weight(attention.v_proj, adapter)
        biases = [_bias(p) for p in (attention.q_proj, attention.k_proj, attention.v_proj)]
        qkv_bias = None
        if biases[0] is not None and biases[1] is not None and biases[2] is not None:
            qkv_bias = torch.cat([_turned(biases[0], order), _turned(biases[1], order), biases[2]])
        gate = effective_weight(mlp.gate_proj, adapter)
        up = effective_weight(mlp.up_proj, adapter)
        q_norm, k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
        qkv = torch.cat([_turned(q, order), _turned(k, order), v])
        return _Layer(
            qkv=Product(qkv * layer.input_layernorm.weight, qkv_bias),
            out=Product(effective_weight(attention.o_proj, adapter), _bias(attention.o_proj)),
            gate_up=Product(torch.cat([gate, up]) * layer.post_attention_layernorm.weight),
            down=Product(effective_weight(mlp.down_proj, adapter)),
            q_norm=None if q_norm is None else q_norm.weight[order],
            k_norm=None if k_norm is None else k_norm.weight[order],
        )

    def _interleaved(self) -> Tensor:
        """Order of a head's numbers that puts each rotated pair side by side.

        Queries and keys share it, so their products stay the same, and a rotation becomes one
        product of complex numbers.
        """
        half = self.width // 2
        return torch.stack([torch.arange(half), torch.arange(half) + half], dim=1).flatten()

    def run(self, ids: Tensor, positions: Tensor, attend: Any) -> Tensor:
        """Hidden rows of tokens, shape (n, hidden).

        ``attend(layer, q, k, v)`` keeps keys and values and returns the attended rows; q has shape
        (n, heads, width), k and v (n, kv heads, width).
        """
        n_asked, n = len(ids), rounded(len(ids))
        # Rows beyond those asked for attend to nothing and are left out in the end.
        ids, positions = (functional.pad(x, (0, n - n_asked)) for x in (ids, positions))
        x = self.embedding[ids]
        turns = self.turns[positions]
        n_turned = self.n_heads + self.n_kv
        for number, layer in enumerate(self.layers):
            qkv = layer.qkv.plain(self._normed(x))
            qkv = qkv.view(n, n_turned + self.n_kv, self.width)
            turned = qkv[:, :n_turned]
            if layer.q_norm is not None and layer.k_norm is not None:
                turned = self._head_normed(turned, layer.q_norm, layer.k_norm)
            pairs = torch.view_as_complex(turned.reshape(n, n_turned, -1, 2))
            turned = torch.view_as_real(pairs * turns).flatten(-2)[:n_asked]
            mixed = attend(
                number,
                turned[:, : self.n_heads],
                turned[:, self.n_heads :],
                qkv[:n_asked, n_turned:],
            )
            x += layer.out.plain(functional.pad(mixed, (0, 0, 0, n - n_asked)))
            gate, up = layer.gate_up.plain(self._normed(x)).chunk(2, dim=-1)
            x += layer.down.plain(functional.silu(gate).mul_(up))
        hidden: Tensor = self._normed(x[:n_asked]) * self.norm
        return hidden

    def _normed(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)

    def _head_normed(self, turned: Tensor, q_norm: Tensor, k_norm: Tensor) -> Tensor:
        normed = self._normed(turned)
        normed[:, : self.n_heads] *= q_norm
        normed[:, self.n_heads :] *= k_norm
        return normed


def _turned(weight: Tensor, order: Tensor) -> Tensor:
    """Rows of a projection in the interleaved order of each head."""
    heads = weight.reshape(-1, len(order), *weight.shape[1:])
    return heads[:, order].flatten(0, 1)


def _bias(module: Any) -> Tensor | None:
    base = module.get_base_layer() if hasattr(module, "get_base_layer") else module
    bias: Tensor | None = base.bias
    return bias
