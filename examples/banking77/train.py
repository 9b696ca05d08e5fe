"""Tune the TinyStories model on what real bank customers wrote (Banking77): LoRA and fully.

Nothing is downloaded: model and messages lie in the project's shared data folder.

    python examples/banking77/train.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from real_data import Example, main
from training import Recipe

BANKING77 = Example(
    name="banking77",
    folder=Path(__file__).parent,
    label_column="category",
    template="Message: {text}\nIntent:",
    lora_rank=16,
    lora=Recipe(learning_rate=3e-3, epochs=4),
    full=Recipe(learning_rate=2e-3, epochs=4),
    training_seeds=(0, 1),  # the longest run of the examples
)

if __name__ == "__main__":
    main(BANKING77)
