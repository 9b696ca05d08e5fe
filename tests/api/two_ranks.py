"""Run by torchrun on two ranks of the CPU; prints a digest of the weights, with or without the callback.

torchrun --nproc-per-node 2 tests/api/two_ranks.py OUT_DIR [callback]
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
warnings.simplefilter("ignore")

from api.test_training import callback, train, weights  # noqa: E402


def main(place: Path, is_watched: bool) -> None:
    watched = [callback(every=2, stop_when="no gain", patience=1)] if is_watched else []
    trainer = train("lora", place, watched, ddp_backend="gloo", max_steps=4)
    digest = hashlib.sha256()
    for name, tensor in sorted(weights(trainer).items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    steps = [one.step for one in watched[0].history] if watched else []
    rank = os.environ["RANK"]
    (place / f"rank{rank}").write_text(
        f"{trainer.state.global_step} {len(steps)} {digest.hexdigest()}", encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), "callback" in sys.argv)
