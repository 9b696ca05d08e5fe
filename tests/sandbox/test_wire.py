"""Values that cross between program and grader arrive as they left; nothing else gets through."""

from __future__ import annotations

import collections
import enum
import itertools
import json
import math
import os
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneval.sandbox.inside import wire


class Colour(enum.IntEnum):
    RED = 1


class Shout(str):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


Point = collections.namedtuple("Point", "x y")


def _refuse(value: Any) -> Any:
    raise wire.Unsendable(f"a {type(value).__name__}")


def _across(value: Any) -> Any:
    raw = json.loads(json.dumps(wire.Encoder(_refuse).encode(value)))
    return wire.Decoder(_refuse).decode(raw)


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one.hex() == other.hex()
    if isinstance(one, complex):
        return _is_same(one.real, other.real) and _is_same(one.imag, other.imag)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict):
        return _is_same(list(one.items()), list(other.items()))
    return bool(one == other)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=1 << 52, max_value=1 << 300)
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
)
HASHABLE = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(HASHABLE, inner)
        | st.sets(HASHABLE)
        | st.frozensets(HASHABLE)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=60, database=None)
@given(VALUES)
def test_plain_values_arrive_as_they_left(value: Any) -> None:
    assert _is_same(value, _across(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (-0.0, -0.0),
        (math.inf, math.inf),
        (math.nan, math.nan),
        pytest.param(10**5000, 10**5000, id="5001 digits"),
        ("\ud800", "\ud800"),
        ("\ud83d\ude00", "\ud83d\ude00"),
        (bytearray(b"\0\xff"), bytearray(b"\0\xff")),
        (range(2, 9, 3), range(2, 9, 3)),
        (Decimal("1.10"), Decimal("1.10")),
        (Fraction(1, 3), Fraction(1, 3)),
        (Colour.RED, 1),
        (Shout("a"), "a"),
        (Point(1, 2), (1, 2)),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (np.float64(0.5), 0.5),
        (np.int32(7), 7),
    ],
)
def test_special_values(value: Any, expected: Any) -> None:
    assert _is_same(_across(value), expected)


@pytest.mark.parametrize("make", [lambda: (n for n in range(3)), lambda: map(abs, (0, 1, 2))])
def test_iterators_arrive_as_iterators(make: Any) -> None:
    found = _across(make())
    assert iter(found) is found
    assert list(found) == [0, 1, 2]


def test_views_of_dictionaries() -> None:
    source = {"a": 1, "b": 2}
    assert _across(source.keys()) == {"a", "b"}
    assert sorted(_across(source.values())) == [1, 2]
    assert _across(source.items()) == {("a", 1), ("b", 2)}


def _cycle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (_cycle(), "containing itself"),
        (itertools.count(), "more than 100000 items"),
        (object(), "a object"),
    ],
)
def test_what_cannot_cross(value: Any, message: str) -> None:
    with pytest.raises(wire.Unsendable, match=message):
        wire.Encoder(_refuse).encode(value)


@pytest.mark.parametrize(
    "raw",
    [
        {"f": "x"},
        {"i": 1},
        {"q": [1, 0]},
        {"s": [[1]]},
        {"r": [0, 1, 0]},
        {"nope": 1},
        {"t": 3},
        {"d": [[1]]},
        {"d": [[[1], 2]]},
        {"D": "x"},
        {"a": 1, "b": 2},
        {},
        {"u": "zz"},
        {"c": []},
        {"o": "x"},
        {"u": "00"},
    ],
)
def test_malformed_values_are_refused(raw: Any) -> None:
    with pytest.raises(wire.WireError):
        wire.Decoder(lambda number: None).decode(raw)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b'{"a":1}{}',
        b'{"a":1.5}',
        b'{"a":NaN}',
        b'{"a":' + b"[" * 10**5,
        b'{"a":' + b"9" * 5000 + b"}",
        b"\xff",
    ],
)
def test_malformed_frames_are_refused(body: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.parse(body)


def test_frames_over_a_pipe() -> None:
    reader, writer = os.pipe()
    wire.write_frame(writer, {"a": ["é", None, True]})
    assert wire.read_frame(reader) == {"a": ["é", None, True]}
    os.write(writer, b"\0\0\0\x09{")
    os.close(writer)
    with pytest.raises(EOFError):
        wire.read_frame(reader)
    os.close(reader)


def test_oversized_frames_are_refused_before_they_are_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, (wire.MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(wire.WireError, match="frame of 33554433 bytes"):
        wire.read_frame(reader)
    os.close(reader)
    os.close(writer)


def test_arguments_are_updated_in_place() -> None:
    inner = [3]
    old: dict[str, Any] = {"a": [1, inner], "b": {1}}
    outer, numbers = old["a"], old["b"]
    wire.update_in_place(old, {"a": [2, [4, 5], 6], "b": {7}, "c": 8})
    assert old == {"a": [2, [4, 5], 6], "b": {7}, "c": 8}
    assert old["a"] is outer
    assert outer[1] is inner
    assert old["b"] is numbers
