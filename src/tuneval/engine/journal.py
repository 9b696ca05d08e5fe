"""Crash-safe memory of answers, addressed by content. Knows nothing of cases, files and run names.

``<folder>/<variant>/<pid>-<token>.jsonl``: one folder per fingerprint of a variant, one shard per
writer, one line per answer: the CRC-32 of the rest of the line in hexadecimal, a space, JSON.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import time
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from tuneval.errors import BackendError, ConfigError
from tuneval.types import Completion, Request, Response

VERSION = 1
"""Of the line's form; part of every key, so that an answer of another version is never reused."""

SECONDS_BETWEEN_SYNCS = 1.0

LONGEST_WRITE_SECONDS = 60.0
"""A part of a note that is older was left by a process that is dead."""

LAST_BITS = "log-likelihoods may differ in their last digits (1e-5) from those that were lost"

_NOT_STORED = {"request_id", "problem"}
_DEFAULTS = {one.name: one.default for one in fields(Response)}


def content_of(request: Request) -> dict[str, Any]:
    """Return what is asked, without the ids that say for whom."""
    prompt: Any = request.prompt
    if request.texts:  # read instead of the prompt
        prompt = {"texts": list(request.texts)}
    elif not isinstance(prompt, str):
        prompt = [[turn.role, turn.content, *([turn.more] if turn.more else [])] for turn in prompt]
    return {
        "prompt": prompt,
        "continuation": request.continuation,
        "decoding": None if request.decoding is None else _as_plain(request.decoding),
        "with_token_logprobs": request.with_token_logprobs,
        **({"stride": request.stride} if request.stride else {}),
        **({"tools": request.tools} if request.tools else {}),
        **({"labels": list(request.labels)} if request.labels else {}),
    }


def key_of(fingerprint: str, request: Request) -> str:
    """Return the address of an answer: it holds all that can change it, and nothing else."""
    return _hash([VERSION, fingerprint, content_of(request)])


def _as_plain(decoding: Any) -> dict[str, Any]:
    plain = asdict(decoding)
    plain |= {name: float(plain[name]) for name in ("temperature", "top_p")}  # 1 and 1.0 are one
    return plain | {"stop": list(plain["stop"])}


def _hash(content: object) -> str:
    # Escaped JSON keeps lone surrogates, which no other encoding would take.
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class _Index:
    """What is known of one variant."""

    answers: dict[str, Response] = field(default_factory=dict)
    decodings: dict[str, dict[str, Any]] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)


class _Shard:
    """The one file that this process writes for one variant."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._synced = time.monotonic()
        _sync_folder(folder)

    def write(self, line: bytes) -> None:
        """Hand a whole line to the operating system, where it survives the end of this process."""
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        if time.monotonic() - self._synced >= SECONDS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Have it written to the disk, where it survives a power cut."""
        os.fsync(self._fd)
        self._synced = time.monotonic()

    def close(self) -> None:
        os.close(self._fd)


class Journal:
    """Remember answers, and find them again by their content alone.

    Parameters
    ----------
    folder : path
        Made if it is not there. Any number of processes may use it at the same time.

    Attributes
    ----------
    warnings : list of str
        Sentences for the user: damaged lines, answers that other settings left behind.
    n_reused : int
        Requests that were answered from memory.

    Raises
    ------
    ConfigError
        The folder cannot be made or written; checked here, before any model is loaded.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.warnings: list[str] = []
        self.n_reused = 0
        self._indexes: dict[str, _Index] = {}
        self._shards: dict[str, _Shard] = {}
        _check_writable(self.folder)
        _remove_parts(self.folder)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def introduce(self, fingerprint: str, ingredients: Mapping[str, str]) -> None:
        """Note what a fingerprint was made of, so that a later run can say what has changed.

        Where nothing is known of this fingerprint but answers of the same model and adapter are
        there, a warning names the ingredients that differ.
        """
        home = self._home(fingerprint)
        note = home / "variant.json"
        if note.exists():
            return
        others = [] if home.exists() else self._relatives(ingredients)
        if others:
            nearest = min(others, key=lambda other: len(_differences(other, ingredients)))
            changed = "; ".join(_differences(nearest, ingredients)) or "weights or files changed"
            self.warnings.append(
                f"earlier answers of {_title(ingredients)} are not reused: {changed}."
            )
        with _translated(home):
            _replace(note, json.dumps(dict(ingredients), indent=1))

    def lookup(self, fingerprint: str, requests: Sequence[Request]) -> dict[str, Response]:
        """Return the remembered answers, by request id; what is not known is left out."""
        index = self._index(fingerprint)
        found: dict[str, Response] = {}
        for request in requests:
            response = index.answers.get(key_of(fingerprint, request))
            if response is not None:
                found[request.id] = replace(response, request_id=request.id)
        self.n_reused += len(found)
        if len(found) < len(requests):  # a loss that nobody misses is not worth a sentence
            self.warnings += index.losses
            index.losses = []
            self.warnings += _other_decodings(
                index, [request for request in requests if request.id not in found], requests
            )
        return found

    def record(self, fingerprint: str, request: Request, response: Response) -> None:
        """Remember an answer; one with a problem is no answer and is asked again next time.

        Raises
        ------
        BackendError
            The disk is full or went away. What was recorded before stays valid.
        """
        if response.problem is not None:
            return
        key = key_of(fingerprint, request)
        line = _line(key, fingerprint, request, response)
        with _translated(self._home(fingerprint)):
            self._write(fingerprint, line)
        if fingerprint in self._indexes:
            self._indexes[fingerprint].answers[key] = response

    def plans(
        self, fingerprint: str, requests: Sequence[Request], known: Collection[str]
    ) -> list[list[Request]]:
        """Return what the backend shall plan over together: all that was unknown when first asked.

        What is computed together decides the last bits of a number. A run that was cut off, or
        whose answers were damaged since, must therefore go on with the plan that it began with, not
        with a plan over the rest: what was known at the beginning is kept on disk. An answer that
        was known then and is lost now had other company, which nobody remembers: such are asked in
        a plan of their own, and a warning says what that may change.

        Parameters
        ----------
        requests : sequence of Request
            All distinct requests, in the order of asking.
        known : collection of str
            Ids of those that are answered now.
        """
        if all(request.id in known for request in requests):
            return []
        path = self._plan_path(fingerprint, requests)
        known_before = self._read_plan(path, len(requests))
        if known_before is None:
            known_before = {n for n, request in enumerate(requests) if request.id in known}
            with _translated(path):
                _replace(path, json.dumps(sorted(known_before)))
        planned = [request for n, request in enumerate(requests) if n not in known_before]
        lost = [requests[n] for n in sorted(known_before) if requests[n].id not in known]
        if lost:
            self.warnings.append(
                f"{_count(len(lost), 'answer', 'answers')} of an earlier run can no longer be read "
                f"and {_were(len(lost))} asked again in other company: {LAST_BITS}."
            )
        return [each for each in (planned, lost) if any(one.id not in known for one in each)]

    def _read_plan(self, path: Path, n_requests: int) -> set[int] | None:
        """Positions that were known when the plan began; None if there is none that can be read."""
        try:
            positions = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            positions = None
        if isinstance(positions, list) and all(
            isinstance(one, int) and 0 <= one < n_requests for one in positions
        ):
            return set(positions)
        self.warnings.append(
            f"{path}: what was computed together before can no longer be read: for what is asked "
            f"again, {LAST_BITS}."
        )
        return None

    def _plan_path(self, fingerprint: str, requests: Sequence[Request]) -> Path:
        keys = [key_of(fingerprint, request) for request in requests]
        return self._home(fingerprint) / "plans" / f"{_hash(keys)[:32]}.json"

    def flush(self) -> None:
        """Have everything written to the disk."""
        for fingerprint, shard in self._shards.items():
            with _translated(self._home(fingerprint)):
                shard.sync()

    def close(self) -> None:
        """Flush and let go of the files."""
        try:
            self.flush()
        finally:
            for shard in self._shards.values():
                shard.close()
            self._shards.clear()

    def _home(self, fingerprint: str) -> Path:
        is_plain = fingerprint.isascii() and fingerprint.isalnum()
        return self.folder / (fingerprint if is_plain else _hash(fingerprint))[:16]

    def _write(self, fingerprint: str, line: bytes) -> None:
        shard = self._shards.get(fingerprint)
        if shard is None:
            shard = self._shards[fingerprint] = _Shard(self._home(fingerprint))
        try:
            shard.write(line)
        except OSError:
            # The line may stand there in part: nothing may follow it in this file.
            del self._shards[fingerprint]
            shard.close()
            raise

    def _index(self, fingerprint: str) -> _Index:
        if fingerprint not in self._indexes:
            index = _Index()
            home = self._home(fingerprint)
            with _translated(home):
                _read_shards(home, fingerprint, index)
            self._indexes[fingerprint] = index
        return self._indexes[fingerprint]

    def _relatives(self, ingredients: Mapping[str, str]) -> list[dict[str, str]]:
        """Return the notes of other variants that are the same model and adapter by name."""
        notes = (_read_note(path) for path in sorted(self.folder.glob("*/variant.json")))
        return [note for note in notes if note and _title(note) == _title(ingredients)]


def _read_shards(home: Path, fingerprint: str, index: _Index) -> None:
    for path in sorted(home.glob("*.jsonl")):
        with path.open("rb") as lines:
            _read_shard(path, lines, fingerprint, index)


def _read_shard(path: Path, lines: Iterable[bytes], fingerprint: str, index: _Index) -> None:
    damaged: list[int] = []
    versions: Counter[object] = Counter()
    is_cut = False
    for number, line in enumerate(lines, 1):
        content = _content(line)
        if not line.endswith(b"\n"):
            is_cut = True
        elif content is None:
            damaged.append(number)
        elif content.get("version") != VERSION:
            versions[content.get("version")] += 1
        elif content.get("fingerprint") == fingerprint:
            _remember(index, content)
    index.losses += _losses(path, damaged, versions, is_cut=is_cut)


def _losses(
    path: Path, damaged: Sequence[int], versions: Mapping[object, int], *, is_cut: bool
) -> list[str]:
    found = []
    if is_cut:
        found.append(f"{path}: 1 answer was cut off while it was written; it is asked again.")
    if damaged:
        shown = ", ".join(map(str, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
        found.append(
            f"{path}: {_count(len(damaged), 'damaged line is', 'damaged lines are')} left alone "
            f"(line {shown}); what stood there is asked again."
        )
    found += [
        f"{path}: {_count(count, 'answer', 'answers')} of version {version} cannot be reused in "
        f"version {VERSION} and will be asked again."
        for version, count in versions.items()
    ]
    return found


def _line(key: str, fingerprint: str, request: Request, response: Response) -> bytes:
    asked = content_of(request)
    answer = {
        one.name: getattr(response, one.name)
        for one in fields(response)
        if one.name not in _NOT_STORED and not _is_default(response, one.name)
    }
    if "completions" in answer:
        answer["completions"] = [
            [c.text, c.n_tokens, c.finish_reason] for c in response.completions
        ]
    content = {
        "version": VERSION,
        "key": key,
        "fingerprint": fingerprint,
        "prompt": _hash(asked["prompt"]),
        "asked": _hash([asked["continuation"], asked["decoding"], asked["with_token_logprobs"]]),
        "decoding": asked["decoding"],
        "answer": answer,
    }
    # nan and infinity are no answers: better to stop here than to store what JSON cannot say.
    body = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _is_default(response: Response, name: str) -> bool:
    """Can a field be left out? -0.0 equals 0.0 and is another answer, bit for bit."""
    value, usual = getattr(response, name), _DEFAULTS[name]
    return bool(value == usual and str(value) == str(usual))


def _content(line: bytes) -> dict[str, Any] | None:
    """Return what a line holds, None if it is not what was written."""
    crc, _, body = line[:-1].partition(b" ")
    if crc != b"%08x" % zlib.crc32(body):
        return None
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _remember(index: _Index, content: Mapping[str, Any]) -> None:
    answer = dict(content["answer"])
    if "completions" in answer:
        answer["completions"] = tuple(Completion(*one) for one in answer["completions"])
    if answer.get("token_logprobs") is not None:
        answer["token_logprobs"] = tuple(answer["token_logprobs"])
    index.answers[content["key"]] = Response(request_id="", **answer)
    if content["decoding"] is not None:
        index.decodings[content["prompt"]] = content["decoding"]


def _other_decodings(
    index: _Index, missing: Sequence[Request], requests: Sequence[Request]
) -> list[str]:
    """Say which prompts had completions that were drawn with settings that nobody asks for now."""
    if not index.decodings:
        return []
    wanted = [_as_plain(one) for one in {request.decoding for request in requests} if one]
    changes: Counter[str] = Counter()
    for request in missing:
        before = index.decodings.get(_hash(content_of(request)["prompt"]))
        if request.decoding is not None and before is not None and before not in wanted:
            now = _as_plain(request.decoding)
            differing = (name for name in now if now[name] != before.get(name))
            changes[
                ", ".join(
                    f"{name} {json.dumps(before.get(name))} instead of {json.dumps(now[name])}"
                    for name in differing
                )
            ] += 1
    return [
        f"{_count(n, 'prompt was', 'prompts were')} answered before with {change}: asked again."
        for change, n in sorted(changes.items())
    ]


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _were(n: int) -> str:
    return "was" if n == 1 else "were"


def _title(ingredients: Mapping[str, str]) -> str:
    adapter = ingredients.get("adapter")
    return f'"{ingredients.get("model")}"' + (f' with adapter "{adapter}"' if adapter else "")


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f'{name} is "{now[name]}", was "{before[name]}"'
        for name in now
        if name in before and now[name] != before[name]
    ]


def _read_note(path: Path) -> dict[str, str] | None:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it only serves a message
        return None
    return note if isinstance(note, dict) else None


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _remove_parts(folder: Path) -> None:
    """Remove what killed processes left half-written; others may be writing now."""
    for path in (
        *folder.glob("*/*.part"),
        *folder.glob("*/plans/*.part"),
        *folder.glob(".probe-*"),
    ):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LONGEST_WRITE_SECONDS:
                path.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # folders cannot be opened elsewhere
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_writable(folder: Path) -> None:
    probe = folder / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"tuneval")
        probe.unlink()
    except OSError as error:
        raise ConfigError(_unwritable(folder, error)) from error


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Let what the operating system refuses leave as an error that says where and what to do."""
    try:
        yield
    except OSError as error:
        raise BackendError(_unwritable(path, error)) from error


def _unwritable(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        remedy = (
            "Answers recorded so far are safe. Free some space (a hundred thousand answers take "
            "about 50 MB), or set TUNEVAL_HOME to another folder, and give the same command again."
        )
    else:
        remedy = "Set TUNEVAL_HOME to a folder that can be written."
    reason = error.strerror or str(error)
    return f'the journal of answers cannot be used at "{path}": {reason}.\n{remedy}'
