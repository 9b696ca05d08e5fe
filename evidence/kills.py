"""Kill runs at random moments, let them end, and hold each result against that of an unbroken run.

    python evidence/kills.py [--compare 100] [--score 20] [--judged 20] [--server 20] [--seed 0]

Models are the random ones of tests/tiny_models.py, the server is that of tests/engine/fake_server.py
in a process of its own. This process imports torch; each run is a fork of it with a TUNEVAL_HOME
that it shares with its second half alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
os.environ["OMP_NUM_THREADS"] = "1"

LABELS = ("positive", "negative", "neutral")
OF_THE_CLOCK = {"created", "seconds", "cpu_seconds", "wall_seconds"}
SECONDS_PER_ANSWER = 0.1


@dataclass(frozen=True)
class Trial:
    """What one killed and resumed run came to."""

    moment: float
    is_equal: bool
    n_stored_at_kill: int
    n_asked_twice: int
    n_left_behind: int


@dataclass(frozen=True)
class Kind:
    """A sort of run, and its words."""

    name: str
    words: Sequence[str]


# ---- the files and the server ----------------------------------------------------------------------


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_files(folder: Path) -> None:
    """Models, cases, problems and samples."""
    from tiny_models import build_adapter, build_model

    base = build_model(folder / "base")
    build_adapter(folder / "lora", base, seed=1)
    build_model(folder / "full", seed=5)
    labelled = [
        {"text": f"The {'brown fox' if n % 2 else 'lazy dog'} number {n}", "label": LABELS[n % 3]}
        for n in range(60)
    ]
    write_rows(folder / "labels.jsonl", labelled)
    asked = [{"instruction": f"Say {n}.", "output": f"the number {n}"} for n in range(60)]
    write_rows(folder / "texts.jsonl", asked)
    problems = [
        {
            "task_id": f"T/{n}",
            "prompt": f"def add(a):\n    # plus {n}\n",
            "entry_point": "add",
            "test": f"def check(candidate):\n    assert candidate(1) == {n + 1}\n",
        }
        for n in range(20)
    ]
    write_rows(folder / "problems.jsonl", problems)
    for system, wrong in (("one", 3), ("two", 4)):
        samples = [
            {"task_id": f"T/{n}", "completion": f"    return a + {n if n % wrong else 0}\n"}
            for n in range(20)
        ]
        write_rows(folder / f"{system}.jsonl", samples)


def speak(asked: dict[str, Any]) -> str:
    """Answer a question as a model; as a judge, prefer what is longer."""
    if asked["model"] != "judge":
        return {"base": "PLAIN", "lora": "GOOD answer"}[asked["model"]]
    prompt = asked["messages"][-1]["content"]
    if "<answer A>" not in prompt:
        return "A"
    first, second = prompt.split("<answer A>\n")[1].split("<answer B>\n")
    return "A" if len(first) >= len(second) else "B"


def serve() -> int:
    """Serve until killed; print the address."""
    from engine.fake_server import serving

    def content(asked: dict[str, Any]) -> str:
        time.sleep(SECONDS_PER_ANSWER)
        return speak(asked)

    with serving(models=("base", "lora", "judge"), content=content) as fake:
        print(fake.url, flush=True)
        while True:
            time.sleep(1)
            fake.seen.clear()
            fake.headers.clear()


@contextmanager
def server() -> Iterator[str]:
    """Run ``serve`` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def kinds(folder: Path, url: str) -> dict[str, Kind]:
    """The four sorts of run."""
    quick = ("--resamples", "200", "--output-dir", "runs", "--quiet")
    models = (
        str(folder / "base"),
        "--adapter",
        str(folder / "lora"),
        "--full",
        str(folder / "full"),
    )
    served = ("base", "--adapter", "lora", "--base-url", url, "--data", str(folder / "texts.jsonl"))
    every = (
        Kind("compare", ("compare", *models, "--data", str(folder / "labels.jsonl"), *quick)),
        Kind(
            "score",
            (
                "score", "--task", "code", "--problems", str(folder / "problems.jsonl"),
                "--samples", f"one={folder / 'one.jsonl'}",
                "--samples", f"two={folder / 'two.jsonl'}", "--output-dir", "runs", "--quiet",
            ),
        ),
        Kind(
            "judged",
            ("compare", *served, "--judge", "openai:judge", "--judge-url", url, *quick),
        ),
        Kind("server", ("compare", *served, *quick)),
    )  # fmt: skip
    return {kind.name: kind for kind in every}


# ---- one run and one trial -------------------------------------------------------------------------


def start(words: Sequence[str], home: Path) -> int:
    """Fork a run in a process group of its own; return its id."""
    home.mkdir(exist_ok=True)
    pid = os.fork()
    if pid:
        return pid
    from tuneval.cli.main import exit_code

    os.setsid()
    os.chdir(home)
    os.environ["TUNEVAL_HOME"] = str(home / "home")
    out = os.open(home / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    code = 3
    try:
        code = exit_code(words)
        sys.stdout.flush()
    finally:
        os._exit(code)


def end(pid: int) -> int:
    """Wait for a run; its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def without_clock(value: Any) -> Any:
    """Drop what tells of this call alone: how long things took, how often the judge was called."""
    if isinstance(value, dict):
        if (value.get("kind"), value.get("subject")) == ("judge", "effort"):
            return None
        return {key: without_clock(one) for key, one in value.items() if key not in OF_THE_CLOCK}
    return [without_clock(one) for one in value] if isinstance(value, list) else value


def result_of(home: Path) -> dict[str, Any]:
    """All result files of the run with its own place cut out, and the names of all that it left."""
    (folder,) = (home / "runs").iterdir()
    found: dict[str, Any] = {"files": sorted(path.name for path in folder.iterdir())}
    for name in ("result.json", "predictions.jsonl", "outcomes.jsonl", "cases.jsonl"):
        if (folder / name).exists():
            text = (folder / name).read_text(encoding="utf-8").replace(str(home), "HOME")
            lines = [text] if name.endswith(".json") else text.splitlines()
            found[name] = [without_clock(json.loads(line)) for line in lines]
    return found


def keys_stored(home: Path) -> Counter[str]:
    """Keys of all answers and outcomes on disk: one that stands twice was asked twice."""
    keys: Counter[str] = Counter()
    for path in (home / "home").glob("**/*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                keys[f"{path.parent.name} {json.loads(line.partition(b' ')[2])['key']}"] += 1
    return keys


def killed(words: Sequence[str], home: Path, seconds: float) -> bool:
    """Start a run and kill its whole group after so long; False if it was done before."""
    pid = start(words, home)
    time.sleep(seconds)
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)  # before it has made a group of its own, or a zombie
    return end(pid) == -signal.SIGKILL


def attempt(kind: Kind, home: Path, seconds: float, whole: dict[str, Any]) -> Trial | None:
    """Kill, resume, compare; None if the run was done before it could be killed."""
    if not killed(kind.words, home, seconds):
        return None
    stored = keys_stored(home)
    code = end(start(kind.words, home))
    if code != 0:
        raise SystemExit(f"{kind.name}, killed after {seconds:.3f} s: exit {code}, see {home}/said")
    keys = keys_stored(home)
    found = result_of(home)
    left = [path for path in home.glob("**/*") if ".part" in path.name or ".probe-" in path.name]
    is_equal = found == whole
    if not is_equal:
        print(f"{kind.name}, killed after {seconds:.3f} s: another result, see {home}")
    return Trial(seconds, is_equal, stored.total(), keys.total() - len(keys), len(left))


def measure(kind: Kind, n: int, folder: Path, draw: random.Random) -> list[Trial]:
    """Kill ``n`` runs at moments drawn evenly from the length of an unbroken one."""
    started = time.monotonic()
    home = folder / f"{kind.name}-whole"
    if code := end(start(kind.words, home)):
        raise SystemExit(f"{kind.name}: exit {code}\n{(home / 'said').read_text()}")
    longest = time.monotonic() - started
    whole = result_of(home)
    trials: list[Trial] = []
    number = 0
    while len(trials) < n:
        number += 1
        home = folder / f"{kind.name}-{number}"
        trial = attempt(kind, home, draw.uniform(0, longest), whole)
        if trial is not None:
            trials.append(trial)
    return trials


def main() -> int:
    """Print the table of docs/faults.md."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    for name, n in (("compare", 100), ("score", 20), ("judged", 20), ("server", 20), ("seed", 0)):
        words.add_argument(f"--{name}", type=int, default=n)
    given = words.parse_args()
    if given.serve:
        return serve()
    folder = Path(tempfile.mkdtemp(prefix="tuneval-kills-"))
    draw = random.Random(given.seed)
    with server() as url:  # before torch: a fork of threads would hang
        import torch

        torch.set_num_threads(1)
        from tuneval.engine import openai_server  # noqa: F401 - imported before the fork
        from tuneval.engine.hf import backend  # noqa: F401
        from tuneval.pipeline import run, score_code  # noqa: F401

        make_files(folder)
        print(
            "| run | kills | killed after (s) | answers stored then | results equal bit for bit | "
            "stored and asked again | half-written files left |\n|---|---:|---|---|---:|---:|---:|"
        )
        failed = 0
        for kind in kinds(folder, url).values():
            n = getattr(given, kind.name)
            if n:
                failed += show(kind.name, measure(kind, n, folder, draw))
    if not failed:
        shutil.rmtree(folder)
    return failed > 0


def show(name: str, trials: Sequence[Trial]) -> int:
    """Print a row; return how many trials broke a promise."""
    moments = [one.moment for one in trials]
    stored = [one.n_stored_at_kill for one in trials]
    n_equal = sum(one.is_equal for one in trials)
    twice, left = sum(one.n_asked_twice for one in trials), sum(one.n_left_behind for one in trials)
    print(
        f"| {name} | {len(trials)} | {min(moments):.2f} to {max(moments):.2f} | {min(stored)} to "
        f"{max(stored)} | {n_equal} | {twice} | {left} |",
        flush=True,
    )
    return sum(not one.is_equal or one.n_asked_twice > 0 for one in trials)


if __name__ == "__main__":
    sys.exit(main())
