"""Times the engine against lm-evaluation-harness on the same requests and weights, side by side.

    python benchmarks/engine.py --peer-script shared/bench/peer_lm_eval.py --peer-python VENV/bin/python

The peer script builds models and requests from a seed and runs the peer; this one runs tuneval on
the same files in a process of its own, in turn with the peer, compares the answers and prints a
table. See benchmarks/README.md for how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WORKLOADS = {  # the peer's best batch size on CPU, found on a tenth of each workload
    "mmlu": 1,
    "intents": 8,
    "hellaswag": 8,
    "perplexity": 1,
    "qa": 32,
    "summarise": 32,
    "code": 64,
}
SCORING = ("mmlu", "intents", "hellaswag", "perplexity")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


# ------------------------------------------------------------------------- one run of our own


def request_of(row: dict[str, Any]) -> Any:
    """A row of the peer's request file as a Request."""
    from tuneval.types import Decoding, Request

    if row["kind"] == "loglikelihood":
        return Request(row["id"], row["id"], row["context"], continuation=row["continuation"])
    if row["kind"] == "rolling":
        return Request(row["id"], row["id"], "", continuation=row["text"])
    decoding = Decoding(
        max_tokens=row["max_new_tokens"],
        stop=tuple(row["until"]),
        temperature=row.get("temperature", 0.0) if row["do_sample"] else 0.0,
        top_p=row.get("top_p", 1.0),
    )
    return Request(row["id"], row["id"], row["context"], decoding=decoding)


def answer_of(row: dict[str, Any], response: Any) -> dict[str, Any]:
    """A Response as a row of the peer's answer file."""
    if row["kind"] == "generate":
        return {"id": row["id"], "text": response.completions[0].text}
    answer = {"id": row["id"], "loglikelihood": response.loglikelihood}
    if row["kind"] == "loglikelihood":
        answer["is_greedy"] = response.is_greedy
    return answer


def count_pushed(counts: dict[str, int]) -> None:
    """Count the tokens that our own passes push, prefill and scoring apart from decoding."""
    from tuneval.engine.hf import tree

    for kind in (tree.FusedTree, tree.MaskedTree):
        push = kind.push

        def counted(self: Any, trie: Any, chunk: Any, push: Any = push) -> Any:
            counts["tokens"] += chunk.stop - chunk.start
            return push(self, trie, chunk)

        kind.push = counted  # type: ignore[method-assign]


def run_ours(arguments: argparse.Namespace) -> None:
    """Score one request file with some variants; print one JSON line."""
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    from tuneval.engine.hf.backend import HFBackend
    from tuneval.types import Variant

    models = Path(arguments.dir) / arguments.size
    base = str(models / "base")
    known = {
        "base": Variant("base", "base", base),
        "lora": Variant("lora", "adapter", base, str(models / "lora")),
        "full": Variant("full", "full", str(models / "full")),
    }
    variants = [known[name] for name in arguments.variants.split(",")]
    backend = HFBackend(
        offline=True,
        device=arguments.device,
        dtype=arguments.dtype,
        threads=arguments.threads or "auto",
    )
    started = time.perf_counter()
    facts = backend.prepare(variants)
    load_s = time.perf_counter() - started
    counts = {"tokens": 0}
    count_pushed(counts)
    figures: dict[str, Any] = {"cpu_s": 0.0, "wall_s": 0.0, "tokens": 0}
    for workload in arguments.workloads.split(","):
        rows = read_jsonl(Path(arguments.dir) / f"{workload}.requests.jsonl")
        requests = [request_of(row) for row in rows]
        for variant in variants:
            wall, cpu = time.perf_counter(), time.process_time()
            answers = {a.request_id: a for a in backend.answer(variant, requests)}
            if arguments.device.startswith("cuda"):
                torch.cuda.synchronize()
            figures["wall_s"] += time.perf_counter() - wall
            figures["cpu_s"] += time.process_time() - cpu
            out = Path(arguments.dir) / "ours" / f"{workload}.{arguments.size}.{variant.name}.jsonl"
            out.parent.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps(answer_of(row, answers[row["id"]])) for row in rows)
            out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures |= {"tokens": counts["tokens"], "load_s": load_s, "peak_rss_mb": peak}
    figures["path"] = facts[variants[0].name].settings["scoring"]
    print(json.dumps(figures))


# --------------------------------------------------------------------------------- side by side


def run(command: list[str]) -> tuple[dict[str, Any], float]:
    """Run a command that prints a JSON line last; the line, and the seconds of the whole process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1]), seconds


def peer_command(arguments: argparse.Namespace, workload: str, variants: str) -> list[str]:
    """The peer on one workload, at its best batch size."""
    return [
        *(arguments.peer_python, arguments.peer_script, "run", "--dir", arguments.dir),
        *("--size", arguments.size, "--workload", workload, "--variants", variants),
        *("--batch-size", str(arguments.batch_size or WORKLOADS[workload])),
        *("--threads", str(arguments.threads), "--dtype", arguments.dtype),
        *("--device", arguments.device, "--scale", str(arguments.scale)),
    ]


def our_command(arguments: argparse.Namespace, workloads: str, variants: str) -> list[str]:
    """This script on the same requests."""
    return [
        *(sys.executable, __file__, "--ours", "--dir", arguments.dir, "--size", arguments.size),
        *("--workloads", workloads, "--variants", variants, "--threads", str(arguments.threads)),
        *("--dtype", arguments.dtype, "--device", arguments.device),
    ]


def parity(arguments: argparse.Namespace, workload: str, variant: str) -> str:
    """How far our answers are from the peer's."""
    name = f"{workload}.{arguments.size}.{variant}.jsonl"
    ours = {row["id"]: row for row in read_jsonl(Path(arguments.dir) / "ours" / name)}
    theirs = read_jsonl(Path(arguments.dir) / "out" / name)
    if workload == "code":
        return "sampled"
    if "text" in theirs[0]:
        same = sum(row["text"] == ours[row["id"]]["text"] for row in theirs)
        return f"{same}/{len(theirs)} same text"
    worst = max(abs(row["loglikelihood"] - ours[row["id"]]["loglikelihood"]) for row in theirs)
    flips = sum(row.get("is_greedy") != ours[row["id"]].get("is_greedy") for row in theirs)
    return f"{worst:.0e}, {flips} flips"


def compare(arguments: argparse.Namespace) -> None:
    """Run both in turn on each workload and print the table."""
    print(
        "| workload | peer cpu s | tuneval cpu s | ratio | pushed / unique | peak MB (peer) | parity |"
    )
    print("|---|---|---|---|---|---|---|")
    for workload in arguments.workloads.split(","):
        pairs = []
        for _ in range(arguments.rounds):
            peer, _ = run(peer_command(arguments, workload, "base"))
            ours, _ = run(our_command(arguments, workload, "base"))
            pairs.append((peer, ours))
        peer_s = statistics.median(peer["cpu_s"] for peer, _ in pairs)
        our_s = statistics.median(ours["cpu_s"] for _, ours in pairs)
        ratio = statistics.median(peer["cpu_s"] / ours["cpu_s"] for peer, ours in pairs)
        peer, ours = pairs[-1]
        pushed = "-"
        if workload in SCORING:
            pushed = f"{ours['tokens'] / peer['unique_trie_tokens']:.4f}"
        print(
            f"| {workload} | {peer_s:.1f} | {our_s:.2f} | {ratio:.1f} | {pushed} "
            f"| {ours['peak_rss_mb']:.0f} ({peer['peak_rss_mb']:.0f}) "
            f"| {parity(arguments, workload, 'base')} |",
            flush=True,
        )
    if arguments.whole:
        names = "base,lora,full"
        theirs = sum(
            run(peer_command(arguments, workload, names))[1]
            for workload in arguments.workloads.split(",")
        )
        _, ours_s = run(our_command(arguments, arguments.workloads, names))
        print(
            f"\nwhole processes, {names}: peer {theirs:.0f} s, tuneval {ours_s:.0f} s wall, "
            f"ratio {theirs / ours_s:.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ours", action="store_true", help="one run of tuneval (used by itself)")
    parser.add_argument("--dir", default="bench-work", help="where models, requests, answers go")
    parser.add_argument("--peer-script", default="../shared/bench/peer_lm_eval.py")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="a Python with lm_eval 0.4.13"
    )
    parser.add_argument("--size", default="tiny", choices=["tiny", "small", "large"])
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--variants", default="base")
    parser.add_argument("--rounds", type=int, default=1, help="pairs of runs per workload")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=0, help="the peer's; 0: its best on CPU")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--whole", action="store_true", help="all variants, whole processes, too")
    arguments = parser.parse_args()
    if arguments.ours:
        run_ours(arguments)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
