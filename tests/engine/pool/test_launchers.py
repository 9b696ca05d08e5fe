"""The seam of the pool: whoever starts workers and carries their lines, the pool is the same."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from engine.pool.scripts import script
from engine.pool.test_pool import BASE, LORA, REQUESTS, answers, expected
from tuneval.engine.pool.actor import Demand, Desk, Outlet
from tuneval.engine.pool.backend import Inner, PoolBackend
from tuneval.engine.pool.cluster import pool, room
from tuneval.engine.pool.member import Launcher, Link, Member, Said, Seat
from tuneval.engine.pool.process import Processes, seats
from tuneval.engine.scripted import ScriptedBackend
from tuneval.errors import BackendUnavailable, ConfigError, VariantError

Change = Callable[[dict[str, Any]], dict[str, Any] | None]
"""What becomes of a message on its way to the driver; None: it never comes."""


class DeskLink:
    """The end of an actor in this process, without Ray: the desk's two methods carry all lines."""

    def __init__(self, change: Change) -> None:
        self.has_run = True
        self._desk = Desk(lambda: "node far-away")
        self._change = change
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._carry, daemon=True).start()

    def send(self, text: bytes) -> None:
        self._desk.tell(text)

    def receive(self) -> Iterator[bytes]:
        while text := self._lines.get():
            yield text

    def kill(self) -> None:
        self._lines.put(b"")

    def how_it_ended(self) -> str:
        return "its node is gone"

    def close(self) -> None:
        pass

    def _carry(self) -> None:
        while text := self._desk.hear():
            for line in text.splitlines(keepends=True):
                changed = self._change(json.loads(line))
                if changed is not None:
                    self._lines.put(json.dumps(changed).encode() + b"\n")
        self._lines.put(b"")


class Desks:
    """Starts desks; ``changes`` are those of the first seats."""

    start_seconds = 30.0

    def __init__(self, n: int, *changes: Change) -> None:
        self.changes = changes
        self.started: list[DeskLink] = []
        self._n = n

    def seats(self) -> Sequence[Seat]:
        return [Seat(number) for number in range(self._n)]

    def start(self, seat: Seat) -> DeskLink:
        change = dict(enumerate(self.changes)).get(seat.number, lambda message: message)
        self.started.append(DeskLink(change))
        return self.started[-1]

    def advice(self) -> str:
        return "Ask for less."

    def close(self) -> None:
        pass


LAUNCHERS: dict[str, Callable[[int], Launcher]] = {
    "processes": lambda n: Processes(seats(n)),
    "desks": Desks,
}


@contextmanager
def made(launcher: Launcher, **options: Any) -> Iterator[PoolBackend]:
    backend = PoolBackend(
        Inner("engine.pool.scripts:Faulty", options), launcher, lambda: ScriptedBackend(script)
    )
    try:
        yield backend
    finally:
        backend.close()


@pytest.mark.parametrize("name", LAUNCHERS)
@pytest.mark.parametrize("n", [1, 3])
def test_the_same_answers_however_workers_are_started(name: str, n: int) -> None:
    with made(LAUNCHERS[name](n)) as backend:
        assert answers(backend) == expected()
        assert answers(backend, LORA) == expected(LORA)
        assert len(backend.pids) == n
    with made(LAUNCHERS[name](n)) as backend:
        backend.prepare([BASE])
        backend.close()
        assert answers(backend) == expected(), "a pool that was closed starts again"


@pytest.mark.fault
@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_worker_that_is_ended_is_replaced_however_it_was_started(name: str) -> None:
    with made(LAUNCHERS[name](2), seconds=0.01) as backend:
        found = {}
        for number, one in enumerate(backend.answer(BASE, REQUESTS)):
            found[one.request_id] = replace(one, seconds=0.0)
            if number in (5, 25):
                list(backend._members.values())[number % 2].kill()
        assert found == expected()


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_link_carries_lines_both_ways_and_ends_in_words(name: str) -> None:
    link: Link = LAUNCHERS[name](1).start(Seat(0))
    heard: queue.SimpleQueue[Said] = queue.SimpleQueue()
    member = Member(Seat(0), link, heard)
    assert heard.get(timeout=30)[1]["is"] == "here"
    member.send({"do": "build", "place": "engine.pool.scripts:Faulty", "options": {}})
    assert heard.get(timeout=30)[1] == {"is": "built", "card": "cpu"}
    member.kill()
    member.kill()
    assert heard.get(timeout=30)[1] == {"is": "ended"}
    assert member.how_it_ended().startswith(("killed by signal 9", "its node is gone"))
    member.part(at_once=True)


# ---- workers that do not come, or are others --------------------------------------------------------


def silence(message: dict[str, Any]) -> None:
    """As an actor that no node has room for."""


def with_greeting(**parts: Any) -> Change:
    def change(message: dict[str, Any]) -> dict[str, Any]:
        if message["is"] != "here":
            return message
        own = dict(parts)
        versions = {**message["versions"], **own.pop("versions", {})}
        return {**message, **own, "versions": versions}

    return change


@pytest.mark.fault
def test_those_that_came_go_on_without_the_others_and_say_so() -> None:
    launcher = Desks(3, silence)
    launcher.start_seconds = 0.5
    with made(launcher) as backend:
        assert answers(backend) == expected()
        assert len(backend.pids) == 2
        assert backend.notes == (
            "1 of 3 workers did not start within 0.5 s, and the others went on without. Ask for less.",
        )
        assert answers(backend, LORA) == expected(LORA)
        assert len(launcher.started) == 3, "what did not come is not asked for again"


@pytest.mark.fault
class Lost(DeskLink):
    """An actor whose node is gone before it began; its place is given again and again."""

    def __init__(self) -> None:
        super().__init__(silence)
        self.has_run = False

    def receive(self) -> Iterator[bytes]:
        time.sleep(0.02)
        yield from ()


@pytest.mark.fault
def test_a_place_that_is_lost_is_asked_for_again_as_long_as_workers_are_waited_for() -> None:
    class Dying(Desks):
        n_lost = 0

        def start(self, seat: Seat) -> DeskLink:
            if seat.number:
                return super().start(seat)
            self.n_lost += 1
            return Lost()

    launcher = Dying(2)
    launcher.start_seconds = 1.5
    with made(launcher, seconds=0.03) as backend:
        assert answers(backend) == expected()
        assert launcher.n_lost > 3, "more often than workers may fail"
        assert "1 of 2 workers did not start within 1.5 s" in backend.notes[0]


@pytest.mark.fault
def test_where_nobody_comes_the_wait_has_an_end() -> None:
    launcher = Desks(2, silence, silence)
    launcher.start_seconds = 0.5
    with (
        made(launcher) as backend,
        pytest.raises(BackendUnavailable, match="2 of 2 workers did not start within") as one,
    ):
        backend.prepare([BASE])
    assert "Ask for less." in str(one.value)


@pytest.mark.fault
@pytest.mark.parametrize("package", ["torch", "Python", "tuneval"])
def test_a_worker_with_other_versions_is_refused_and_both_are_named(package: str) -> None:
    launcher = Desks(2, with_greeting(versions={package: "0.1"}))
    with (
        made(launcher) as backend,
        pytest.raises(BackendUnavailable, match=f"{package} 0.1 where this process has") as one,
    ):
        backend.prepare([BASE])
    assert "a worker on node far-away" in str(one.value)


def test_a_worker_that_has_to_wait_for_others_is_told() -> None:
    with made(Desks(2, with_greeting(niceness=19))) as backend:
        backend.prepare([BASE])
        assert backend.notes == (
            "Workers on node far-away run at niceness 19: other processes there go before them, and "
            "they may be slow.",
        )


@pytest.mark.fault
def test_a_folder_that_a_node_lacks_is_told_with_the_node() -> None:
    with (
        made(Desks(2), lacking="small") as backend,
        pytest.raises(VariantError, match='on node far-away: there is no folder "small"') as one,
    ):
        backend.prepare([BASE])
    assert "Every node has to find the folders" in str(one.value)


def test_an_outlet_gives_everything_once_and_in_order() -> None:
    outlet = Outlet()
    outlet.write(b"a\n")
    outlet.write(b"b\n")
    assert outlet.take() == b"a\nb\n"
    threading.Timer(0.05, outlet.write, [b"c\n"]).start()
    assert outlet.take() == b"c\n", "it waits for the first"
    outlet.close()
    assert outlet.take() == b""
    outlet.write(b"d\n")
    assert outlet.take() == b"", "nothing comes after its end"


@pytest.mark.parametrize(
    ("demand", "text"),
    [
        (Demand(2), "2 CPU"),
        (Demand(0.5, 1.0), "0.5 CPU and 1 GPU"),
        (Demand(1, 0.0, 3 << 30), "1 CPU and 3.0 GiB"),
    ],
)
def test_what_is_asked_of_a_node_is_said_in_words(demand: Demand, text: str) -> None:
    assert str(demand) == text


@pytest.mark.parametrize(
    ("node", "demand", "n"),
    [
        ({"CPU": 8.0, "GPU": 2.0}, Demand(1, 1.0), 2),
        ({"CPU": 8.0, "GPU": 2.0}, Demand(1, 0.5), 4),
        ({"CPU": 8.0, "memory": 5e9}, Demand(1, 0.0, 2 * 10**9), 2),
        ({"CPU": 8.0}, Demand(1, 1.0), 0),
        ({"memory": 5e9}, Demand(1), 0),
    ],
)
def test_a_node_has_room_for_as_many_as_its_scarcest_resource(
    node: dict[str, float], demand: Demand, n: int
) -> None:
    assert room(node, demand) == n


def test_one_device_for_all_workers_of_a_cluster_is_refused() -> None:
    with pytest.raises(ConfigError, match="Ray gives each worker a card of its own"):
        pool({"device": "cuda:1"})
