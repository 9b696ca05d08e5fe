"""Tune the TinyStories model on what real bank customers wrote (Banking77): LoRA and fully.

Nothing is downloaded: model and messages lie in the project's shared data folder.

    python examples/banking77/train.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from real_data import Example, Recipe, main

BANKING77 = Example(
    name="banking77",
    label_column="category",
    template="Message: {text}\nIntent:",
    lora=Recipe(learning_rate=3e-3, epochs=4),
    full=Recipe(learning_rate=2e-3, epochs=4),
    training_seeds=(0, 1),  # the longest run of the examples
)

if __name__ == "__main__":
    main(BANKING77)
