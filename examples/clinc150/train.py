"""Tune the TinyStories model on what people ask an assistant (CLINC150): LoRA and fully.

Nothing is downloaded: model and requests lie in the project's shared data folder.

    python examples/clinc150/train.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from real_data import Example, Recipe, main

CLINC150 = Example(
    name="clinc150",
    label_column="intent",
    template="Request: {text}\nIntent:",
    lora=Recipe(learning_rate=3e-3, epochs=3),
    full=Recipe(learning_rate=2e-3, epochs=3),
    training_seeds=(0,),
    test_part="val",
    n_test=1000,  # about 100 of each domain; 150 labels each make 150,000 questions
    kept_columns=("domain",),
    out_of_scope=("oos_val", "oos_train"),
)

if __name__ == "__main__":
    main(CLINC150)
