"""Tune the TinyStories model on real TREC-6 questions: LoRA with three training seeds, and fully.

Nothing is downloaded: model and questions lie in the project's shared data folder.

    python examples/trec6/train.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from real_data import Example, Recipe, main

TREC6 = Example(
    name="trec6",
    label_column="coarse_name",
    template="Question: {text}\nType:",
    lora=Recipe(learning_rate=3e-3, epochs=5),
    full=Recipe(learning_rate=2e-3, epochs=5),
)

if __name__ == "__main__":
    main(TREC6)
