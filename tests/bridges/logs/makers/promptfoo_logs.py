"""Writes the log of promptfoo 0.121.20 (npm install promptfoo) for two tiny models.

    python tests/bridges/logs/makers/promptfoo_logs.py OUT_DIR PROMPTFOO

The answers are drawn by transformers here and handed to promptfoo by a provider of its own kind
(``python:``); asserting, scoring and writing are promptfoo's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from own_texts import DEMO, messages

PROVIDER = """
import json
ANSWERS = json.load(open("answers.json"))
def call_api(prompt, options, context):
    return {"output": ANSWERS[options["config"]["arm"]][prompt]}
"""


def answers(folder: str, prompts: list[str]) -> dict[str, str]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO / folder)
    model = AutoModelForCausalLM.from_pretrained(DEMO / folder, dtype="float32")
    found = {}
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt")
        drawn = model.generate(**ids, max_new_tokens=4, do_sample=False)
        text = tokenizer.decode(drawn[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        found[prompt] = text.strip().split("\n")[0]
    return found


def main(out: Path, promptfoo: str) -> None:
    rows = messages(30)
    prompts = [f"Message: {row['text']}\nTopic:" for row in rows]
    config = {
        "prompts": ["Message: {{text}}\nTopic:"],
        "providers": [
            {"id": "python:provider.py", "label": arm, "config": {"arm": arm}}
            for arm in ("base", "full")
        ],
        "tests": [
            {
                "vars": {"text": row["text"], "writer": row["writer"]},
                "metadata": {"id": row["id"]},
                "assert": [
                    {"type": "icontains", "value": row["label"], "metric": "topic"},
                    {
                        "type": "javascript",
                        "value": "Math.min(1, output.length / 12)",
                        "metric": "length",
                    },
                ],
            }
            for row in rows
        ],
    }
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        (work / "provider.py").write_text(PROVIDER, encoding="utf-8")
        said = {arm: answers(arm, prompts) for arm in ("base", "full")}
        (work / "answers.json").write_text(json.dumps(said), encoding="utf-8")
        (work / "promptfooconfig.json").write_text(json.dumps(config), encoding="utf-8")
        quiet = {
            "PROMPTFOO_DISABLE_TELEMETRY": "1",
            "PROMPTFOO_DISABLE_UPDATE": "1",
            "PROMPTFOO_CONFIG_DIR": str(work / "home"),
            "PROMPTFOO_PYTHON": sys.executable,
        }
        subprocess.run(
            [promptfoo, "eval", "--no-cache", "-o", "results.json"],
            cwd=work,
            env={**os.environ, **quiet},
            check=False,
        )
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_bytes((work / "results.json").read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
