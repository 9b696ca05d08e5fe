"""Builds a model of half a billion parameters and three short workloads of real rows for engine.py.

Random weights from a seed (24 layers, width 896, vocabulary 151,936, bfloat16), so nothing is
downloaded: what is timed does not depend on what the model has learnt.

    python evidence/half_billion.py --dir WORK --shared SHARED/data --peer-script PEER
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

SIZE = "half-billion"
SHAPE = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie": True,
}


def build(root: Path, peer_script: Path) -> Path:
    """Write base, full fine-tune and LoRA in bfloat16, with the peer script's own recipe."""
    import torch

    spec = importlib.util.spec_from_file_location("peer_script", peer_script)
    assert spec is not None and spec.loader is not None
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    peer.SIZES[SIZE] = SHAPE
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        found: Path = peer.build_models(root, SIZE)
    finally:
        torch.set_default_dtype(before)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dir", required=True)
    parser.add_argument("--peer-script", required=True)
    a = parser.parse_args()
    print(build(Path(a.dir), Path(a.peer_script)))
