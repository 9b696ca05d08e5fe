"""The pool over a real Ray cluster: two nodes of this machine, each with resources of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from engine.pool.scripts import script
from engine.pool.test_pool import (
    BASE,
    LORA,
    REQUESTS,
    TESTS,
    answers,
    expected,
    is_there,
    stored,
    until,
)
from engine.test_common import requests as mixed
from tuneval.engine.pool import cluster as cluster_room
from tuneval.engine.pool import local
from tuneval.engine.pool.backend import Inner, PoolBackend
from tuneval.engine.pool.cluster import Cluster, knock
from tuneval.engine.scripted import ScriptedBackend
from tuneval.errors import BackendUnavailable, VariantError
from tuneval.types import Response, Variant

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'tuneval[ray]')")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fault,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
SOURCE = Path(sys.modules["tuneval"].__path__[0]).parent
PATHS = os.pathsep.join([str(SOURCE), str(TESTS)])


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Two raylets with two cores each."""
    from ray.cluster_utils import Cluster as Raylets

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        head = {"num_cpus": 2, "include_dashboard": False}
        raylets = Raylets(initialize_head=True, head_node_args=head)
        try:
            raylets.add_node(num_cpus=2)
            raylets.wait_for_nodes()
            yield raylets
        finally:
            raylets.shutdown()


@contextmanager
def working(
    nodes: Any,
    n: int,
    *,
    cpus: float = 1.0,
    gpus: float | None = None,
    start_seconds: float = 30.0,
    silent_seconds: float = 30.0,
    **options: Any,
) -> Iterator[PoolBackend]:
    """A pool of scripted workers on the cluster."""
    backend = PoolBackend(
        Inner("engine.pool.scripts:Faulty", options),
        Cluster(nodes.address, workers=n, cpus=cpus, gpus=gpus, start_seconds=start_seconds),
        lambda: ScriptedBackend(script),
        silent_seconds=silent_seconds,
    )
    pids: list[int] = []
    try:
        yield backend
    finally:
        pids = backend.pids
        backend.close()
        until(lambda: not any(map(is_there, pids)))  # no actor is left behind


def places(backend: PoolBackend) -> set[str]:
    return {one.place for one in backend._members.values() if one.has_come}


def answer_until(backend: PoolBackend, is_so: Callable[[], object]) -> None:
    """A pool hears of its workers while it answers; each time it has to answer alike."""
    for _ in range(60):
        if is_so():
            return
        assert answers(backend, LORA) == expected(LORA)
    raise AssertionError("it never was")


def ask(
    backend: PoolBackend, acts: dict[int, Callable[[], object]], variant: Variant = BASE
) -> dict[str, Response]:
    """Answers; ``acts`` are done after so many of them."""
    found = {}
    for number, one in enumerate(backend.answer(variant, REQUESTS)):
        found[one.request_id] = replace(one, seconds=0.0)
        acts.get(number, lambda: None)()
    return found


@pytest.mark.parametrize("n", [1, 2, 4])
def test_every_number_of_workers_on_two_nodes_gives_the_same(nodes: Any, n: int) -> None:
    with working(nodes, n) as backend:
        backend.prepare([BASE, LORA])
        assert len(places(backend)) == min(n, 2), "spread over the nodes"
        assert answers(backend) == expected()
        assert answers(backend, LORA) == expected(LORA)
        niceness = [os.getpriority(os.PRIO_PROCESS, pid) for pid in backend.pids]
        assert niceness == [os.nice(0)] * n, "not behind everything else on the node"
        assert backend.notes == ()


def test_a_worker_that_is_killed_loses_nothing(nodes: Any) -> None:
    with working(nodes, 2, seconds=0.01) as backend:
        kill = lambda: os.kill(backend.pids[0], signal.SIGKILL)  # noqa: E731
        assert ask(backend, {5: kill, 25: kill}) == expected()


def test_a_worker_that_is_stopped_is_ended_and_loses_nothing(nodes: Any) -> None:
    with working(nodes, 2, seconds=0.01, silent_seconds=2.0) as backend:
        backend.prepare([BASE])
        pid = backend.pids[0]
        assert ask(backend, {5: lambda: os.kill(pid, signal.SIGSTOP)}) == expected()
        until(lambda: not is_there(pid))


def test_a_request_that_ends_its_workers_becomes_a_problem(nodes: Any) -> None:
    with working(nodes, 2, plan={"q7": "kill"}) as backend:
        found = answers(backend)
    assert "it ended every worker that was asked it" in str(found.pop("q7").problem)
    assert found == {name: one for name, one in expected().items() if name != "q7"}


def test_a_worker_out_of_memory_is_replaced(nodes: Any, tmp_path: Path) -> None:
    plan = dict.fromkeys(("q3", "d2"), "memory")
    with working(nodes, 1, plan=plan, once=str(tmp_path), room=0) as backend:
        assert answers(backend) == expected()
    assert len(list(tmp_path.iterdir())) == 2, "both struck"


def test_a_node_that_is_removed_loses_nothing_and_its_workers_move(nodes: Any) -> None:
    third = nodes.add_node(num_cpus=4)
    nodes.wait_for_nodes()
    with working(nodes, 4, seconds=0.02) as backend:
        backend.prepare([BASE])
        assert len(places(backend)) == 3

        def remove() -> None:
            nodes.remove_node(third, allow_graceful=False)

        assert ask(backend, {10: remove}) == expected()
        answer_until(backend, lambda: len(places(backend)) == 2 and len(backend.pids) == 4)
        assert backend.notes == ()


def test_where_no_node_is_left_for_them_the_others_go_on(nodes: Any) -> None:
    third = nodes.add_node(num_cpus=2)
    nodes.wait_for_nodes()
    with working(nodes, 6, seconds=0.05, start_seconds=20.0) as backend:
        backend.prepare([BASE])
        assert len(places(backend)) == 3
        assert ask(backend, {10: lambda: nodes.remove_node(third, allow_graceful=False)}) == (
            expected()
        )
        # The two that were lost are waited for so long, beside the work.
        answer_until(backend, lambda: backend.notes and len(backend.pids) == 4)
    (told,) = backend.notes
    assert "2 of 6 workers did not start within 20 s, and the others went on without" in told
    assert "Asked of Ray: 6 x 1 CPU. The cluster has 4 CPU, 0 GPU" in told


def test_workers_end_with_a_driver_that_is_killed(nodes: Any, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from types import SimpleNamespace\n"
        "from engine.pool.test_ray import BASE, REQUESTS, working\n"
        "from tuneval.engine.answer import answer\n"
        "from tuneval.engine.journal import Journal\n"
        "with working(SimpleNamespace(address=os.environ['RAY_ADDRESS']), 2, seconds=0.05) as backend:\n"
        "    backend.prepare([BASE]); Path(sys.argv[2]).write_text(repr(backend.pids))\n"
        "    answer(backend, BASE, REQUESTS, Journal(sys.argv[1]))\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", code, *(str(tmp_path / one) for one in ("answers", "pids"))],
        env={**os.environ, "PYTHONPATH": PATHS, "RAY_ADDRESS": nodes.address},
    )
    until(lambda: len(stored(tmp_path)) >= 5)
    driver.kill()
    driver.wait()
    pids = eval((tmp_path / "pids").read_text())  # noqa: S307 - our own list
    assert len(pids) == 2
    until(lambda: not any(map(is_there, pids)))


def test_workers_end_with_an_interrupt(nodes: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with working(nodes, 2, seconds=0.05) as backend:
        backend.prepare([BASE])
        pids = backend.pids
        with pytest.raises(KeyboardInterrupt):
            ask(backend, {5: interrupt})
        until(lambda: not any(map(is_there, pids)))


# ---- resources --------------------------------------------------------------------------------------


def test_what_no_node_has_is_told_within_the_wait(nodes: Any) -> None:
    started = time.monotonic()
    with (
        working(nodes, 2, gpus=1.0, start_seconds=5.0) as backend,
        pytest.raises(BackendUnavailable, match="2 of 2 workers did not start within 5 s") as one,
    ):
        backend.prepare([BASE])
    assert "Asked of Ray: 2 x 1 CPU and 1 GPU. The cluster has 4 CPU, 0 GPU" in str(one.value)
    assert "backend.gpus_per_worker" in str(one.value)
    assert time.monotonic() - started < 60, "no endless wait"


def test_a_busy_cluster_gives_what_is_free(nodes: Any) -> None:
    with working(nodes, 3) as others:
        others.prepare([BASE])
        free = "Asked of Ray: 2 x 1 CPU. The cluster has 4 CPU, 0 GPU and "
        with working(nodes, 2, start_seconds=20.0) as backend:
            assert answers(backend) == expected()
            (told,) = backend.notes
            assert "1 of 2 workers did not start within 20 s" in told
            assert free in told
            assert "of which 0 CPU" in told
            with (
                working(nodes, 1, start_seconds=4.0) as late,
                pytest.raises(BackendUnavailable, match="1 of 1 workers did not start"),
            ):
                late.prepare([BASE])
        assert answers(others) == expected(), "those of another pool were left alone"


# ---- nodes that are others --------------------------------------------------------------------------


@contextmanager
def with_node(nodes: Any, **environment: str) -> Iterator[None]:
    """One more node, whose workers have other variables."""
    node = nodes.add_node(num_cpus=2, env_vars=environment)
    nodes.wait_for_nodes()
    try:
        yield
    finally:
        nodes.remove_node(node)


def test_a_node_with_another_version_of_a_package_is_refused(nodes: Any, tmp_path: Path) -> None:
    info = tmp_path / "safetensors-0.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: safetensors\nVersion: 0.0.1\n")
    paths = os.pathsep.join([str(tmp_path), PATHS])
    with (
        with_node(nodes, PYTHONPATH=paths),
        working(nodes, 6) as backend,
        pytest.raises(BackendUnavailable, match=r"on node .* has safetensors 0\.0\.1 where this"),
    ):
        backend.prepare([BASE])


def test_a_node_without_the_folder_is_named(nodes: Any) -> None:
    with (
        with_node(nodes, TUNEVAL_TEST_LACKING="small"),
        working(nodes, 6) as backend,
        pytest.raises(VariantError, match=r'on node .*: there is no folder "small"') as one,
    ):
        backend.prepare([BASE])
    assert "Every node has to find the folders" in str(one.value)


def test_a_node_without_tuneval_ends_the_run(nodes: Any, tmp_path: Path) -> None:
    broken = tmp_path / "tuneval"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('no tuneval on this node')\n")
    paths = os.pathsep.join([str(tmp_path), PATHS])
    with (
        with_node(nodes, PYTHONPATH=paths),
        working(nodes, 6) as backend,
        pytest.raises(BackendUnavailable, match="workers ended before they could answer") as one,
    ):
        backend.prepare([BASE])
    assert "no tuneval on this node" in str(one.value)


# ---- the door ---------------------------------------------------------------------------------------


def test_an_address_where_nobody_listens_is_told() -> None:
    started = time.monotonic()
    with pytest.raises(BackendUnavailable, match="no Ray cluster at 127"):
        knock("127.0.0.1:9", 4.0)
    assert time.monotonic() - started < 60


def test_a_cluster_with_a_token_is_entered_with_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    own.write_text("a" * 64)
    other.write_text("b" * 64)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(own))
    monkeypatch.setenv("PYTHONPATH", PATHS)
    address = "127.0.0.1:6397"
    words = [
        "start",
        "--block",
        "--head",
        "--port",
        "6397",
        "--num-cpus",
        "1",
        "--include-dashboard",
        "false",
    ]
    with (
        TemporaryDirectory(dir="/tmp", prefix="r") as place,  # names of sockets have to be short
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *words, "--temp-dir", place],
            stdout=log,
            stderr=log,
        ) as head,
    ):
        try:
            until(lambda: "Ray runtime started" in (tmp_path / "log").read_text())
            knock(address, 60.0)
            monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other))
            with pytest.raises(BackendUnavailable, match="wants its token") as one:
                knock(address, 6.0)
            assert "RAY_AUTH_TOKEN_PATH" in str(one.value)
            monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
            with pytest.raises(BackendUnavailable, match="wants its token"):
                knock(address, 6.0)
        finally:
            head.terminate()


# ---- real models ------------------------------------------------------------------------------------


def test_real_models_give_the_bits_of_the_local_pool(nodes: Any, tmp_path: Path) -> None:
    from tiny_models import build_adapter, build_model

    base = build_model(tmp_path / "base", chat=True)
    adapter = build_adapter(tmp_path / "lora", base)
    variants = [
        Variant("base", "base", str(base)),
        Variant("lora", "adapter", str(base), adapter=str(adapter)),
    ]
    asked = [
        *mixed(),
        *(
            replace(one, id=f"{one.id}-{n}", prompt=f"The lazy dog number {n} jumps over")
            for n in range(30)
            for one in mixed()
            if isinstance(one.prompt, str) and one.id != "text"
        ),
    ]
    options = {"device": "cpu", "offline": True}

    def run(backend: PoolBackend, kill_at: int | None = None) -> dict[tuple[str, str], Response]:
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

    def over(n: int) -> PoolBackend:
        return cluster_room.pool(options, address=nodes.address, workers=n)

    here = run(local.pool("hf", options, workers=1))
    assert all(one.problem is None for one in here.values())
    assert run(over(1)) == here
    assert run(over(2)) == here
    assert run(over(4)) == here
    assert run(over(2), kill_at=20) == here
