"""One vLLM engine in a process of its own: started, asked, ended.

The process runs ``child.py`` under the interpreter that has vLLM. It is in a session of its own, so
that Ctrl-C is ours to handle, and ends by itself when we are gone, killed included. What it says goes to
a file without a name. Not for: what is asked (``planning.py``).
"""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tuneval.engine.pool.member import Member, Said, Seat
from tuneval.engine.pool.process import Process
from tuneval.engine.vllm.planning import Ask
from tuneval.errors import BackendError, BackendUnavailable

PYTHON = "TUNEVAL_VLLM_PYTHON"
"""Environment variable: interpreter of an environment with vLLM, where that is not this one."""
START_SECONDS = 1800.0
"""So long a start may take: weights of a hundred gigabytes are read, and graphs captured."""
_CHILD = Path(__file__).with_name("child.py")

Adapter = Mapping[str, Any] | None
"""Name, number and folder of a LoRA, as vLLM's own record has them."""


class Up(Protocol):
    """What the backend needs of an engine that is up; see ``Engine``."""

    about: Mapping[str, Any]

    @property
    def pid(self) -> int: ...

    @property
    def is_usable(self) -> bool: ...

    def ask(
        self, asks: Sequence[Ask], adapter: Adapter
    ) -> Iterator[tuple[int, dict[str, Any]]]: ...

    def close(self, *, at_once: bool = True) -> None: ...


class Engine:
    """An engine that is up.

    Parameters
    ----------
    settings : mapping
        Of ``vllm.LLM``.
    environment : mapping
        Variables that its process has beside ours.

    Attributes
    ----------
    about : mapping
        ``version`` of vLLM, ``torch``, ``device`` that it computes on, ``longest``: tokens of a prompt and
        its answer.

    Raises
    ------
    BackendUnavailable
        It does not start.
    """

    def __init__(self, settings: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._heard: queue.SimpleQueue[Said] = queue.SimpleQueue()
        python = os.environ.get(PYTHON)
        inherited = dict(os.environ)
        if python:  # its packages are not ours
            inherited.pop("PYTHONPATH", None)
        # -P: the folder of the script, whose modules are tuneval's, is no place to import from.
        seat = Seat(0)
        self._process = Process(
            seat,
            command=(python or sys.executable, "-P", str(_CHILD)),
            environment={**inherited, **environment},
        )
        self._member = Member(seat, self._process, self._heard)
        self._is_busy = False
        self._member.send({"do": "start", "settings": dict(settings)})
        try:
            self.about: Mapping[str, Any] = self._next(START_SECONDS)
        except BaseException:  # an interrupt, too, must leave no engine behind
            self.close(at_once=True)
            raise

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def ask(self, asks: Sequence[Ask], adapter: Adapter) -> Iterator[tuple[int, dict[str, Any]]]:
        """Numbers of asks with what was answered, as soon as it is there.

        Raises
        ------
        BackendError
            The engine ended.
        """
        assert not self._is_busy, "one run of asks at a time"
        self._is_busy = True
        prompts = [[list(one.ids), dict(one.words)] for one in asks]
        self._member.send({"do": "ask", "lora": adapter, "prompts": prompts})
        try:
            while (message := self._next())["is"] == "answer":
                yield int(message["n"]), message
            self._is_busy = False
        finally:
            if self._is_busy:  # nobody waits for the rest, and it cannot be taken back
                self.close(at_once=True)

    @property
    def is_usable(self) -> bool:
        """Whether it may be asked again."""
        return not self._is_busy

    def close(self, *, at_once: bool = True) -> None:
        """End its process, and wait until it is gone."""
        self._is_busy = True
        self._member.part(at_once=at_once)

    def _next(self, seconds: float | None = None) -> dict[str, Any]:
        ends = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                # In short waits, so that an interrupt is seen.
                _, message = self._heard.get(timeout=1.0)
            except queue.Empty:
                if ends is not None and time.monotonic() > ends:
                    raise BackendUnavailable(
                        f"vLLM did not start within {seconds:.0f} s."
                    ) from None
                continue
            if message["is"] in ("failed", "ended"):
                raise self._failure(message, is_start=seconds is not None)
            return dict(message)

    def _failure(self, message: Mapping[str, Any], *, is_start: bool) -> BackendError:
        reason = str(message.get("text") or self._member.how_it_ended())
        if is_start:
            return BackendUnavailable(
                f"vLLM did not start: {reason}\nbackend.kind: hf (leave --backend vllm away) runs without "
                "it. An environment of its own for vLLM is named by "
                f"{PYTHON}=/PATH/TO/bin/python."
            )
        return BackendError(
            f"vLLM ended while it answered: {reason}\nWhat was answered is kept; give the same command "
            "again to ask for the rest."
        )
