"""A pool on this machine: how many workers, where they sit, what the driver hashes for them.

Not for: running them (``backend.py``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tuneval import registry
from tuneval.engine import BACKENDS
from tuneval.engine.pool.backend import Inner, PoolBackend
from tuneval.engine.pool.member import Seat
from tuneval.engine.pool.process import Processes, seats
from tuneval.errors import ConfigError, VariantError
from tuneval.types import Variant

POOLED = ("hf", "scripted")
"""Kinds of backends that may be made of workers; a server has its own."""
ROOM = 1.3
"""Bytes of memory that a worker takes for each of the largest weights, on CPU."""
OWN_BYTES = 700 << 20
"""What a worker takes beside its weights: torch, transformers, a chunk of logits."""


def pool(
    kind: str,
    options: Mapping[str, Any],
    *,
    workers: int | Literal["auto"],
    variants_bytes: int = 0,
    allow_unlike_cards: bool = False,
) -> PoolBackend:
    """Workers of a kind of backend, on the cards of this machine or else on its cores.

    On CPU every worker has as many threads as ``options`` say ("auto": one), never more where there
    are fewer workers: the order of sums, and so the last bits, hang on the number of threads.

    Parameters
    ----------
    options : mapping
        Of the backend, as JSON has them.
    workers : int or "auto"
        "auto": one a card; on CPU, as many as there are cores for and memory.
    variants_bytes : int
        Of the largest weights, to see how many workers fit; 0 where nobody knows.

    Raises
    ------
    ConfigError
        This kind has no workers, or they are all to sit on one card.
    """
    if kind not in POOLED:
        raise ConfigError(f'backend "{kind}" has no workers: leave --workers away.')
    asked = str(options.get("device", "auto"))
    if ":" in asked:
        raise ConfigError(
            f"--device {asked} with --workers: workers have a card each. Choose them with "
            "CUDA_VISIBLE_DEVICES."
        )
    cards = _cards() if kind == "hf" and asked in ("auto", "cuda") else []
    threads = options.get("threads", "auto")
    threads = threads if isinstance(threads, int) else 1
    cores = _cores()
    if workers == "auto":
        n = len(cards) or max(1, min(len(cores) // threads, _fitting(variants_bytes)))
    else:
        n = workers
    chosen = {**options, **({} if cards else {"threads": threads})}
    place = BACKENDS[kind]

    def here() -> Any:
        made = registry.load(BACKENDS, kind, room="backends")
        record = getattr(made, "Options", None)
        return made(record(**chosen)) if record else made(**chosen)

    return PoolBackend(
        Inner(place, chosen, hashed if kind == "hf" else None),
        Processes(places(n, cards=cards, cores=cores, threads=threads)),
        here,
        allow_unlike_cards=allow_unlike_cards,
    )


def places(n: int, *, cards: Sequence[str], cores: Sequence[int], threads: int) -> list[Seat]:
    """Seats for ``n`` workers.

    Raises
    ------
    ConfigError
        There are fewer cards.
    """
    if cards and n > len(cards):
        raise ConfigError(
            f"--workers {n}: there {'is' if len(cards) == 1 else 'are'} {len(cards)} "
            f"card{'s' * (len(cards) != 1)} to sit on."
        )
    return seats(n, cards=cards, cores=cores, threads=threads)


def _cards() -> list[str]:
    """Cards that may be used, by the names that CUDA knows them by."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    import torch

    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [one.strip() for one in told.split(",") if one.strip()] if told else []
    return named[:n] if named else [str(number) for number in range(n)]


def _cores() -> list[int]:
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # no such call on macOS
        return list(range(os.cpu_count() or 1))


def _fitting(n_bytes: int) -> int:
    from tuneval.engine.hf.weights.memory import free_bytes

    return int(free_bytes("cpu") // (n_bytes * ROOM + OWN_BYTES))


def hashed(variants: Sequence[Variant]) -> list[list[Any]]:
    """Hash the weight files of variants here, while the workers import; what cannot be found is left
    to them to complain about."""
    from tuneval.engine.hf.weights import fingerprint
    from tuneval.engine.hf.weights.location import find_folder

    for variant in variants:
        for name in (variant.model, variant.adapter):
            try:
                folder = (
                    find_folder(name, offline=True, revision=variant.revision) if name else None
                )
            except VariantError:
                continue
            if folder is not None:
                fingerprint.of_files(sorted(Path(folder).glob("*.safetensors")))
    return fingerprint.known()
