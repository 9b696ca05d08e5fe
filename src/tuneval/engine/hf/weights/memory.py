"""How much memory is free, and whether an error means that it was not enough.

Holds no torch at import; not for deciding what to load (``backend.py``) or how to batch.
"""

from __future__ import annotations

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


_OWN_BYTES = 400 * 10**6


def own_bytes(device: str) -> int:
    """About what Python, torch and transformers take of a device's memory, products set up included.

    On CPU 300 to 345 MB were measured, and the buffers of small batches.
    """
    return _OWN_BYTES if device == "cpu" else 0


def free_bytes(device: str) -> int:
    """Bytes that may still be taken on a device ("cpu", "cuda:0", "mps")."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    import psutil  # type: ignore[import-untyped]

    free = int(psutil.virtual_memory().available)
    limit = _cgroup_bytes("memory.max")
    used = _cgroup_bytes("memory.current")
    if limit is not None and used is not None:
        # Pages of files that were read count as used, but go as soon as memory is wanted.
        free = min(free, max(0, limit - used + _cgroup_cache()))
    return free


def _cgroup_cache() -> int:
    """Bytes of the group that only cache files."""
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    found = (line.split() for line in lines)
    return sum(int(value) for name, value in found if name == "inactive_file")


def _cgroup_bytes(name: str) -> int | None:
    try:
        text = (_CGROUP / name).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, MemoryError):
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it here
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )


def release(device: str) -> None:
    """Give cached blocks back after memory ran out."""
    if device.startswith("cuda"):
        import gc

        import torch

        gc.collect()
        torch.cuda.empty_cache()
