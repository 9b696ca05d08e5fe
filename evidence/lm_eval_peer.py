"""The other side of lm_eval_parity.py: runs under lm-evaluation-harness' own Python and imports no tuneval.

    python -P evidence/lm_eval_peer.py prompts --data ../shared/data --out prompts.json
    python -P evidence/lm_eval_peer.py score --data ../shared/data --model DIR [--adapter DIR] --out scores.json

``-P`` keeps modules of this folder from standing in for others of their names. lm-eval's task files are used; only where the rows come from is replaced by files of the data folder.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

SUBJECTS = (
    "abstract_algebra",
    "anatomy",
    "astronomy",
    "business_ethics",
    "college_physics",
    "world_religions",
)

GLUE = {
    "cola": ("sentence",),
    "mrpc": ("sentence2", "sentence1"),
    "qqp": ("question2", "question1"),
    "mnli": ("hypothesis", "premise"),
    "qnli": ("question", "sentence"),
    "rte": ("sentence2", "sentence1"),
    "wnli": ("sentence2", "sentence1"),
}
"""Task -> the columns that its rows are known by."""


ODD_ANSWERS = (
    "", "#### 1,234.", "#### $5", "it is 5.", "...", "$$", "#### 5 or #### 6", "a 7 b -", "#### -3", "1 000",
)  # fmt: skip


def rows_of(path: Path) -> list[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def hellaswag_rows(data: Path) -> list[dict[str, Any]]:
    """Rows in the form of HellaSwag: which sentence of a news article follows, of four?"""
    articles = rows_of(data / "cnndm_summeval" / "summeval.jsonl.gz")
    # About as long as HellaSwag's own: float32 rounds the sum of a longer text by more than 1e-4.
    texts = [
        [shorten(one, 80, placeholder="") for one in row["article"].split(" . ")]
        for row in articles
    ]
    texts = [[one for one in text if len(one) > 30 and "[" not in one] for text in texts]
    texts = [text for text in texts if len(text) > 8]
    rows = []
    for n, text in enumerate(texts):
        others = [texts[(n + step) % len(texts)][6] for step in (1, 2, 3)]
        label = n % 4
        rows.append(
            {
                "activity_label": "News",
                "ctx_a": text[0] + ".",
                "ctx_b": text[1].lower(),
                "endings": [*others[:label], text[2], *others[label:]],
                "label": str(label),
            }
        )
    return rows


def tasks(data: Path, work: Path) -> Iterator[tuple[str, Any, int]]:
    """Name, task and number of examples, of every log-likelihood task."""
    import lm_eval.tasks as catalogue
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    home = Path(catalogue.__file__).parent

    def local(path: str, files: dict[str, str]) -> Any:
        config = dict(load_yaml(home / path, resolve_func=True))
        config |= {
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": files, "cache_dir": str(work / "cache")},
        }
        for key in ("tag", "task_alias"):
            config.pop(key, None)
        return ConfigurableTask(config=config)

    every = {split: rows_of(data / "mmlu" / f"{split}.jsonl.gz") for split in ("dev", "test")}
    for subject in SUBJECTS:
        files = {
            split: write(
                work / f"{subject}.{split}.jsonl", [r for r in rows if r["subject"] == subject]
            )
            for split, rows in every.items()
        }
        for shots in (0, 5):
            yield f"mmlu:{subject}", local(f"mmlu/default/mmlu_{subject}.yaml", files), shots
    files = {
        split: write(work / f"sst2.{split}.jsonl", rows_of(data / "sst2" / f"{split}.jsonl.gz"))
        for split in ("train", "validation")
    }
    for shots in (0, 3):
        yield "sst2", local("glue/sst2/default.yaml", files), shots
    for name in GLUE:
        rows = rows_of(data / "glue" / f"{name}.jsonl.gz")
        split = "validation_matched" if name == "mnli" else "validation"
        # lm-eval looks at the training split, too; what is asked without examples does not show it.
        files = {one: write(work / f"{name}.{one}.jsonl", rows) for one in ("train", split)}
        yield f"glue:{name}", local(f"glue/{name}/default.yaml", files), 0
    rows = rows_of(data / "gsm8k" / "test_half.jsonl.gz")
    files = {split: write(work / f"gsm8k.{split}.jsonl", own) for split, own in gsm8k(rows).items()}
    for shots in (0, 5, 8):
        yield "gsm8k", local("gsm8k/gsm8k.yaml", files), shots
    rows = hellaswag_rows(data)
    files = {split: write(work / f"hs.{split}.jsonl", rows) for split in ("train", "validation")}
    yield "hellaswag", local("hellaswag/hellaswag.yaml", files), 0


def gsm8k(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The training split is not among the rows: every third problem is an example instead."""
    return {
        "train": [row for row in rows if row["idx"] % 3 == 0],
        "test": [row for row in rows if row["idx"] % 3],
    }


def gsm8k_readings(data: Path) -> dict[str, list[str]]:
    """What lm-eval's two filters make of released solutions, as they are and with the reference's mark, and
    of odd answers: "strict flexible" as 0 and 1 -> digests of answer and reference."""
    import lm_eval.tasks as catalogue
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.filters.extraction import RegexFilter
    from lm_eval.tasks._yaml_loader import load_yaml

    path = Path(catalogue.__file__).parent / "gsm8k/gsm8k.yaml"
    config = load_yaml(path, resolve_func=False)
    options = {
        k: v for k, v in config["metric_list"][0].items() if k.startswith(("regexes", "ignore"))
    }
    filters = [
        RegexFilter(**{k: v for k, v in one["filter"][0].items() if k != "function"})
        for one in config["filter_list"]
    ]

    def reading(answer: str, reference: str) -> str:
        read = [one.apply([[answer]], [{}])[0][0] for one in filters]
        right = [
            exact_match_fn(predictions=[one], references=[reference], **options)["exact_match"]
            for one in read
        ]
        return " ".join(str(int(one)) for one in right)

    found: dict[str, list[str]] = {}
    references = {r["idx"]: r["answer"] for r in rows_of(data / "gsm8k" / "test_half.jsonl.gz")}
    for row in rows_of(data / "gsm8k" / "model_solutions_half.jsonl.gz"):
        reference = references[row["idx"]]
        for system in ("6b_finetuning", "175b_verification"):
            solution = row[system]["solution"]
            for answer in (solution, solution.replace("A: ", "#### ")):
                found.setdefault(reading(answer, reference), []).append(
                    digest(answer, reference)[:16]
                )
    for answer in ODD_ANSWERS:
        for reference in ("#### 5", "x\n#### -3", "#### 1234", "7"):
            found.setdefault(reading(answer, reference), []).append(digest(answer, reference)[:16])
    return {key: sorted(set(own)) for key, own in sorted(found.items())}


def evaluate(task: Any, shots: int, model: Any, limit: int | None) -> dict[str, Any]:
    """Documents in order: context, continuations, log-likelihoods; and the accuracies."""
    from lm_eval import simple_evaluate

    task.set_config("num_fewshot", shots)
    found = simple_evaluate(
        model=model, tasks=[task], limit=limit, log_samples=True, bootstrap_iters=0
    )
    (name,) = found["samples"]
    rows = []
    # A document stands there once for each filter.
    samples = {one["doc_id"]: one for one in found["samples"][name]}
    for _, one in sorted(samples.items()):
        answers = [
            reply[0] if isinstance(reply[0], list | tuple) else reply for reply in one["resps"]
        ]
        rows.append(
            {
                "doc_id": one["doc_id"],
                "doc": one["doc"] if name == "hellaswag" else None,
                "requests": [
                    [args[0], args[1] if isinstance(args[1], str) else ""]
                    for args in one["arguments"]
                ],
                "loglikelihoods": [float(answer[0]) for answer in answers]
                if task.OUTPUT_TYPE != "generate_until"
                else [],
            }
        )
    scores = {
        k: v for k, v in found["results"][name].items() if k.startswith("acc") and "stderr" not in k
    }
    return {"rows": rows, "scores": scores}


def squad_rows(data: Path) -> list[dict[str, Any]]:
    with gzip.open(data / "squad" / "dev_v2.0_subset.json.gz", "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    return [
        {**question, "context": passage["context"], "title": article["title"]}
        for article in articles
        for passage in article["paragraphs"]
        for question in passage["qas"]
    ]


def texts(data: Path, limit: int) -> dict[str, list[str]]:
    """By what each row is known again where only some of them are: its text (and choices)."""
    every: dict[str, list[str]] = {f"mmlu:{subject}": [] for subject in SUBJECTS}
    for row in rows_of(
        data / "mmlu" / "test.jsonl.gz"
    ):  # one question may stand above other choices
        every.get(f"mmlu:{row['subject']}", []).append(
            "\n".join((row["question"], *row["choices"]))
        )
    gsm8k_rows = gsm8k(rows_of(data / "gsm8k" / "test_half.jsonl.gz"))["test"]
    every["gsm8k"] = [row["question"] for row in gsm8k_rows]
    every["squad:v2"] = [row["question"] for row in squad_rows(data)]
    for name, file, field in (
        ("sst2", "sst2/validation.jsonl.gz", "sentence"),
        ("humaneval", "humaneval/HumanEval.jsonl.gz", "prompt"),
        ("cnn_dailymail:summeval", "cnndm_summeval/summeval.jsonl.gz", "article"),
    ):
        every[name] = [row[field] for row in rows_of(data / file)]
    for name, fields in GLUE.items():
        rows = rows_of(data / "glue" / f"{name}.jsonl.gz")
        every[f"glue:{name}"] = ["\n".join(row[one] for one in fields) for row in rows]
    return {name: [digest(text.strip(), "") for text in own[:limit]] for name, own in every.items()}


def generation_prompts(data: Path, limit: int) -> Iterator[tuple[str, list[list[str]]]]:
    """Contexts of tasks that draw completions, worded by lm-eval's own templates."""
    import lm_eval.tasks as catalogue
    from lm_eval.tasks._yaml_loader import load_yaml
    from lm_eval.tasks.squadv2.task import SQuAD2
    from lm_eval.utils import apply_template

    home = Path(catalogue.__file__).parent
    docs = squad_rows(data)[:limit]
    yield "squad:v2", [[SQuAD2.doc_to_text(None, doc), ""] for doc in docs]
    for name, path, file in (
        ("humaneval", "humaneval/humaneval.yaml", "humaneval/HumanEval.jsonl.gz"),
        (
            "cnn_dailymail:summeval",
            "cnn_dailymail/cnn_dailymail.yaml",
            "cnndm_summeval/summeval.jsonl.gz",
        ),
    ):
        config = load_yaml(home / path, resolve_func=False)
        docs = rows_of(data / file)[:limit]
        yield name, [[apply_template(config["doc_to_text"], doc), ""] for doc in docs]


def digest(context: str, continuation: str) -> str:
    """Rows of published data are not copied into the repository: a hash of the prompt is."""
    return hashlib.sha256(f"{context}\x1f{continuation}".encode()).hexdigest()[:32]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("prompts", "score"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--model")
    parser.add_argument("--adapter")
    given = parser.parse_args()
    from importlib.metadata import version

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if given.mode == "prompts":
            limit = given.limit or 12
            for name, task, shots in tasks(given.data, Path(folder)):
                if name != "hellaswag":
                    rows = evaluate(task, shots, "dummy", limit)["rows"]
                    asked = [request for row in rows for request in row["requests"]]
                    found[f"{name}/{shots}"] = [digest(*request) for request in asked]
            for name, asked in generation_prompts(given.data, limit):
                found[f"{name}/0"] = [digest(*request) for request in asked]
            content = {
                "tool": "lm_eval",
                "version": version("lm_eval"),
                "command": f"python -P evidence/lm_eval_peer.py prompts --limit {limit}",
                "meaning": "sha256 (32 digits) of context, \\x1f, continuation; first rows of each split, "
                "and what each row is known by: its text, \\x1f",
                "rows": texts(given.data, limit),
                "prompts": found,
                "gsm8k_readings": gsm8k_readings(given.data),
            }
            given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            return 0
        import torch
        from lm_eval.models.huggingface import HFLM

        torch.set_num_threads(1)
        model = HFLM(
            pretrained=given.model, peft=given.adapter, device="cpu", dtype="float32", batch_size=8
        )
        for name, task, shots in tasks(given.data, Path(folder)):
            # What is drawn has no log-likelihoods to compare.
            if name != "gsm8k" and not (name.startswith("mmlu") and shots == 0):
                found[f"{name}/{shots}"] = evaluate(task, shots, model, given.limit)
        given.out.write_text(json.dumps({"version": version("lm_eval"), "tasks": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
