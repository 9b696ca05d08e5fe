"""Run under inspect_ai 0.3.285's own Python: writes its logs of one task for two tiny models.

python tests/bridges/logs/makers/inspect_logs.py OUT_DIR
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from own_texts import DEMO, messages

PLAIN = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def main(out: Path) -> None:
    from inspect_ai import Epochs, Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import GenerateConfig, get_model
    from inspect_ai.scorer import includes, match
    from inspect_ai.solver import generate

    every = [
        Sample(
            id=row["id"],
            input=f"Message: {row['text']}\nTopic:",
            target=row["label"],
            metadata={"writer": row["writer"]},
        )
        for row in messages(40)
    ]
    for arm in ("base", "full"):
        Path(arm).symlink_to(DEMO / arm)
        for form, n, epochs in (("eval", 40, 1), ("json", 6, 2)):
            task = Task(
                dataset=MemoryDataset(every[:n], name="messages"),
                solver=generate(),
                scorer=[match(location="begin"), includes()],
                epochs=Epochs(epochs, "mean"),
                name="own_topics",
            )
            model = get_model(
                "hf/local",
                model_path=arm,
                chat_template=PLAIN,
                device="cpu",
                config=GenerateConfig(max_tokens=4, temperature=0.001),
                memoize=False,
            )
            logs = str(out / f"{arm}-{form}")
            eval(task, model=model, log_dir=logs, log_format=form, display="none")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        out = Path(sys.argv[1]).resolve()
        os.chdir(place)
        main(out)
