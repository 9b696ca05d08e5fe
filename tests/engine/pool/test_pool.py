"""A pool of worker processes: the same bits whoever works, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.pool.scripts import script
from engine.test_common import requests as mixed
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.engine.pool.backend import Inner, PoolBackend
from tuneval.engine.pool.local import places, pool
from tuneval.engine.pool.member import Seat
from tuneval.engine.pool.process import Processes, seats
from tuneval.engine.scripted import ScriptedBackend
from tuneval.errors import BackendError, BackendUnavailable, ConfigError, VariantError
from tuneval.types import Decoding, Request, Response, Variant

BASE = Variant("base", "base", "small")
LORA = Variant("lora", "adapter", "small", adapter="out")
N = 60
REQUESTS = [
    *(Request(f"q{n}", str(n), f"question {n}", continuation=" yes") for n in range(N)),
    *(Request(f"d{n}", str(n), f"write {n}", decoding=Decoding(max_tokens=4)) for n in range(6)),
]
TESTS = Path(__file__).parents[2]


@contextmanager
def working(
    n: int, *, silent_seconds: float = 30.0, allow: bool = False, **options: Any
) -> Iterator[PoolBackend]:
    """A pool of scripted workers."""
    backend = PoolBackend(
        Inner("engine.pool.scripts:Faulty", options),
        Processes(seats(n)),
        lambda: ScriptedBackend(script),
        silent_seconds=silent_seconds,
        allow_unlike_cards=allow,
    )
    try:
        yield backend
    finally:
        pids = backend.pids
        backend.close()
        assert not [pid for pid in pids if is_there(pid)], "no worker is left behind"


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answers(
    backend: PoolBackend, variant: Variant = BASE, known: Any = frozenset()
) -> dict[str, Response]:
    found = {}
    for one in backend.answer(variant, REQUESTS, known):
        assert one.request_id not in found
        found[one.request_id] = replace(one, seconds=0.0)
    return found


def expected(variant: Variant = BASE) -> dict[str, Response]:
    alone = ScriptedBackend(script)
    return {one.request_id: one for one in alone.answer(variant, REQUESTS)}


@pytest.mark.parametrize("n", [1, 2, 4])
def test_every_number_of_workers_gives_the_same(n: int) -> None:
    with working(n) as backend:
        facts = backend.prepare([BASE, LORA])
        assert (
            facts["lora"].fingerprint
            == ScriptedBackend(script).fingerprint(LORA)
            == backend.fingerprint(LORA)
        )
        assert answers(backend) == expected()
        assert answers(backend, LORA) == expected(LORA)


def test_what_is_known_is_not_asked_again(tmp_path: Path) -> None:
    known = frozenset(f"q{n}" for n in range(0, N, 2))
    with working(2) as backend:
        found = answers(backend, known=known)
    assert found == {key: one for key, one in expected().items() if key not in known}


def test_prompts_are_shown_without_a_worker() -> None:
    with working(2) as backend:
        assert backend.shown(BASE, REQUESTS[:2])[0].text == "question 0"
        assert backend.pids == []


# ---- faults -----------------------------------------------------------------------------------------


@pytest.mark.fault
@pytest.mark.parametrize(("fault", "n"), [("kill", 1), ("kill", 3), ("stop", 3), ("memory", 1)])
def test_a_worker_that_is_lost_loses_nothing(fault: str, n: int, tmp_path: Path) -> None:
    plan = dict.fromkeys(("q3", "q31", "d2"), fault)
    with working(n, plan=plan, once=str(tmp_path), room=0, silent_seconds=1.5) as backend:
        assert answers(backend) == expected()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d2", "q3", "q31"], (
        "all three struck"
    )


@pytest.mark.fault
def test_a_worker_that_is_killed_from_outside_loses_nothing() -> None:
    with working(2, seconds=0.01) as backend:
        backend.prepare([BASE])
        found: dict[str, Response] = {}
        for number, one in enumerate(backend.answer(BASE, REQUESTS)):
            found[one.request_id] = replace(one, seconds=0.0)
            if number in (5, 25):
                os.kill(backend.pids[0], signal.SIGKILL)
        assert found == expected()


@pytest.mark.fault
@pytest.mark.parametrize("poison", [("q7",), ("q7", "q8", "d0")], ids=["one", "three"])
def test_a_request_that_ends_its_workers_becomes_a_problem(poison: tuple[str, ...]) -> None:
    with working(2, plan=dict.fromkeys(poison, "kill")) as backend:
        found = answers(backend)
    whole = expected()
    assert found.keys() == whole.keys()
    for name, one in found.items():
        if name in poison:
            assert one.problem is not None
            assert "it ended every worker that was asked it (killed by signal 9" in one.problem
        else:
            assert one == whole[name]


@pytest.mark.fault
def test_too_much_at_a_time_is_asked_in_parts(tmp_path: Path) -> None:
    requests = [Request(f"q{n}", "c", "one prompt", continuation=f" {n}") for n in range(8)]
    with working(1, plan={"q0": "memory"}, room=3, log=str(tmp_path / "log")) as backend:
        found = {one.request_id: one for one in backend.answer(BASE, requests)}
    assert len(found) == 8
    assert all(one.problem is None for one in found.values())
    sizes = [int(line.split()[2]) for line in (tmp_path / "log").read_text().splitlines()]
    assert sizes[:3] == [8, 8, 8], "three workers are tried before it is cut"
    assert sizes[3:] == [4, 2, 2, 4]


@pytest.mark.fault
def test_a_pool_goes_on_after_its_driver_was_killed(tmp_path: Path) -> None:
    """The workers end with it; what was stored is not asked again."""
    code = (
        "import sys; from pathlib import Path\n"
        "from engine.pool.test_pool import BASE, REQUESTS, working\n"
        "from tuneval.engine.answer import answer\n"
        "from tuneval.engine.journal import Journal\n"
        "with working(2, seconds=0.05) as backend:\n"
        "    backend.prepare([BASE]); Path(sys.argv[2]).write_text(repr(backend.pids))\n"
        "    answer(backend, BASE, REQUESTS, Journal(sys.argv[1]))\n"
    )
    source = Path(sys.modules["tuneval"].__path__[0]).parent
    driver = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "answers"), str(tmp_path / "pids")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(TESTS)])},
    )
    until(lambda: len(stored(tmp_path)) >= 5)
    driver.kill()
    driver.wait()
    pids = eval((tmp_path / "pids").read_text())  # noqa: S307 - our own list
    until(lambda: not any(map(is_there, pids)))
    n_before = len(stored(tmp_path))
    assert n_before < len(REQUESTS)
    with working(1, log=str(tmp_path / "log")) as backend, Journal(tmp_path / "answers") as journal:
        found = answer(backend, BASE, REQUESTS, journal)
        assert journal.n_reused >= n_before - 1
    assert {key: replace(one, seconds=0.0) for key, one in found.items()} == expected()


def stored(folder: Path) -> list[str]:
    shards = (folder / "answers").glob("*/*.jsonl")
    return [line for path in shards for line in path.read_text().splitlines()]


def until(is_so: Any) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it never was")


@pytest.mark.fault
def test_workers_that_find_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEVAL_TEST_UNLIKE", "pid")
    with working(2) as backend, pytest.raises(BackendError, match="two workers found different"):
        backend.prepare([BASE])


@pytest.mark.fault
@pytest.mark.parametrize("is_allowed", [False, True])
def test_unlike_cards_are_refused_unless_allowed(is_allowed: bool) -> None:
    with working(2, allow=is_allowed) as backend:
        backend.prepare([BASE])
        first = next(iter(backend._members.values()))
        if is_allowed:
            backend._take_card(first, "a card")
            assert answers(backend) == expected()
            return
        with pytest.raises(BackendUnavailable, match="unlike \\(a card, cpu\\)") as caught:
            backend._take_card(first, "a card")
    assert "backend.allow_unlike_cards" in str(caught.value)


@pytest.mark.fault
def test_a_bug_in_a_worker_is_told_with_its_place() -> None:
    with (
        working(2, plan={"q3": "bug"}) as backend,
        pytest.raises(RuntimeError, match="a bug of ours"),
    ):
        answers(backend)


@pytest.mark.fault
def test_workers_that_do_not_start_end_the_run() -> None:
    backend = PoolBackend(
        Inner("engine.pool.nowhere:Nothing", {}), Processes(seats(1)), ScriptedBackend
    )
    with pytest.raises(RuntimeError, match="No module named"):
        backend.prepare([BASE])
    backend.close()


@pytest.mark.fault
def test_workers_that_die_before_they_can_answer_end_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tuneval.engine.pool import process

    monkeypatch.setattr(process, "MODULE", "engine.pool.no_such_worker")
    backend = PoolBackend(Inner("x:y", {}), Processes(seats(2)), ScriptedBackend)
    with pytest.raises(BackendUnavailable, match="3 workers ended before they could answer") as one:
        backend.prepare([BASE])
    assert "No module named engine.pool.no_such_worker" in str(one.value)
    backend.close()


def test_stopping_early_leaves_no_worker_at_work() -> None:
    with working(2, seconds=0.01) as backend:
        steps = backend.answer(BASE, REQUESTS)
        next(steps)
        steps.close()  # type: ignore[attr-defined]
        assert backend.pids == []
        assert answers(backend) == expected()


# ---- places -----------------------------------------------------------------------------------------


def test_places_are_cards_or_cores() -> None:
    assert seats(2, cards=["3", "5"]) == [Seat(0, card="3"), Seat(1, card="5")]
    assert seats(2, cores=[0, 1, 2, 3], threads=2)[1] == Seat(1, cores=(2, 3), threads=2)
    assert seats(3, cores=[0, 1])[2] == Seat(2), "too few cores: none of their own"
    assert Seat(0, card="3").environment() == {"CUDA_VISIBLE_DEVICES": "3"}
    assert Seat(0, threads=2).environment()["OMP_NUM_THREADS"] == "2"
    with pytest.raises(ConfigError, match="--workers 3: there are 2 cards to sit on"):
        places(3, cards=["0", "1"], cores=[], threads=1)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("openai", {}, 'backend "openai" has no workers'),
        ("hf", {"device": "cuda:1"}, "workers have a card each"),
    ],
)
def test_pools_that_cannot_be(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pool(kind, options, workers=2)


# ---- real models ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.fault
def test_real_models_give_the_same_bits_for_any_number_of_workers_and_after_a_death(
    tmp_path: Path,
) -> None:
    from tiny_models import build_adapter, build_model

    base = build_model(tmp_path / "base", chat=True)
    adapter = build_adapter(tmp_path / "lora", base)
    variants = [
        Variant("base", "base", str(base)),
        Variant("lora", "adapter", str(base), adapter=str(adapter)),
        Variant("full", "full", str(build_model(tmp_path / "full", chat=True, seed=5))),
    ]
    asked = [
        *mixed(),
        *(replace(one, id=f"{one.id}-{n}", prompt=f"The lazy dog number {n} jumps over")
          for n in range(30) for one in mixed() if isinstance(one.prompt, str) and one.id != "text"),
    ]  # fmt: skip
    options = {"device": "cpu", "offline": True}

    def run(n: int, kill_at: int | None = None) -> dict[tuple[str, str], Response]:
        backend = pool("hf", options, workers=n)
        found = {}
        try:
            backend.prepare(variants)
            for variant in variants:
                for number, one in enumerate(backend.answer(variant, asked)):
                    found[variant.name, one.request_id] = replace(one, seconds=0.0)
                    if number == kill_at:
                        os.kill(backend.pids[0], signal.SIGKILL)
        finally:
            backend.close()
        return found

    one = run(1)
    assert all(response.problem is None for response in one.values())
    assert run(2) == one
    assert run(4) == one
    assert run(2, kill_at=20) == one


@pytest.mark.slow
def test_a_variant_that_is_none_is_told_as_without_a_pool(tmp_path: Path) -> None:
    backend = pool("hf", {"device": "cpu", "offline": True}, workers=1)
    with pytest.raises(VariantError, match="nowhere"):
        backend.prepare([Variant("base", "base", str(tmp_path / "nowhere"))])
    backend.close()
