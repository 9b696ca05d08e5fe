"""The command line's front door: finds the command, turns errors into exit codes and words.

Exit codes: 0 done, 1 a gate failed or units are missing, 2 the user can mend it, 3 our bug (with a
log), 4 the data cannot tell whether a gate holds, 130/143 interrupted and resumable.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import functools
import io
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from tuneval.cli import (
    compare,
    demo,
    diff,
    doctor,
    gate,
    history,
    listing,
    paraphrase,
    plan,
    report,
    run,
    runs,
    score,
    split,
)
from tuneval.cli.layout import PlainCommand, PlainGroup
from tuneval.cli.unfolded import with_flags
from tuneval.errors import TunevalError
from tuneval.version import __version__

HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=PlainGroup,
    context_settings=HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

COMMANDS: dict[str, Callable[..., int]] = {
    "compare": compare.compare,
    "run": run.run,
    "demo": demo.demo,
    "doctor": doctor.doctor,
    "list": listing.list_,
    "report": report.report,
    "gate": gate.gate,
    "runs": runs.runs,
    "diff": diff.diff,
    "history": history.history,
    "score": score.score,
    "plan": plan.plan,
    "split": split.split,
    "paraphrase": paraphrase.paraphrase,
}


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a batch system sends it: stop like Ctrl-C, with its own exit code."""


class Stopped(Exception):
    """A command was interrupted; carries the exit code."""


def _with_own_interrupts(command: Callable[..., int]) -> Callable[..., int]:
    """Typer turns KeyboardInterrupt into a silent exit with 130, and a reader of our output who
    has seen enough (``| head``) into a failure: take both before typer does."""

    @functools.wraps(command)
    def run_command(*args: Any, **words: Any) -> int:
        try:
            outcome = command(*args, **words)
            sys.stdout.flush()  # while there is someone to say that it was not taken
        except KeyboardInterrupt as stop:
            raise Stopped(143 if isinstance(stop, Terminated) else 130) from stop
        except BrokenPipeError as error:
            if error.filename is not None:
                raise
            _drop_stdout()
            return 0
        return outcome

    return run_command


for _name, _command in COMMANDS.items():
    app.command(_name, cls=PlainCommand, context_settings=HELP)(_with_own_interrupts(_command))


MENDABLE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.EIO,
        errno.ESTALE,
    }
)
"""What the system refuses for a reason that lies with the machine or the words given."""

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
CLICK_ERROR: Any = typer.BadParameter.__mro__[2]
"""Typer carries its own copy of click from 0.20 on and the installed one before: ask typer."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tuneval {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: bool = typer.Option(
        False, "--version", "-V", callback=_print_version, is_eager=True, help="print the version"
    ),
) -> None:
    """Did the fine-tune work? Base, LoRA adapters and full fine-tune on the same cases."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    codecs.register_error(ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ESCAPED)
    sys.exit(exit_code(list(sys.argv[1:] if argv is None else argv)))


ESCAPED = "tuneval-escaped"
"""How a terminal shows what its encoding lacks: as JSON spells it, so that --json stays JSON."""


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    units = (lacking[at : at + 2].hex() for at in range(0, len(lacking), 2))
    return "".join(f"\\u{unit}" for unit in units), error.end


def exit_code(words: Sequence[str]) -> int:
    """Run the words of one command line; everything that can go wrong ends here."""
    signal.signal(signal.SIGTERM, _terminate)
    _open_closed_streams()
    try:
        outcome = app(
            with_flags([with_hyphens(word) for word in words or ["--help"]]),
            standalone_mode=False,
            prog_name="tuneval",
        )
    except TunevalError as error:
        _say(f"tuneval: {error}")
        return 2
    except CLICK_ERROR as error:
        _say(f"tuneval: {error.format_message()}")
        if getattr(error, "option_name", None) == "-o":
            _say(
                "-o names a file, where a command writes one. A folder is given by --output-dir DIR."
            )
        if isinstance(error, USAGE_ERROR) and error.ctx is not None:
            _say(f"See: {error.ctx.command_path} --help")
        return 2
    except Stopped as stop:
        _say("\ninterrupted. What was answered is kept: the same command goes on from there.")
        return int(stop.args[0])
    except OSError as error:
        if error.errno not in MENDABLE:
            return _own_bug()
        if error.filename is None:
            _drop_stdout()
        _say(f'tuneval: "{error.filename or "standard output"}": {error.strerror}.')
        _say("What was answered is kept: once that is mended, the same command goes on from there.")
        return 2
    except Exception as error:  # noqa: BLE001 - the one place where our own bugs become exit code 3
        from tuneval.engine.hf.weights.memory import is_out_of_memory

        if not is_out_of_memory(error):
            return _own_bug()
        _say("tuneval: there is not enough memory for this run on this machine.")
        _say("Give --dtype bfloat16 or a smaller --batch-size, or compare fewer models at a time.")
        return 2
    return outcome if isinstance(outcome, int) else 0


def _open_closed_streams() -> None:
    """Python has no stream where the caller closed it (``>&-``): what is said goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - until the end


def _drop_stdout() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())  # the interpreter flushes once more when it ends
    os.close(nowhere)


def _own_bug() -> int:
    _say(f"tuneval: a bug of ours, sorry. The log to paste into a report: {_write_log()}")
    return 3


def with_hyphens(word: str) -> str:
    """Accept --batch_size for --batch-size: fingers know underscores."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value


def _say(text: str) -> None:
    from tuneval.engine.address import hidden
    from tuneval.report.escape import terminal

    with contextlib.suppress(OSError):  # nobody may be reading
        print("\n".join(terminal(line) for line in hidden(text).split("\n")), file=sys.stderr)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def _write_log() -> Path:
    from tuneval.engine.address import hidden

    descriptor, name = tempfile.mkstemp(prefix="tuneval-bug-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as log:
        log.write(
            f"tuneval {__version__}, Python {sys.version}\n\n{hidden(traceback.format_exc())}"
        )
    return Path(name)


if __name__ == "__main__":
    main()
