"""Times the engine against lm-evaluation-harness on the same requests and weights, side by side.

    python evidence/engine.py --peer-script shared/bench/peer_lm_eval.py --peer-python VENV/bin/python

The peer script builds models and requests from a seed and runs the peer; this one runs tuneval on
the same files in a process of its own, in turn with the peer, measures how fast raw forwards of the
same model are, compares the answers and prints a table. See evidence/README.md for how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import busy
import half_billion
import raw_rates

WORKLOADS = {  # the peer's best batch size on CPU, found on a tenth of each workload
    "mmlu": 1,
    "intents": 8,
    "hellaswag": 8,
    "perplexity": 1,
    "qa": 32,
    "summarise": 32,
    "code": 64,
}
SCORING = ("mmlu", "intents", "hellaswag", "perplexity", "banking77", "sst2")
HALF_BILLION = {"banking77": 1, "sst2": 1, "completions": 1, "mmlu": 1}
"""Short workloads of real rows for ``--size half-billion``; the peer with its defaults."""
PEER_LOADS = """
import json, sys, time
from lm_eval.models.huggingface import HFLM
HFLM(pretrained=sys.argv[1], device=sys.argv[2], dtype=sys.argv[3], batch_size=1)
print(json.dumps({"cpu_s": time.process_time(), "wall_s": time.perf_counter()}))
"""


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
    from tuneval.engine.hf.passes import tree

    for kind in (tree.FusedTree, tree.MaskedTree):
        push = kind.push

        def counted(self: Any, trie: Any, chunk: Any, push: Any = push) -> Any:
            counts["tokens"] += chunk.stop - chunk.start
            return push(self, trie, chunk)

        kind.push = counted  # type: ignore[method-assign]


def needed_work(backend: Any, variant: Any, requests: list[Any]) -> dict[str, int]:
    """What no exact engine can do without: distinct tokens to push, and distinct rows to score."""
    from tuneval.engine.hf.passes.schedule import build_trie

    renderer = backend._voices[variant].renderer
    if requests[0].decoding is not None:
        prompts = renderer.prompts(requests)
        return {"unique": build_trie([prompt.ids for prompt in prompts]).n_nodes, "rows": 0}
    windows = [w for scoring in renderer.scorings(requests) for w in scoring.windows]
    trie = build_trie([window.ids[:-1] for window in windows])
    rows: set[int] = set()
    for window, leaf in zip(windows, trie.leaf.tolist(), strict=True):
        rows.update(trie.last(leaf, window.n_scored).tolist())
    return {"unique": trie.n_nodes, "rows": len(rows)}


def our_backend(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The backend as the arguments ask for it, and the variants that it can answer as."""
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
    backend = HFBackend(
        HFBackend.Options(
            offline=True,
            device=arguments.device,
            dtype=arguments.dtype,
            threads=arguments.threads or "auto",
        )
    )
    return backend, known


def run_ours(arguments: argparse.Namespace) -> None:
    """Score one request file with some variants; print one JSON line."""
    import torch

    backend, known = our_backend(arguments)
    variants = [known[name] for name in arguments.variants.split(",")]
    is_cuda = arguments.device.startswith("cuda")
    started = time.perf_counter()
    facts = backend.prepare(variants)
    load_s, load_cpu_s = time.perf_counter() - started, time.process_time()
    counts = {"tokens": 0}
    count_pushed(counts)
    figures: dict[str, Any] = {"cpu_s": 0.0, "wall_s": 0.0, "unique": 0, "rows": 0, "drawn": 0}
    for workload in arguments.workloads.split(","):
        rows = read_jsonl(Path(arguments.dir) / f"{workload}.requests.jsonl")
        requests = [request_of(row) for row in rows]
        for variant in variants:
            wall, cpu = time.perf_counter(), time.process_time()
            answers = {a.request_id: a for a in backend.answer(variant, requests)}
            if is_cuda:
                torch.cuda.synchronize()
            figures["wall_s"] += time.perf_counter() - wall
            figures["cpu_s"] += time.process_time() - cpu
            drawn = (c.n_tokens for a in answers.values() for c in a.completions)
            figures["drawn"] += sum(drawn)
            for name, number in needed_work(backend, variant, requests).items():
                figures[name] += number
            out = Path(arguments.dir) / "ours" / f"{workload}.{arguments.size}.{variant.name}.jsonl"
            out.parent.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps(answer_of(row, answers[row["id"]])) for row in rows)
            out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures |= {
        "tokens": counts["tokens"],
        "load_s": load_s,
        "load_cpu_s": load_cpu_s,
        "peak_rss_mb": peak,
    }
    if is_cuda:
        figures["peak_device_mb"] = torch.cuda.max_memory_allocated() / 2**20
    figures["path"] = facts[variants[0].name].settings["scoring"]
    print(json.dumps(figures))


def limit_s(rates: dict[str, Any], ours: dict[str, Any]) -> float:
    """Seconds that the needed work takes at the best raw rates."""
    return float(
        ours["unique"] / rates["body"]
        + ours["rows"] / rates["head"]
        + ours["drawn"] / rates["step"]
    )


# --------------------------------------------------------------------------------- side by side


def run(
    command: list[str], *, has_figures: bool = True, home: Path | None = None
) -> tuple[dict[str, Any], dict[str, float]]:
    """Run a command that prints a JSON line last; the line, and seconds of the whole process.

    ``home``: where hashes of weights are remembered.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    if home is not None:
        environment["TUNEVAL_HOME"] = str(home)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = {
        "wall": time.perf_counter() - started,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return (json.loads(done.stdout.strip().splitlines()[-1]) if has_figures else {}), seconds


def peer_command(arguments: argparse.Namespace, workload: str, variants: str) -> list[str]:
    """The peer on one workload, at its best batch size."""
    if arguments.size == half_billion.SIZE:
        what = ["--models", str(Path(arguments.dir) / arguments.size), "--size", "small"]
        what += ["--requests", str(Path(arguments.dir) / f"{workload}.requests.jsonl")]
    else:
        what = ["--size", arguments.size, "--workload", workload]
    batch_size = arguments.batch_size or (WORKLOADS | HALF_BILLION)[workload]
    return [
        *(arguments.peer_python, arguments.peer_script, "run", "--dir", arguments.dir),
        *(*what, "--variants", variants, "--batch-size", str(batch_size)),
        *("--threads", str(arguments.threads), "--dtype", arguments.dtype),
        *("--device", arguments.device, "--scale", str(arguments.scale)),
    ]


def request_commands(arguments: argparse.Namespace, workload: str) -> list[list[str]]:
    """What writes models and requests without the peer itself."""
    if arguments.size == half_billion.SIZE:
        return []
    script = [sys.executable, arguments.peer_script]
    common = ["--dir", arguments.dir]
    return [
        [*script, "build", *common, "--size", arguments.size],
        [*script, "requests", *common, "--workload", workload, "--scale", str(arguments.scale)],
    ]


def our_command(
    arguments: argparse.Namespace, workloads: str, variants: str, mode: str = "--ours"
) -> list[str]:
    """This script on the same requests, or on raw forwards of the same model."""
    return [
        *(sys.executable, __file__, mode, "--dir", arguments.dir, "--size", arguments.size),
        *("--workloads", workloads, "--variants", variants, "--threads", str(arguments.threads)),
        *("--dtype", arguments.dtype, "--device", arguments.device),
    ]


def parity(arguments: argparse.Namespace, workload: str, variant: str) -> str:
    """How far our answers are from the peer's."""
    name = f"{workload}.{arguments.size}.{variant}.jsonl"
    ours = {row["id"]: row for row in read_jsonl(Path(arguments.dir) / "ours" / name)}
    peer_size = "small" if arguments.size == half_billion.SIZE else arguments.size
    theirs = read_jsonl(Path(arguments.dir) / "out" / f"{workload}.{peer_size}.{variant}.jsonl")
    if workload == "code":
        return "sampled"
    if "text" in theirs[0]:
        same = sum(row["text"] == ours[row["id"]]["text"] for row in theirs)
        return f"{same}/{len(theirs)} same text"
    worst = max(abs(row["loglikelihood"] - ours[row["id"]]["loglikelihood"]) for row in theirs)
    flips = sum(row.get("is_greedy") != ours[row["id"]].get("is_greedy") for row in theirs)
    return f"{worst:.0e}, {flips} flips"


def compare(arguments: argparse.Namespace) -> None:
    """Run both in turn on each workload and print the table, and the figures of every round."""
    clock = "wall_s" if arguments.device.startswith("cuda") else "cpu_s"
    # No hash of a file is remembered at first, so that the first load is one.
    home = Path(arguments.dir) / f"home-{os.getpid()}"
    if arguments.size == half_billion.SIZE:
        data = Path(arguments.shared) / "data"
        half_billion.write(Path(arguments.dir), data, Path(arguments.peer_script))
    rounds: dict[str, list[Round]] = {}
    rates: dict[str, Any] = {}
    for workload in arguments.workloads.split(","):
        if arguments.without_peer:
            for command in request_commands(arguments, workload):
                run(command, has_figures=False)
        for _ in range(arguments.rounds):
            if arguments.size != half_billion.SIZE:  # a machine is not equally fast all day
                rates = {}
            latest = round_of(arguments, workload, clock, rates, home)
            rounds.setdefault(workload, []).append(latest)
            print(f"{workload}: {latest}", file=sys.stderr, flush=True)
            rates = latest.rates
    word = "wall" if clock == "wall_s" else "cpu"
    print(
        f"| workload | peer {word} s | tuneval {word} s | ratio | limit s | to the limit "
        "| pushed / unique | peak MB (peer) | parity |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for workload, done in rounds.items():
        print(row_of(arguments, workload, done))
    if arguments.size == half_billion.SIZE:
        print(load_row(arguments, [[one.ours for one in done] for done in rounds.values()], clock))
    for workload, done in rounds.items():
        for number, one in enumerate(done, 1):
            print(f"\n{workload}, round {number}: {one}", end="")
    print()
    if arguments.whole:
        whole(arguments)


def whole_alone(arguments: argparse.Namespace) -> None:
    """Whole processes without the table before them."""
    if arguments.size == half_billion.SIZE:
        data = Path(arguments.shared) / "data"
        half_billion.write(Path(arguments.dir), data, Path(arguments.peer_script))
    whole(arguments)


@dataclass(frozen=True, slots=True)
class Round:
    """The peer, tuneval and raw forwards, one right after the other; ``peer`` is empty without one."""

    clock: str
    peer: dict[str, Any]
    ours: dict[str, Any]
    rates: dict[str, Any]

    @property
    def limit_s(self) -> float:
        """Seconds that the needed work takes at the raw rates of this round."""
        return limit_s(self.rates, self.ours)

    def __str__(self) -> str:
        against = f"peer {self.peer[self.clock]:.2f} s, " if self.peer else ""
        raw = ", ".join(
            f"{kind} {self.rates[kind]:,.0f} {unit} ({self.rates['at'][kind]})"
            for kind, unit in raw_rates.UNITS.items()
            if self.rates[kind]
        )
        return f"{against}tuneval {self.ours[self.clock]:.2f} s; {raw}"


def round_of(
    arguments: argparse.Namespace,
    workload: str,
    clock: str,
    rates: dict[str, Any],
    home: Path,
) -> Round:
    """Measure one round; raw forwards where no rates are given (large models take long for them)."""
    with busy.neighbours(arguments.neighbours):
        theirs = {}
        if not arguments.without_peer:
            theirs = run(peer_command(arguments, workload, "base"))[0]
        ours = run(our_command(arguments, workload, "base"), home=home)[0]
        if not rates:
            rates = run(our_command(arguments, workload, "base", "--limits"))[0]
    return Round(clock, theirs, ours, rates)


def spread(numbers: Iterable[float], digits: int) -> str:
    """The median, and the lowest and highest where there are several."""
    listed = list(numbers)
    middle, *ends = (f"{x:.{digits}f}" for x in (median(listed), min(listed), max(listed)))
    return middle if len(listed) == 1 else f"{middle} ({' to '.join(ends)})"


def row_of(arguments: argparse.Namespace, workload: str, rounds: list[Round]) -> str:
    """One row of the table."""
    clock, last = rounds[0].clock, rounds[-1]
    peer_s = ratio = agreed = pushed = "-"
    peak = f"{last.ours['peak_rss_mb']:.0f}"
    if "peak_device_mb" in last.ours:
        peak += f", device {last.ours['peak_device_mb']:.0f}"
    if last.peer:
        peer_s = spread((one.peer[clock] for one in rounds), 1)
        ratio = spread((one.peer[clock] / one.ours[clock] for one in rounds), 1)
        peak += f" ({last.peer['peak_rss_mb']:.0f})"
        agreed = parity(arguments, workload, "base")
    if workload in SCORING:
        unique = (last.peer or {"unique_trie_tokens": last.ours["unique"]})["unique_trie_tokens"]
        pushed = f"{last.ours['tokens'] / unique:.4f}"
    seconds = spread((one.ours[clock] for one in rounds), 2)
    limit = spread((one.limit_s for one in rounds), 2)
    share = spread((one.ours[clock] / one.limit_s for one in rounds), 1)
    return (
        f"| {workload} | {peer_s} | {seconds} | {ratio} | {limit} | {share} "
        f"| {pushed} | {peak} | {agreed} |"
    )


def load_row(arguments: argparse.Namespace, mine: list[list[dict[str, Any]]], clock: str) -> str:
    """The row of imports, loading and proofs: all that a process does before its first request."""
    ours = [run["load_cpu_s" if clock == "cpu_s" else "load_s"] for runs in mine for run in runs]
    cells = f"| load (first; later) | {{}} | {ours[0]:.2f}; {median(ours[1:] or ours):.2f} | {{}} |"
    if arguments.without_peer:
        return cells.format("-", "-") + " | | | | |"
    base = str(Path(arguments.dir) / arguments.size / "base")
    command = [arguments.peer_python, "-c", PEER_LOADS, base, arguments.device, arguments.dtype]
    theirs = median(run(command)[0][clock] for _ in range(3))
    shares = f"1/{ours[0] / theirs:.2f}; 1/{median(ours[1:] or ours) / theirs:.2f}"
    return cells.format(f"{theirs:.2f}", shares) + " | | | | |"


def whole(arguments: argparse.Namespace) -> None:
    """Whole processes with all variants, by the clock."""
    names = "base,lora,full"
    peers = [
        run(peer_command(arguments, workload, names)) for workload in arguments.workloads.split(",")
    ]
    found, ours = run(our_command(arguments, arguments.workloads, names))
    for word in ("wall", "cpu"):
        theirs = sum(seconds[word] for _, seconds in peers)
        print(
            f"\nwhole processes, {names}: peer {theirs:.0f} s, tuneval {ours[word]:.0f} s {word}, "
            f"ratio {theirs / ours[word]:.1f}",
            end="",
        )
    peaks = max(figures["peak_rss_mb"] for figures, _ in peers)
    print(f"\npeak MB: {found['peak_rss_mb']:.0f} (peer {peaks:.0f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ours", action="store_true", help="one run of tuneval (used by itself)")
    parser.add_argument("--limits", action="store_true", help="raw forwards (used by itself)")
    parser.add_argument("--without-peer", action="store_true", help="tuneval and the limit alone")
    parser.add_argument("--dir", default="bench-work", help="where models, requests, answers go")
    parser.add_argument("--peer-script", default="../shared/bench/peer_lm_eval.py")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="a Python with lm_eval 0.4.13"
    )
    parser.add_argument(
        "--size", default="tiny", choices=["tiny", "small", "large", half_billion.SIZE]
    )
    parser.add_argument("--workloads", help="default: all of the size")
    parser.add_argument("--shared", default="../shared", help="folder with data/ (half-billion)")
    parser.add_argument("--variants", default="base")
    parser.add_argument("--rounds", type=int, default=1, help="pairs of runs per workload")
    parser.add_argument(
        "--neighbours", type=int, default=0, help="processes that load caches and memory meanwhile"
    )
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=0, help="the peer's; 0: its best on CPU")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", help="default: auto for half-billion, else float32")
    parser.add_argument("--whole", action="store_true", help="all variants, whole processes, too")
    parser.add_argument("--whole-alone", action="store_true", help="and nothing else")
    arguments = parser.parse_args()
    is_real = arguments.size == half_billion.SIZE
    arguments.workloads = arguments.workloads or ",".join(HALF_BILLION if is_real else WORKLOADS)
    arguments.dtype = arguments.dtype or ("auto" if is_real else "float32")
    if arguments.ours:
        run_ours(arguments)
    elif arguments.limits:
        print(json.dumps(raw_rates.measure(*our_backend(arguments), arguments.device)))
    elif arguments.whole_alone:
        whole_alone(arguments)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
