"""Run under OpenCompass 0.5.4's own Python: writes predictions and details for two tiny models.

python tests/bridges/logs/makers/opencompass_logs.py OUT_DIR
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.setdefault(name, "1")

from own_texts import DEMO, messages, write  # noqa: E402


def main(out: Path) -> None:
    from opencompass.cli.main import main as opencompass
    from transformers import PreTrainedTokenizerBase

    # It calls a method that transformers 5 no longer has under that name.
    PreTrainedTokenizerBase.batch_encode_plus = PreTrainedTokenizerBase.__call__
    rows = [
        {"question": f"Message: {row['text']}\nTopic:", "answer": row["label"]}
        for row in messages(30)
    ]
    write(Path("own_topics.jsonl"), rows)
    for arm in ("base", "full"):
        Path(arm).symlink_to(DEMO / arm)
        sys.argv = [
            *("opencompass", "--hf-type", "base", "--hf-path", arm, "--hf-num-gpus", "0"),
            *("--custom-dataset-path", "own_topics.jsonl", "--custom-dataset-data-type", "qa"),
            *("--custom-dataset-infer-method", "gen", "--max-out-len", "4"),
            *("--max-seq-len", "400", "--dump-eval-details", "--debug", "-w", f"work/{arm}"),
        ]
        opencompass()
        for kind in ("predictions", "results"):
            for path in Path(f"work/{arm}").rglob(f"*/{kind}/*/*.json"):
                place = out / arm / kind / path.parent.name
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        target = Path(sys.argv[1]).resolve()
        os.chdir(place)
        main(target)
