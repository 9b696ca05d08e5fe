"""Log-likelihoods and accuracies of lm-evaluation-harness and of tuneval, request by request.

    python evidence/lm_eval_parity.py --data ../shared/data --peer-python /tmp/peer/bin/python

MMLU with 5 examples (6 subjects), SST-2 with 0 and 3, and a task in the form of HellaSwag, on a small real
model (its context made longer) and on an adapter of it with random weights. Both sides read the same
files; requests must be equal to the character, log-likelihoods to 1e-4 nats in float32.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneval import tasks
from tuneval.benchmarks import Place
from tuneval.benchmarks.load import load
from tuneval.tasks import Task
from tuneval.tasks.multiple_choice import MultipleChoice
from tuneval.types import Case, Variant

TOLERANCE = 1e-4
CONTEXT = 16_384


@dataclass(frozen=True)
class Asked:
    """One task as tuneval asks it; each scoring is an accuracy under lm-eval's name for it."""

    cases: Sequence[Case]
    scorings: dict[str, Task]


def build_models(source: Path, folder: Path) -> tuple[Path, Path]:
    """The model with room for five examples, and an adapter that changes its answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = folder / "base"
    shutil.copytree(source, base, copy_function=shutil.copyfile)
    config = json.loads((base / "config.json").read_text())
    config["max_position_embeddings"] = CONTEXT  # rotary positions: nothing is learned per place
    (base / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((base / "tokenizer_config.json").read_text())
    tokenizer["model_max_length"] = CONTEXT
    (base / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    torch.manual_seed(0)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder / "adapter")
    return base, folder / "adapter"


def ask_peer(python: str, data: Path, model: Path, adapter: Path | None, limit: int) -> Any:
    """lm-eval's requests, log-likelihoods and accuracies."""
    script = Path(__file__).with_name("lm_eval_peer.py")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "scores.json"
        command = [
            python, "-P", str(script), "score", "--data", str(data), "--model", str(model),
            "--out", str(out), "--limit", str(limit),
            *(["--adapter", str(adapter)] if adapter else []),
        ]  # fmt: skip
        hidden = {"PYTHONPATH", "PYTHONHOME"}
        environment = {key: value for key, value in os.environ.items() if key not in hidden}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-4000:])
        return json.loads(out.read_text())


def as_asked(name: str, shots: int, data: Path, rows: Sequence[Any]) -> Asked:
    """The same documents as tuneval's cases and tasks."""
    if name == "hellaswag":
        cases = [case_of(row["doc"]) for row in rows]
        return Asked(
            cases,
            {
                "acc,none": MultipleChoice(MultipleChoice.Options(scoring="text")),
                "acc_norm,none": MultipleChoice(
                    MultipleChoice.Options(scoring="text", normalize="per_character")
                ),
            },
        )
    loaded = load(name, Place(data, offline=True), few_shot=shots)
    task = tasks.build(
        loaded.cases.task, labels=loaded.cases.labels, few_shot=loaded.examples, **loaded.options
    )
    return Asked(loaded.cases.cases[: len(rows)], {"acc,none": task})


def case_of(doc: dict[str, Any]) -> Case:
    """A row of HellaSwag: its exact prompt, and what may follow after a space."""
    prompt = f"{doc['activity_label']}: {doc['ctx_a']} {doc['ctx_b'].capitalize()}"
    inputs = {"prompt": prompt, "completion": " ", "choices": tuple(doc["endings"])}
    return Case(f"hellaswag:{prompt[:40]}", inputs, (str(doc["label"]),))


def compare(
    variant: Variant, backend: Any, peer: Any, data: Path
) -> Iterator[tuple[str, int, int, float, bool]]:
    """Task, requests, different prompts, largest difference, and whether accuracies are equal."""
    for key, theirs in peer["tasks"].items():
        name, _, shots = key.rpartition("/")
        asked = as_asked(name, int(shots), data, theirs["rows"])
        first = next(iter(asked.scorings.values()))
        requests = [first.ask(case) for case in asked.cases]
        flat = [request for own in requests for request in own]
        answers = {one.request_id: one for one in backend.answer(variant, flat)}
        n_other, most = 0, 0.0
        for own, row in zip(requests, theirs["rows"], strict=True):
            pairs = zip(own, row["requests"], row["loglikelihoods"], strict=True)
            for request, (context, continuation), nats in pairs:
                n_other += (request.prompt, request.continuation) != (context, continuation)
                most = max(most, abs(answers[request.id].loglikelihood - nats))
        is_equal = True
        for metric, task in asked.scorings.items():
            read = [
                task.read(case, [answers[request.id] for request in own]).label in case.references
                for case, own in zip(asked.cases, requests, strict=True)
            ]
            if metric in theirs["scores"]:  # CoLA has a correlation alone
                is_equal &= abs(sum(read) / len(read) - theirs["scores"][metric]) < 1e-12
        yield key, len(flat), n_other, most, is_equal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--limit", type=int, default=10, help="documents of each task")
    given = parser.parse_args()
    import torch

    from tuneval.engine.hf.backend import HFBackend

    torch.set_num_threads(1)
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        base, adapter = build_models(given.data / "models" / "stories260k", Path(folder))
        variants = [
            Variant("base", "base", str(base)),
            Variant("adapter", "adapter", str(base), str(adapter)),
        ]
        backend = HFBackend(
            HFBackend.Options(offline=True, device="cpu", dtype="float32", threads=1)
        )
        backend.prepare(variants)
        print(f"{'variant':9}{'task':28}{'requests':>9}{'other':>7}{'largest':>12}  accuracy")
        for variant in variants:
            peer = ask_peer(
                given.peer_python, given.data, base,
                adapter if variant.adapter else None, given.limit,
            )  # fmt: skip
            for key, n, n_other, most, is_equal in compare(variant, backend, peer, given.data):
                is_good &= n_other == 0 and most < TOLERANCE and is_equal
                equal = "equal" if is_equal else "DIFFERENT"
                print(f"{variant.name:9}{key:28}{n:9}{n_other:7}{most:12.2e}  {equal}", flush=True)
        backend.close()
    print(f"lm-eval {peer['version']}: " + ("all equal" if is_good else "NOT EQUAL"))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
