"""A pool over a Ray cluster: the workers of ``hf`` on every node that has room for them.

Not for: what a worker is (``worker.py``) or how its lines travel (``actor.py``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tuneval import registry
from tuneval.engine import BACKENDS
from tuneval.engine.pool.actor import Actor, Demand
from tuneval.engine.pool.backend import Inner, PoolBackend
from tuneval.engine.pool.local import OWN_BYTES, ROOM, hashed
from tuneval.engine.pool.member import Seat
from tuneval.errors import BackendUnavailable, ConfigError

START_SECONDS = 120.0
QUIET: Mapping[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
"""What workers print is text of models and of libraries, none of it for this terminal."""


def pool(
    options: Mapping[str, Any],
    *,
    address: str | None = None,
    workers: int | Literal["auto"] = "auto",
    cpus_per_worker: float | None = None,
    gpus_per_worker: float | None = None,
    start_seconds: float = START_SECONDS,
    variants_bytes: int = 0,
    allow_unlike_cards: bool = False,
) -> PoolBackend:
    """Workers of the backend ``hf`` on a Ray cluster.

    Parameters
    ----------
    options : mapping
        Of the backend ``hf``, as JSON has them.
    address : str, optional
        HOST:PORT of the cluster, or "auto"; else RAY_ADDRESS, else a cluster of this machine alone.
    workers : int or "auto"
        "auto": as many as all nodes together have room for, busy or not.
    cpus_per_worker, gpus_per_worker : float, optional
        What each reserves; by default a core for each thread, and a GPU where the cluster has any.
    start_seconds : float
        How long the cluster and each worker may take to come.
    variants_bytes : int
        Of the largest weights, which a worker without a GPU reserves memory for; 0: nobody knows.

    Raises
    ------
    ConfigError
        One device is named for all.
    """
    device = str(options.get("device", "auto"))
    if ":" in device:
        raise ConfigError(
            f"--device {device} with backend ray: Ray gives each worker a card of its own."
        )
    threads = options.get("threads", "auto")
    if not isinstance(threads, int):
        threads = max(1, int(cpus_per_worker or 1))
    chosen = {**options, "threads": threads}
    cluster = Cluster(
        address or os.environ.get("RAY_ADDRESS") or None,
        workers=workers,
        cpus=threads if cpus_per_worker is None else cpus_per_worker,
        gpus=0.0 if device not in ("auto", "cuda") else gpus_per_worker,
        memory=int(variants_bytes * ROOM + OWN_BYTES) if variants_bytes else 0,
        threads=threads,
        start_seconds=start_seconds,
    )

    def here() -> Any:
        made = registry.load(BACKENDS, "hf", room="backends")
        return made(made.Options(**{**chosen, "device": "cpu"}))

    return PoolBackend(
        Inner(BACKENDS["hf"], chosen, hashed),
        cluster,
        here,
        allow_unlike_cards=allow_unlike_cards,
    )


class Cluster:
    """Starts workers as actors; connects when it is first asked where they may sit.

    Parameters
    ----------
    address : str, optional
        Of a cluster that runs; None starts one of this machine, which ends with this process.
    workers : int or "auto"
        As in ``pool``.
    cpus, gpus, memory
        What each reserves; ``gpus`` None: one where there are any. Memory in bytes, of workers
        without a GPU alone.
    """

    def __init__(
        self,
        address: str | None,
        *,
        workers: int | Literal["auto"],
        cpus: float,
        gpus: float | None,
        memory: int = 0,
        threads: int = 1,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self.start_seconds = start_seconds
        self._address = address
        self._workers = workers
        self._asked = (cpus, gpus, memory)
        self._demand = Demand(cpus)
        self._threads = threads
        self._n_seats = 0
        self._is_ours = False

    def seats(self) -> Sequence[Seat]:
        """Connect, and count; see ``Launcher``."""
        self._connect()
        import ray

        nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]
        cpus, gpus, memory = self._asked
        if gpus is None:
            gpus = 1.0 if any(one.get("GPU") for one in nodes) else 0.0
        self._demand = Demand(cpus, gpus, 0 if gpus else memory)
        n = sum(room(one, self._demand) for one in nodes)
        self._n_seats = max(1, n) if self._workers == "auto" else self._workers
        return [Seat(number, threads=self._threads) for number in range(self._n_seats)]

    def start(self, seat: Seat) -> Actor:
        """Ask for an actor; it comes when a node has room."""
        return Actor(seat, self._demand)

    def advice(self) -> str:
        """What was asked, what there is, what is free."""
        import ray

        n = sum(one["Alive"] for one in ray.nodes())
        has, free = ray.cluster_resources(), ray.available_resources()
        return (
            f"Asked of Ray: {self._n_seats} x {self._demand}. The cluster has {_amounts(has)} on {n} "
            f"node{'s' * (n != 1)}, of which {_amounts(free)} are free. Ask for less "
            "(backend.workers, backend.gpus_per_worker, backend.cpus_per_worker), or wait longer "
            "(backend.start_seconds)."
        )

    def close(self) -> None:
        """Part from the cluster, and end one that was started here."""
        import ray

        if self._is_ours:
            ray.shutdown()
            self._is_ours = False

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():  # the caller's own connection
            return
        if self._address is None:
            ray.init(address="local", include_dashboard=False, **QUIET)
        else:
            knock(self._address, self.start_seconds)
            ray.init(address=self._address, **QUIET)
        self._is_ours = True


def knock(address: str, seconds: float) -> None:
    """Try to connect from a process that can be ended: ``ray.init`` waits for minutes where nobody
    listens, and hears no signal meanwhile.

    Raises
    ------
    BackendUnavailable
        Nobody answers within ``seconds``, or the cluster refuses: its token, its versions.
    """
    code = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"
    process = subprocess.Popen(
        [sys.executable, "-c", code, address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        said = process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()[1]
    finally:
        process.kill()
    if process.returncode == 0:
        return
    if "AuthToken" in said or "AuthenticationError" in said or "uthentication token" in said:
        raise BackendUnavailable(
            f"the Ray cluster at {address} wants its token, and has not got it from here.\nSet "
            "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to that of the cluster "
            "(else ~/.ray/auth_token is read)."
        )
    last = (said.strip().splitlines() or ["it said nothing"])[-1][:300]
    raise BackendUnavailable(
        f"no Ray cluster at {address} let this process in within {seconds:g} s ({last}).\nCheck "
        "backend.address or RAY_ADDRESS (HOST:PORT of ray start --head), and that it runs "
        "(ray status)."
    )


def room(node: Mapping[str, float], demand: Demand) -> int:
    """Workers that a node holds where nothing else runs there."""
    wanted = (("CPU", demand.cpus), ("GPU", demand.gpus), ("memory", demand.memory))
    return min((int(node.get(name, 0) // each) for name, each in wanted if each), default=1)


def _amounts(resources: Mapping[str, float]) -> str:
    memory = resources.get("memory", 0) / 2**30
    return f"{resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU and {memory:.1f} GiB"
