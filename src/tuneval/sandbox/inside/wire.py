"""Plain values over a pipe: what a program answers crosses as JSON frames, never as objects.

Not for deciding anything. A frame is a 4-byte big-endian length and JSON; whoever reads one trusts
nothing in it.
"""

from __future__ import annotations

import itertools
import os
import sys

TYPE_CHECKING = False  # the typing module would cost each sandbox several milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

MAX_FRAME_BYTES = 32 << 20
MAX_DEPTH = 200
MAX_NODES = 2_000_000
MAX_ITEMS = 100_000
"""Items taken from a generator before it is given up."""
EXACT_INTEGER = 1 << 53
"""Integers beyond it cross as hexadecimal text: Python refuses decimal text of more than 4300
digits, and other readers of JSON round."""


class WireError(Exception):
    """A frame is malformed, too large or too deep."""


class Unsendable(Exception):
    """A value that cannot cross: too large, too deep, or containing itself."""


def write_frame(fd: int, content: dict[str, Any]) -> None:
    """Write one frame; ``Unsendable`` if it is over the size limit."""
    body = _dump(content).encode("ascii")
    if len(body) > MAX_FRAME_BYTES:
        raise Unsendable(f"{len(body)} bytes, more than {MAX_FRAME_BYTES}")
    view = memoryview(len(body).to_bytes(4, "big") + body)
    while view:
        view = view[os.write(fd, view) :]


def read_frame(fd: int) -> dict[str, Any]:
    """Read one frame.

    Raises
    ------
    EOFError
        The other side has closed the pipe, perhaps within a frame.
    WireError
        What came is not a frame.
    """
    size = int.from_bytes(_read_exactly(fd, 4), "big")
    if size > MAX_FRAME_BYTES:
        raise WireError(f"frame of {size} bytes")
    return parse(_read_exactly(fd, size))


def parse(body: bytes) -> dict[str, Any]:
    """Parse the body of a frame: a JSON object without JSON floats (they cross as hexadecimal)."""
    try:
        content = _load(body.decode("ascii"))
    except (ValueError, RecursionError, StopIteration) as error:
        raise WireError(f"not JSON: {type(error).__name__}") from None
    if type(content) is not dict:
        raise WireError("not an object")
    return content


def _refuse(text: str) -> Any:
    raise ValueError(text)


class _Rules:
    """How JSON is read: integers only, and nothing but plain objects."""

    strict, memo = True, dict[str, str]()
    object_hook = object_pairs_hook = None
    parse_int = int
    parse_float = parse_constant = staticmethod(_refuse)


def _codec() -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    """JSON text of a value, and back. By the C half of the json module where it is as we know it: the
    other half imports regular expressions, which costs each sandbox as much as starting Python."""
    try:
        import _json as c_half

        half: Any = c_half
        text = half.encode_basestring_ascii
        write = half.make_encoder(None, None, text, None, ":", ",", False, False, False)
        read = half.make_scanner(_Rules)
        if "".join(write({"a": [1, "é"]}, 0)) != '{"a":[1,"\\u00e9"]}' or read("[1]", 0) != (
            [1],
            3,
        ):
            raise ImportError
    except (ImportError, AttributeError, TypeError):
        import json

        return (
            lambda value: json.dumps(value, separators=(",", ":")),
            lambda text: json.loads(text, parse_float=_refuse, parse_constant=_refuse),
        )

    def load(text: str) -> Any:
        value, end = read(text, 0)
        if end != len(text):
            raise ValueError("more than one value")
        return value

    return (lambda value: "".join(write(value, 0))), load


_dump, _load = _codec()


def _read_exactly(fd: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Encoder:
    """Turn a value into what JSON holds.

    Subclasses of plain types are stripped to the base value by methods of the base class, so an
    overridden ``__eq__``, ``__len__`` or ``__iter__`` does not cross. ``opaque`` numbers what has no
    plain form (or raises ``Unsendable``).
    """

    def __init__(self, opaque: Callable[[Any], int]) -> None:
        self.opaque = opaque
        self.nodes = 0

    def encode(self, value: Any, depth: int = 0) -> Any:
        """Encode ``value``; raises ``Unsendable``."""
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise Unsendable("nested too deep or containing itself" if depth else "too large")
        kind = type(value)
        if value is None or kind is bool:
            return value
        for base in kind.__mro__:
            encode = _ENCODERS.get(base)
            if encode is not None:
                return encode(self, value, depth + 1)
        return self._encode_rare(value, kind, depth + 1)

    def encode_all(self, values: Iterable[Any], depth: int) -> list[Any]:
        """Encode each of ``values``."""
        return [self.encode(value, depth) for value in values]

    def _encode_rare(self, value: Any, kind: type, depth: int) -> Any:
        if _is_from(kind, "decimal", "Decimal"):
            return {"D": str(value)}
        if _is_from(kind, "fractions", "Fraction"):
            return {"q": self.encode_all((value.numerator, value.denominator), depth)}
        if kind.__module__ == "numpy" and getattr(value, "ndim", None) == 0:
            return self.encode(value.item(), depth)
        if kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__"):
            return {"g": self.encode_all(_exhaust(value), depth)}
        return {"o": self.opaque(value)}


def _is_from(kind: type, module: str, name: str) -> bool:
    """Is ``kind`` that class or below it? Without importing the module: if it is not loaded, no."""
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(base, type) and base in kind.__mro__


def _exhaust(iterator: Iterator[Any]) -> list[Any]:
    items = list(itertools.islice(iterator, MAX_ITEMS + 1))
    if len(items) > MAX_ITEMS:
        raise Unsendable(f"an iterator of more than {MAX_ITEMS} items")
    return items


def _encode_integer(encoder: Encoder, value: int, depth: int) -> Any:
    plain = int.__int__(value)
    return plain if -EXACT_INTEGER <= plain <= EXACT_INTEGER else {"i": hex(plain)}


def _encode_text(encoder: Encoder, value: str, depth: int) -> Any:
    plain = str.__str__(value)
    try:
        plain.encode()
    except UnicodeEncodeError:
        return {"u": plain.encode("utf-32-le", "surrogatepass").hex()}
    return plain


def _encode_complex(encoder: Encoder, value: complex, depth: int) -> Any:
    plain = complex.__complex__(value)
    return {"c": [plain.real.hex(), plain.imag.hex()]}


def _encode_pairs(encoder: Encoder, pairs: Iterable[tuple[Any, Any]], depth: int) -> list[Any]:
    return [[encoder.encode(key, depth), encoder.encode(value, depth)] for key, value in pairs]


_NOTHING: dict[str, str] = {}
_DICT_KEYS: type = type(_NOTHING.keys())
_DICT_VALUES: type = type(_NOTHING.values())
_DICT_ITEMS: type = type(_NOTHING.items())

_ENCODERS: dict[type, Callable[[Encoder, Any, int], Any]] = {
    int: _encode_integer,
    float: lambda e, v, d: {"f": float.hex(v)},
    str: _encode_text,
    complex: _encode_complex,
    bytes: lambda e, v, d: {"b": bytes.hex(v)},
    bytearray: lambda e, v, d: {"B": bytearray.hex(v)},
    list: lambda e, v, d: e.encode_all(list.__iter__(v), d),
    tuple: lambda e, v, d: {"t": e.encode_all(tuple.__iter__(v), d)},
    dict: lambda e, v, d: {"d": _encode_pairs(e, dict.items(v), d)},
    set: lambda e, v, d: {"s": e.encode_all(set.__iter__(v), d)},
    frozenset: lambda e, v, d: {"z": e.encode_all(frozenset.__iter__(v), d)},
    range: lambda e, v, d: {"r": e.encode_all((v.start, v.stop, v.step), d)},
    _DICT_KEYS: lambda e, v, d: {"k": e.encode_all(v, d)},
    _DICT_VALUES: lambda e, v, d: {"v": e.encode_all(v, d)},
    _DICT_ITEMS: lambda e, v, d: {"p": _encode_pairs(e, v, d)},
}


class Decoder:
    """Turn what JSON held back into exact plain types; anything unexpected is a ``WireError``."""

    def __init__(self, opaque: Callable[[int], Any]) -> None:
        self.opaque = opaque
        self.nodes = 0

    def decode(self, raw: Any) -> Any:
        """Decode ``raw``.

        Raises
        ------
        WireError
            Whatever is wrong with it, memory and recursion included.
        """
        try:
            return self._decode(raw, 0)
        except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise WireError(f"{type(error).__name__} in a value") from None

    def _decode(self, raw: Any, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH + 1 or self.nodes > MAX_NODES:
            raise WireError("a value too large or too deep")
        if raw is None or isinstance(raw, bool | int | str):
            return raw
        if isinstance(raw, list):
            return [self._decode(item, depth + 1) for item in raw]
        ((tag, content),) = raw.items()
        return _DECODERS[tag](self, content, depth + 1)

    def decode_all(self, raw: Any, depth: int) -> list[Any]:
        """Decode each item of a list."""
        if not isinstance(raw, list):
            raise WireError("no list where one belongs")
        return [self._decode(item, depth) for item in raw]

    def decode_pairs(self, raw: Any, depth: int) -> list[tuple[Any, Any]]:
        """Decode a list of two-item lists."""
        return [(self._decode(key, depth), self._decode(value, depth)) for key, value in raw]


def _decode_decimal(decoder: Decoder, content: Any, depth: int) -> Any:
    from decimal import Decimal

    return Decimal(content)


def _decode_fraction(decoder: Decoder, content: Any, depth: int) -> Any:
    from fractions import Fraction

    return Fraction(*decoder.decode_all(content, depth))


_DECODERS: dict[str, Callable[[Decoder, Any, int], Any]] = {
    "i": lambda d, c, n: int(c, 16),
    "f": lambda d, c, n: float.fromhex(c),
    "u": lambda d, c, n: bytes.fromhex(c).decode("utf-32-le", "surrogatepass"),
    "c": lambda d, c, n: complex(float.fromhex(c[0]), float.fromhex(c[1])),
    "b": lambda d, c, n: bytes.fromhex(c),
    "B": lambda d, c, n: bytearray.fromhex(c),
    "t": lambda d, c, n: tuple(d.decode_all(c, n)),
    "d": lambda d, c, n: dict(d.decode_pairs(c, n)),
    "s": lambda d, c, n: set(d.decode_all(c, n)),
    "z": lambda d, c, n: frozenset(d.decode_all(c, n)),
    "r": lambda d, c, n: range(*d.decode_all(c, n)),
    "g": lambda d, c, n: iter(d.decode_all(c, n)),
    "k": lambda d, c, n: dict.fromkeys(d.decode_all(c, n)).keys(),
    "v": lambda d, c, n: dict(enumerate(d.decode_all(c, n))).values(),
    "p": lambda d, c, n: dict(d.decode_pairs(c, n)).items(),
    "D": _decode_decimal,
    "q": _decode_fraction,
    "o": lambda d, c, n: d.opaque(int(c)),
}


def update_in_place(old: Any, new: Any) -> Any:
    """Make a list, dict, set or bytearray that was an argument look as it did after the call.

    Containers inside keep their identity where both sides hold the same kind at the same place.
    Returns ``old`` where it could be updated, otherwise ``new``.
    """
    if type(old) is not type(new):
        return new
    if isinstance(old, list):
        kept = [update_in_place(a, b) for a, b in zip(old, new, strict=False)]
        old[:] = kept + new[len(kept) :]
    elif isinstance(old, dict):
        merged = {key: update_in_place(old.get(key), value) for key, value in new.items()}
        old.clear()
        old.update(merged)
    elif isinstance(old, set):
        old.clear()
        old.update(new)
    elif isinstance(old, bytearray):
        old[:] = new
    elif isinstance(old, tuple) and len(old) == len(new):
        for a, b in zip(old, new, strict=True):
            update_in_place(a, b)
    else:
        return new
    return old
