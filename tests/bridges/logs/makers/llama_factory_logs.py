"""Run under LLaMA-Factory 0.9.5's own Python: writes its predictions for two tiny models.

DISABLE_VERSION_CHECK=1 python tests/bridges/logs/makers/llama_factory_logs.py OUT_DIR
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from own_texts import DEMO, messages


def main(out: Path) -> None:
    from llamafactory.train.tuner import run_exp

    rows = [
        {
            "instruction": f"Message: {row['text']}\nTopic:",
            "input": "",
            "output": f" {row['label']}",
        }
        for row in messages(30)
    ]
    Path("data").mkdir()
    Path("data/own.json").write_text(json.dumps(rows), encoding="utf-8")
    Path("data/dataset_info.json").write_text(
        '{"own": {"file_name": "own.json"}}', encoding="utf-8"
    )
    for arm in ("base", "full"):
        Path(arm).symlink_to(DEMO / arm)
        run_exp(
            {
                "stage": "sft",
                "do_predict": True,
                "model_name_or_path": arm,
                "template": "empty",
                "dataset_dir": "data",
                "eval_dataset": "own",
                "output_dir": f"out/{arm}",
                "predict_with_generate": True,
                "max_new_tokens": 4,
                "do_sample": False,
                "cutoff_len": 400,
                "per_device_eval_batch_size": 8,
                "report_to": "none",
                "finetuning_type": "full",
            }
        )
        (out / arm).mkdir(parents=True, exist_ok=True)
        shutil.copy(f"out/{arm}/generated_predictions.jsonl", out / arm)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        target = Path(sys.argv[1]).resolve()
        os.chdir(place)
        main(target)
