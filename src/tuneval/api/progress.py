"""Progress on stderr: a bar in a terminal or a notebook, one line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from tuneval.types import NoProgress, Progress

SECONDS_BETWEEN_LINES = 10.0
FEWEST_FOR_A_RATE = 8
"""Answers after the first: it waits for weights to load, and tells nothing of the others."""
WIDEST_BAR, NARROWEST_BAR = 24, 6
BESIDE_THE_BAR = 66
"""Columns of everything beside the bar, notes left out."""


def progress_for(*, quiet: bool) -> Progress:
    """Choose what fits stderr."""
    if quiet:
        return NoProgress()
    return Bars() if sys.stderr.isatty() or in_notebook() else Lines()


def in_notebook() -> bool:
    """Whether a notebook shows what is drawn."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


class Pace:
    """How fast a number of answers comes, and when the last will be there."""

    def __init__(self, total: int = 0) -> None:
        self.total, self.done, self.n_fresh = total, 0, 0
        self._first: tuple[float, int] | None = None

    @property
    def is_running(self) -> bool:
        """Whether something of it is still to come."""
        return self.done < self.total

    def advance(self, n: int, n_reused: int, now: float) -> None:
        """Count; what was known already tells nothing of the speed."""
        self.done += n
        self.n_fresh += n - n_reused
        if self._first is None and self.n_fresh:
            self._first = now, self.n_fresh

    def speed(self, now: float) -> float | None:
        """Answers a second since the first; None while it is a guess."""
        started, n_first = self._first or (now, self.n_fresh)
        if self.n_fresh - n_first < FEWEST_FOR_A_RATE or now <= started:
            return None
        return (self.n_fresh - n_first) / (now - started)

    def left_seconds(self, now: float) -> float | None:
        """Time until all are there."""
        speed = self.speed(now)
        return max(self.total - self.done, 0) / speed if speed else None


class _Paced:
    """What both ways of drawing know: the pace of the stage, and that of the whole run."""

    def __init__(self) -> None:
        self._run, self._stage = Pace(), Pace()
        self._n_reused = 0

    def expect(self, n: int) -> None:
        """So many more answers are to come in the next stages together."""
        self._run.total += n

    def _count(self, n: int, n_reused: int) -> float:
        now = time.monotonic()
        self._n_reused += n_reused
        self._stage.advance(n, n_reused, now)
        if self._run.is_running:
            self._run.advance(n, n_reused, now)
        return now

    def _left(self, now: float) -> tuple[float | None, str]:
        """Seconds left, and of what: all stages that are known, else this one."""
        if self._run.done < self._run.total and self._run.total > self._stage.total:
            return self._run.left_seconds(now), " in all"
        return self._stage.left_seconds(now), ""


class Bars(_Paced):
    """A rich progress bar per stage: what runs, how far, how long the run still takes."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._task: Any = None

    def begin(self, stage: str, total: int) -> None:
        """Start a bar of its own: one display with all stages would draw the finished ones again."""
        self._stage, self._n_reused = Pace(total), 0
        self._bar = _new_bar()
        self._bar.start()
        self._task = self._bar.add_task(_fitted(stage), total=total, left="", note="")

    def advance(self, n: int, *, n_reused: int = 0) -> None:
        """Move the bar; say what came from the journal."""
        seconds, of_what = self._left(self._count(n, n_reused))
        left = "" if seconds is None else f"{_clock(seconds)} left{of_what}"
        known = f", {self._n_reused} known" if self._n_reused else ""
        self._bar.update(self._task, advance=n, left=f"{left}{known}")

    def note(self, text: str) -> None:
        """Show it behind the bar."""
        self._bar.update(self._task, note=text)

    def end(self) -> None:
        """Leave the bar as it is on the screen."""
        self._bar.stop()


def _new_bar() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    room = min(WIDEST_BAR, max(NARROWEST_BAR, console.width - BESIDE_THE_BAR))
    return Progress(
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(bar_width=room),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]} {task.fields[note]}", markup=False),
        console=console,
    )


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _fitted(stage: str) -> str:
    """A name may hold anything and be of any length."""
    from tuneval.report.escape import fit, terminal

    return fit(terminal(stage), 24)


class Lines(_Paced):
    """Plain lines for logs and pipes."""

    def __init__(self) -> None:
        super().__init__()
        self._name, self._note = "", ""
        self._started = self._spoken = 0.0

    def begin(self, stage: str, total: int) -> None:
        """Name the stage."""
        self._stage, self._n_reused = Pace(total), 0
        self._name, self._note = _fitted(stage), ""
        self._started = self._spoken = time.monotonic()

    def advance(self, n: int, *, n_reused: int = 0) -> None:
        """Speak at most every ten seconds."""
        now = self._count(n, n_reused)
        if now - self._spoken >= SECONDS_BETWEEN_LINES:
            self._spoken = now
            self._print(f"{self._stage.done}/{self._stage.total}{self._pace(now)}{self._note}")

    def _pace(self, now: float) -> str:
        """Speed since the first answer and what it promises; nothing while it is a guess."""
        speed = self._stage.speed(now)
        told = ""
        if speed:
            told = f", {speed:.0f}/s" if speed >= 1 else f", {1 / speed:.0f} s each"
        seconds, of_what = self._left(now)
        return told if seconds is None else f"{told}, about {seconds:.0f} s left{of_what}"

    def note(self, text: str) -> None:
        """Say it with the next line."""
        self._note = f" ({text})"

    def end(self) -> None:
        """Say how it went."""
        seconds = time.monotonic() - self._started
        known = f", {self._n_reused} already known" if self._n_reused else ""
        done = f"{self._stage.done}/{self._stage.total}"
        self._print(f"{done} in {seconds:.0f} s{known}{self._note}")

    def _print(self, text: str) -> None:
        sys.stderr.write(f"{self._name}: {text}\n")
        sys.stderr.flush()
