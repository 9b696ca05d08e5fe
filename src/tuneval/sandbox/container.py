"""Confinement by docker or podman, in an image that the user names. Frames pass through us, since
an engine passes on the standard streams only."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable

from tuneval.errors import SandboxError
from tuneval.sandbox import backend
from tuneval.sandbox.backend import Level, Role
from tuneval.sandbox.box import Launch
from tuneval.sandbox.inside import seccomp
from tuneval.sandbox.program import Limits

ENGINES = ("docker", "podman")
USER = 65534


class Container:
    """Level "strong". ``image`` needs a ``python3`` of version 3.11 or newer and nothing else."""

    name = "container"
    level: Level = "strong"
    gaps: tuple[str, ...]

    def __init__(self, image: str | None) -> None:
        self.image = image
        self._engine = next((found for e in ENGINES if (found := shutil.which(e))), None)
        calls = seccomp.here(has_pid_namespace=True, has_own_uid=True)
        self._calls = None if calls is None else calls.hex()
        self.gaps = (backend.CALLS_PASS,) if calls is None else ()

    def launch(self, role: Role, slot: int, limits: Limits) -> Launch:
        """Start one container, removed by the engine when it ends."""
        if self._engine is None:
            raise SandboxError('neither "docker" nor "podman" is installed')
        if not self.image:
            raise SandboxError("no image was named")
        name = f"tuneval-{os.getpid()}-{slot}-{role}-{secrets.token_hex(4)}"
        memory = str(limits.memory_bytes)
        variables = [
            f"--env={k}={v}" for k, v in backend.environment("/tmp").items() if k != "PATH"
        ]
        command = [
            *(self._engine, "run", "--rm", "--init", "--interactive", f"--name={name}"),
            *("--network=none", "--read-only", "--cap-drop=ALL"),
            *("--security-opt=no-new-privileges", f"--pids-limit={limits.processes + 2}"),
            *(f"--memory={memory}", f"--memory-swap={memory}", "--hostname=sandbox"),
            f"--tmpfs=/tmp:rw,mode=1777,size={limits.temporary_bytes}",
            f"--shm-size={limits.shared_memory_bytes}",
            *(f"--user={USER}:{USER}", "--workdir=/tmp", *variables, "--entrypoint="),
            self.image,
            *backend.python_command("python3"),
        ]
        settings = backend.confinement(role, limits, seccomp=self._calls)
        # The engine counts the container's processes; the kernel would count the user's.
        del settings["confinement"]["limits"]["RLIMIT_NPROC"]
        return Launch(
            command,
            {**settings, "relayed": True},
            environment=_engine_environment(),
            end=_remover(self._engine, name),
            is_relayed=True,
        )


def _engine_environment() -> dict[str, str]:
    """What the engine's own client needs; none of it reaches the container."""
    wanted = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT")
    return {name: os.environ[name] for name in wanted if name in os.environ}


def _remover(engine: str, name: str) -> Callable[[], None]:
    def remove() -> None:
        subprocess.run(
            [engine, "rm", "--force", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )

    return remove
