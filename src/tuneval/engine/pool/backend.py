"""A backend made of worker processes: the same answers, to the last bit, for any number of them.

Requests are cut into units that hang on the requests alone; a worker answers one unit at a time.
Workers may die: their unit is asked again with what is known of it. Not for: how workers are started
(``process.py``, ``actor.py``).
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tuneval import errors
from tuneval.engine import Backend
from tuneval.engine.pool import units, wire
from tuneval.engine.pool.member import ENDED, Launcher, Member, Said, Seat
from tuneval.engine.pool.worker import greeting
from tuneval.errors import BackendError, BackendUnavailable
from tuneval.types import Request, Response, ShownPrompt, Variant, VariantFacts

MOST_DEATHS = 3
"""Workers that a unit may end; then it is cut in two, and each part may end one more."""
MOST_FAILED_STARTS = 3
SILENT_SECONDS = 60.0
"""A worker that is busy beats twice a second; one that does not for so long is stopped or hangs."""
_TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Inner:
    """The backend of every worker: "module:name", and its options as JSON has them.

    ``hashes`` gives what the driver has hashed of the variants' files, so that it is done once.
    """

    place: str
    options: Mapping[str, Any]
    hashes: Callable[[Sequence[Variant]], list[list[Any]]] | None = None


@dataclass(slots=True)
class _Unit:
    """Requests under way. ``deaths_left`` more workers may end over it."""

    number: int
    requests: tuple[Request, ...]
    deaths_left: int = MOST_DEATHS
    deaths: list[str] = field(default_factory=list)


class PoolBackend:
    """Answers through workers.

    Parameters
    ----------
    inner : Inner
        What each worker is.
    launcher : Launcher
        Starts workers, and knows where they may sit.
    shows : callable
        Makes the backend that shows prompts here; it loads no weights.
    allow_unlike_cards : bool
        Workers may compute on cards of other kinds, whose numbers differ.
    silent_seconds : float
        A worker that does not beat for so long is ended, and its unit asked again.
    """

    def __init__(
        self,
        inner: Inner,
        launcher: Launcher,
        shows: Callable[[], Backend],
        *,
        allow_unlike_cards: bool = False,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._inner = inner
        self._launcher = launcher
        self._seats: list[Seat] | None = None
        self._shows = shows
        self._allow_unlike_cards = allow_unlike_cards
        self._silent_seconds = silent_seconds
        self._heard: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._members: dict[Seat, Member] = {}
        self._variants: list[Variant] = []
        self._hashes: list[list[Any]] = []
        self._facts: dict[str, VariantFacts] = {}
        self._ingredients: dict[str, Mapping[str, str]] = {}
        self._shown_by: Backend | None = None
        self._failed_starts = 0
        self._n_late = 0
        self._notes: dict[str, str] = {}
        self._own = greeting()

    @property
    def notes(self) -> tuple[str, ...]:
        """What befell the workers and the reader of the numbers may want to know."""
        return tuple(self._notes.values())

    @property
    def pids(self) -> list[int]:
        """Of the workers' processes that live now and have come."""
        return [one.pid for one in self._members.values() if one.has_come]

    def prepare(self, variants: Sequence[Variant]) -> Mapping[str, VariantFacts]:
        """Have every worker prove every variant, and hold their findings against one another.

        Raises
        ------
        BackendError
            Workers find other weights, compute on unlike cards, or do not start.
        """
        new = [variant for variant in variants if variant not in self._variants]
        if new:
            self._variants += new
            try:
                self._prove(new)
            except (
                BaseException
            ):  # also an interrupt: what was not proved is no variant of the pool
                self._variants = [one for one in self._variants if one not in new]
                self._part(at_once=True)
                raise
        return {variant.name: self._facts[variant.name] for variant in variants}

    def answer(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str] = frozenset()
    ) -> Iterator[Response]:
        """Answer unit by unit, the dearest first; each request exactly once."""
        self.prepare([variant])
        self._start()
        work = _Work(variant, requests, known)
        try:
            while not work.is_done:
                for member in self._members.values():
                    if member.is_ready and member not in work.under_way and work.waiting:
                        self._hand_out(work, member)
                found: list[Response] = []
                self._step(work, found, work.give_up)
                yield from found
        except BaseException:  # what is under way is nobody's any more
            self._part(at_once=True)
            raise

    def shown(self, variant: Variant, requests: Sequence[Request]) -> Sequence[ShownPrompt]:
        """The exact text of every request; read here, without a worker."""
        if self._shown_by is None:
            self._shown_by = self._shows()
        return self._shown_by.shown(variant, requests)

    def fingerprint(self, variant: Variant) -> str:
        """What every worker found."""
        self.prepare([variant])
        return self._facts[variant.name].fingerprint

    def ingredients(self, variant: Variant) -> Mapping[str, str]:
        """Name what the fingerprint was made of."""
        self.prepare([variant])
        return self._ingredients.get(variant.name, {})

    def close(self) -> None:
        """Let the workers end; those that do not at once are ended."""
        self._part(at_once=False)
        if self._seats is not None:
            self._launcher.close()
            self._seats = None
            self._n_late = 0
        self._variants.clear()
        if self._shown_by is not None:
            self._shown_by.close()
            self._shown_by = None

    def _prove(self, new: Sequence[Variant]) -> None:
        """Have workers prepare, and wait until all of them have."""
        self._start(is_told=False)
        if self._inner.hashes is not None:
            self._hashes += self._inner.hashes(new)
        for member in self._members.values():
            self._have_prepared(member)
        while not all(one.is_ready for one in self._members.values()):
            self._step(None, [], None)

    # ---- workers ---------------------------------------------------------------------------------

    def _start(self, *, is_told: bool = True) -> None:
        """Start a worker on every free seat, and tell it what to prepare."""
        if self._seats is None:
            self._seats = list(self._launcher.seats())
        for seat in self._seats:
            if seat not in self._members:
                member = self._members[seat] = Member(seat, self._launcher.start(seat), self._heard)
                member.send(
                    {"do": "build", "place": self._inner.place, "options": {**self._inner.options}}
                )
                if is_told:
                    self._have_prepared(member)

    def _have_prepared(self, member: Member) -> None:
        member.is_ready = False
        variants = [asdict(one) for one in self._variants]
        member.send({"do": "prepare", "variants": variants, "hashes": self._hashes})

    def _part(self, *, at_once: bool) -> None:
        members, self._members = list(self._members.values()), {}
        for member in members:  # all are told before any is waited for
            if at_once:
                member.kill()
            else:
                member.send({"do": "stop"})
        for member in members:
            member.part(at_once=at_once)

    def _hand_out(self, work: _Work, member: Member) -> None:
        unit = work.waiting.popleft()
        work.under_way[member] = unit
        member.send(
            {
                "do": "answer",
                "unit": unit.number,
                "variant": asdict(work.variant),
                "requests": wire.requests_to_plain(unit.requests),
                "known": [one.id for one in unit.requests if one.id in work.known],
            }
        )

    def _step(
        self,
        work: _Work | None,
        found: list[Response],
        give_up: Callable[[_Unit, str], list[Response]] | None,
    ) -> None:
        """Hear one message, or notice that a worker is silent or does not come."""
        self._end_silent()
        self._give_up_late()
        try:
            member, message = self._heard.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return
        if self._members.get(member.seat) is not member:
            return  # of one that was replaced
        kind = message["is"]
        if kind == "here":
            self._greet(member, message)
        elif kind == "built":
            self._take_card(member, message["card"])
        elif kind == "prepared":
            self._take_facts(member, message)
        elif kind == "response" and work is not None:
            found += work.take(wire.response_of(message["response"]))
        elif kind == "done" and work is not None:
            found += work.finish(work.under_way.pop(member))
        elif kind == "memory":
            member.end(f"out of memory: {message['text']}")
        elif kind == "error":
            raise _error_of(message, member.place)
        elif kind == "bug":
            place = f" on {member.place}" if member.place else ""
            raise RuntimeError(f"in a worker{place}:\n{message['text']}")
        elif message is ENDED:
            self._replace(member, work, found, give_up)

    def _end_silent(self) -> None:
        now = time.monotonic()
        for member in self._members.values():
            if member.has_come and now - member.last_heard > self._silent_seconds:
                member.end(f"silent for {self._silent_seconds:g} s, and ended")
                member.last_heard = now

    def _give_up_late(self) -> None:
        """Go on without workers that do not come, as long as there are others."""
        assert self._seats is not None
        limit = self._launcher.start_seconds
        now = time.monotonic()
        late = [
            one
            for one in self._members.values()
            if not one.has_come and now - one.last_heard > limit
        ]
        if not late:
            return
        advice = self._launcher.advice()
        for member in late:  # all are told before any is waited for
            del self._members[member.seat]
            self._seats.remove(member.seat)
            member.kill()
        for member in late:
            member.part(at_once=True)
        self._n_late += len(late)
        n_asked = self._n_late + len(self._seats)
        told = f"{self._n_late} of {n_asked} workers did not start within {limit:g} s"
        if not self._seats:
            raise BackendUnavailable(f"{told}.\n{advice}")
        self._notes["late"] = f"{told}, and the others went on without. {advice}"

    def _greet(self, member: Member, message: Mapping[str, Any]) -> None:
        """Take in who has come, unless its packages are others than the driver's."""
        member.pid, member.place, member.has_come = message["pid"], message["place"], True
        unlike = [
            f"{name} {message['versions'].get(name, 'absent')} where this process has {version}"
            for name, version in self._own["versions"].items()
            if message["versions"].get(name) != version
        ]
        if unlike:
            raise BackendUnavailable(
                f"a worker on {member.place} has {', '.join(unlike)}, and so may have other "
                "numbers.\nInstall the same versions on every node."
            )
        if message["niceness"] > self._own["niceness"]:
            self._notes[member.place] = (
                f"Workers on {member.place} run at niceness {message['niceness']}: other processes "
                "there go before them, and they may be slow."
            )

    def _replace(
        self,
        member: Member,
        work: _Work | None,
        found: list[Response],
        give_up: Callable[[_Unit, str], list[Response]] | None,
    ) -> None:
        """Let another worker take the seat of one that ended; its unit waits for the next."""
        how = member.how_it_ended()
        unit = work.under_way.pop(member, None) if work is not None else None
        if unit is not None and give_up is not None:
            found += give_up(unit, how)
        elif not member.is_ready and member.has_run:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise BackendUnavailable(
                    f"{self._failed_starts} workers ended before they could answer (the last one: "
                    f"{how}).\n{self._launcher.advice()}"
                )
        del self._members[member.seat]
        member.part(at_once=True)
        self._start()
        if not member.has_come:  # the wait for this seat goes on, and does not begin again
            self._members[member.seat].last_heard = member.last_heard

    def _take_card(self, member: Member, card: str) -> None:
        member.card = card
        cards = {one.card for one in self._members.values() if one.card}
        if len(cards) > 1 and not self._allow_unlike_cards:
            raise BackendUnavailable(
                f"the workers' cards are unlike ({', '.join(sorted(cards))}), and so are their "
                "numbers.\nChoose like ones with CUDA_VISIBLE_DEVICES, or set "
                "backend.allow_unlike_cards: true in run.yaml."
            )

    def _take_facts(self, member: Member, message: Mapping[str, Any]) -> None:
        for name, plain in message["facts"].items():
            facts = wire.facts_of(plain)
            ingredients = message["ingredients"].get(name, {})
            first = self._facts.setdefault(name, facts)
            known = self._ingredients.setdefault(name, ingredients)
            if facts.fingerprint != first.fingerprint:
                unlike = [
                    f'{key} is "{ingredients.get(key)}" and "{known[key]}"'
                    for key in known
                    if ingredients.get(key) != known[key]
                ]
                raise BackendError(
                    f'variant "{name}": two workers found different things to answer with '
                    f"({'; '.join(unlike) or 'weights or files changed'}).\nDid a file change "
                    "meanwhile? Give the same command again."
                )
        member.is_ready = set(message["facts"]) >= {one.name for one in self._variants}
        self._failed_starts = 0


class _Work:
    """One call of ``answer``: units that wait, those under way, what is known by now."""

    def __init__(
        self, variant: Variant, requests: Sequence[Request], known: Collection[str]
    ) -> None:
        self.variant = variant
        self.known = set(known)
        self.under_way: dict[Member, _Unit] = {}
        cut = units.cut(requests)
        self.waiting = deque(
            _Unit(number, unit.requests)
            for number, unit in enumerate(cut)
            if any(one.id not in self.known for one in unit.requests)
        )
        self._n_units = len(cut)

    @property
    def is_done(self) -> bool:
        return not self.waiting and not self.under_way

    def take(self, response: Response) -> list[Response]:
        """A response, unless it was heard before its worker ended."""
        if response.request_id in self.known:
            return []
        self.known.add(response.request_id)
        return [response]

    def finish(self, unit: _Unit) -> list[Response]:
        """Nothing more, as long as the worker kept its contract."""
        missing = [one.id for one in unit.requests if one.id not in self.known]
        if missing:
            raise BackendError(
                f'variant "{self.variant.name}": a worker left {len(missing)} of '
                f'{len(unit.requests)} requests without an answer (first: "{missing[0]}").'
            )
        return []

    def give_up(self, unit: _Unit, how: str) -> list[Response]:
        """Have the unit of a dead worker asked again, in parts if it ended too many.

        Its parts are what is left of it: what came before the end is known. One request that is
        left alone and ends another worker is answered with a problem.
        """
        unit.deaths.append(how)
        unit.deaths_left -= 1
        if unit.deaths_left > 0:
            self.waiting.appendleft(unit)
            return []
        left = [one for one in unit.requests if one.id not in self.known]
        if len(left) == 1:
            (request,) = left
            self.known.add(request.id)
            problem = f"worker: it ended every worker that was asked it ({how})"
            return [Response(request.id, self.variant.name, problem=problem)]
        middle = len(left) // 2
        for part in (left[middle:], left[:middle]):
            if part:
                self._n_units += 1
                self.waiting.appendleft(
                    _Unit(self._n_units, tuple(part), deaths_left=1, deaths=unit.deaths)
                )
        return []


def _error_of(message: Mapping[str, Any], place: str) -> Exception:
    """The error that a worker raised, of the same class; on another machine it says where."""
    found = getattr(errors, message["kind"], BackendError)
    is_ours = isinstance(found, type) and issubclass(found, errors.TunevalError)
    kind = found if is_ours else BackendError
    text = f"on {place}: {message['text']}" if place else message["text"]
    if place and issubclass(kind, errors.VariantError):
        text += "\nEvery node has to find the folders of the models under the same path."
    return kind(text)
