"""Run under lm-eval 0.4.13's own Python: writes its logs of three tasks for two tiny models.

python tests/bridges/logs/makers/lm_eval_logs.py OUT_DIR
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")

from own_texts import DEMO, messages, replies, write

TASKS = {
    # A choice, with a mean per document and two numbers that are no means.
    "own_replies": """
output_type: multiple_choice
doc_to_text: "Customer: {{question}}\\nShop:"
doc_to_target: "{{answer}}"
doc_to_choice: "{{choices}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: brier_score}
""",
    # A text, read by two filters.
    "own_topics": """
output_type: generate_until
doc_to_text: "Message: {{text}}\\nTopic:"
doc_to_target: "{{label}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 6, do_sample: false}
filter_list:
  - name: first-word
    filter:
      - {function: regex, regex_pattern: "([A-Za-z]+)"}
      - {function: take_first}
  - name: whole
    filter:
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""",
    # Texts whose loss is measured: sums of two columns.
    "own_texts": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: word_perplexity
  - metric: byte_perplexity
  - metric: bits_per_byte
""",
}

PARTS = ("own_questions", "own_complaints")
GROUP = """
group: own_group
task: [own_questions, own_complaints]
aggregate_metric_list:
  - {metric: acc, aggregation: mean, weight_by_size: true}
"""


def main(out: Path) -> None:
    from lm_eval.__main__ import cli_evaluate

    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        work = Path()
        for name in ("base", "lora-seed0"):
            Path(name).symlink_to(DEMO / name)
        files = {
            "own_replies": write(work / "replies.jsonl", replies(40)),
            "own_topics": write(work / "messages.jsonl", messages(40)),
            "own_texts": write(work / "texts.jsonl", messages(40)),
        }
        halves = replies(50)
        for part, rows in zip(PARTS, (halves[:20], halves[20:]), strict=True):
            files[part] = write(work / f"{part}.jsonl", rows)
        every = {**TASKS, **dict.fromkeys(PARTS, TASKS["own_replies"])}
        for name, text in every.items():
            head = f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {files[name]}}}}}\ntest_split: test\n"
            (work / f"{name}.yaml").write_text(head + text.lstrip(), encoding="utf-8")
        for arm, adapter in {"base": "", "lora": ",peft=lora-seed0"}.items():
            sys.argv = [
                *("lm_eval", "--model", "hf", "--device", "cpu", "--batch_size", "8"),
                *("--model_args", f"pretrained=base,dtype=float32{adapter}"),
                *("--tasks", ",".join(TASKS), "--include_path", "."),
                *("--output_path", str(out / arm), "--log_samples"),
            ]
            cli_evaluate()
            # A group, whose number is that of all its documents.
            Path("own_group.yaml").write_text(GROUP, encoding="utf-8")
            sys.argv[sys.argv.index("--tasks") + 1] = "own_group"
            sys.argv[sys.argv.index("--output_path") + 1] = str(out / f"group-{arm}")
            cli_evaluate()
        for written in out.rglob("results_*.json"):
            kept = json.loads(written.read_text(encoding="utf-8"))
            kept.pop("pretty_env_info")  # says what machine this is
            kept.pop("git_hash")
            written.write_text(json.dumps(kept, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
