"""Files -> rows, each with the line it began on. Knows nothing of what a column means.

Whole-file faults (encoding, a broken array) are raised; faults of one row are kept beside the rows,
so that the reader can show them together.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from tuneval.errors import DataError

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is a file of another kind (an archive, a minified array); it is refused unread."""

Fields = dict[str, Any]


class Row(NamedTuple):
    """One record. ``place`` is a line or row number, counted from 1."""

    place: int
    fields: Fields


class Fault(NamedTuple):
    """What is wrong with the record at ``place``."""

    place: int
    text: str


@dataclass(slots=True)
class Table:
    """Rows of one source. ``label_names``: column -> names of its integer classes, where the
    source declares them. ``unit`` says what ``place`` counts."""

    file: str
    source: str
    unit: Literal["line", "row"]
    rows: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    sha256: str = ""
    label_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def quote(value: object, limit: int = 60) -> str:
    """Show a value in double quotes on one line, control characters escaped, long ones cut."""
    text = str(value)
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f'"{safe}"'


def listed(values: Iterable[object], limit: int = 12) -> str:
    """Quoted values with commas; the rest beyond ``limit`` as a count."""
    values = list(values)
    shown = ", ".join(quote(value) for value in values[:limit])
    return shown + (f" and {len(values) - limit} more" if len(values) > limit else "")


def read_file(path: Path) -> Table:
    """Read a JSON Lines, JSON, CSV, TSV or Parquet file, gzipped or not.

    Raises
    ------
    DataError
        The whole file cannot be read: unknown ending, not UTF-8, a broken archive or array, a line
        above ``MAX_LINE_BYTES``.
    """
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] == ".gz":
        endings.pop()
    reader = READERS.get(endings[-1] if endings else "")
    if reader is None:
        known = ", ".join(READERS)
        raise DataError(
            f"{path.name}: its ending names no format that can be read.\n"
            f"Known are {known}, and .gz of each."
        )
    try:
        table = reader(path)
        with path.open("rb") as stream:
            table.sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path.name} cannot be opened ({error.strerror or error}).") from error
    return table


def from_rows(rows: Sequence[object], name: str) -> Table:
    """Make a table of dictionaries that are already in memory."""
    table = Table(name, name, "row")
    digest = hashlib.sha256()
    for place, row in enumerate(rows, 1):
        if isinstance(row, Mapping):
            table.rows.append(Row(place, {str(key): value for key, value in row.items()}))
        else:
            table.faults.append(Fault(place, f"not an object but {kind(row)}"))
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    table.sha256 = digest.hexdigest()
    return table


def feature_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Class names per column, from the ``features`` of ``datasets`` (objects or their JSON)."""
    found = {}
    for column, feature in features.items():
        one = _of_each_word(feature)
        names: Any = one.get("names") if isinstance(one, Mapping) else _names_of(one)
        if isinstance(names, Mapping):  # dataset cards write {"0": "negative", ...}
            names = list(names.values())
        if names:
            found[column] = tuple(str(name) for name in names)
    return found


def _of_each_word(feature: object) -> object:
    """The feature of one entry, where a column holds a list of them; the feature itself elsewhere."""
    for key in ("feature", "sequence", "class_label"):
        inner = feature.get(key) if isinstance(feature, Mapping) else getattr(feature, key, None)
        feature = feature if inner is None else inner
    return feature


def _names_of(feature: object) -> object:
    return getattr(feature, "names", None) if type(feature).__name__ == "ClassLabel" else None


# ---- bytes and text ------------------------------------------------------------------------------


def _open(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text with its line end)."""
    offset = 0
    with _open(path) as stream:
        for number in range(1, 2**63):
            raw = _read(path, lambda: stream.readline(MAX_LINE_BYTES + 1))
            if not raw:
                return
            if len(raw) > MAX_LINE_BYTES:
                raise DataError(
                    f"{path.name}, line {number}: longer than {MAX_LINE_BYTES // 2**20} MiB.\n"
                    "Is it one object per line? An array belongs in a file that ends in .json."
                )
            yield number, _decode(path, raw, offset, number)
            offset += len(raw)


def _text(path: Path) -> str:
    with _open(path) as stream:
        return _decode(path, _read(path, stream.read), 0, 1)


def _read(path: Path, act: Callable[[], bytes]) -> bytes:
    try:
        return act()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path.name}: not a whole gzip file ({error}).\n"
            "Copy it again, or take .gz off its name if it is not compressed."
        ) from error


def _decode(path: Path, raw: bytes, offset: int, line: int) -> str:
    if offset == 0:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(
                f"{path.name}: the text is UTF-16, not UTF-8.\n"
                f"Convert it: iconv -f UTF-16 -t UTF-8 {path.name}"
            )
        if raw.startswith(b"\xef\xbb\xbf"):
            raw, offset = raw[3:], 3
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at = line + raw.count(b"\n", 0, error.start)
        raise DataError(
            f"{path.name}, line {at}: not UTF-8 (byte 0x{raw[error.start]:02x} at offset "
            f"{offset + error.start}).\n"
            f"Convert the file, for instance: iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
        ) from error


# ---- JSON ----------------------------------------------------------------------------------------


class _Malformed(ValueError):
    """A piece of JSON that cannot be used; the text says why."""


def _whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; JSON readers differ in which value of a key that stands twice they keep."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Malformed(f"key {quote(twice)} stands twice in one object")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_whole)


def _parse(text: str) -> object:
    try:
        value = _DECODER.decode(text)
    except _Malformed:
        raise
    except json.JSONDecodeError as error:
        raise _Malformed(_syntax(error.msg, error.colno)) from error
    except (RecursionError, ValueError) as error:
        raise _Malformed(_beyond(error)) from error
    _refuse_half_characters(text, value)
    return cast(object, value)


def _syntax(message: str, column: int) -> str:
    return f"malformed JSON: {message[0].lower()}{message[1:]} (column {column})"


def _beyond(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else f"malformed JSON: {error}"


def _refuse_half_characters(text: str, value: object) -> None:
    # "\ud83d" alone is legal JSON and a legal str, but no tokenizer and no file can take it.
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise _Malformed("holds half a character (a lone surrogate such as \\ud83d)") from error


def _read_json_lines(path: Path) -> Table:
    table = Table(path.name, str(path), "line")
    for number, line in _lines(path):
        if not line.strip():
            continue
        if not table.rows and not table.faults and _opens_array(line):
            table = _read_json(path)
            table.notes.append(f"{path.name} holds a JSON array, not one object per line.")
            return table
        try:
            value = _parse(line.rstrip())
        except _Malformed as error:
            table.faults.append(Fault(number, str(error)))
            continue
        _add(table, number, value)
    return table


def _opens_array(line: str) -> bool:
    text = line.strip()
    return text == "[" or text.startswith(("[{", "[ {"))


def _add(table: Table, place: int, value: object) -> None:
    if isinstance(value, dict):
        table.rows.append(Row(place, value))
    else:
        table.faults.append(Fault(place, f"not an object but {kind(value)}"))


def kind(value: object) -> str:
    kinds = {
        str: "text",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        list: "a list",
        tuple: "a list",
        dict: "an object",
        type(None): "null",
    }
    return kinds.get(type(value), f"a {type(value).__name__}")


def _read_json(path: Path) -> Table:
    """Read an array, one wrapped in an object, nested SQuAD, or JSON Lines under another name."""
    text = _text(path)
    start = len(text) - len(text.lstrip())
    if text.startswith("[", start):
        return _from_values(path, _array(path, text, start))
    if not text.strip():
        return Table(path.name, str(path), "line")
    try:
        whole = _parse(text)
    except _Malformed as error:
        if _is_object(text[start:].split("\n", 1)[0]):
            return _read_json_lines(path)
        where = _where(text)
        raise DataError(f"{path.name}{where}: {error}.") from error
    return _unwrap(path, whole)


def _where(text: str) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f", line {error.lineno}"
    except (RecursionError, ValueError):
        return ""
    return ""


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _array(path: Path, text: str, start: int) -> Iterator[tuple[int, object]]:
    """Yield (line, value) of each element, so that a fault can be found again."""
    position, line, counted = start + 1, 1 + text.count("\n", 0, start), start
    while True:
        position = _skip(text, position)
        if text.startswith("]", position):
            break
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = _DECODER.raw_decode(text, position)
            _refuse_half_characters(text[position:end], value)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path.name}, line {error.lineno}: {_syntax(error.msg, error.colno)}."
            ) from error
        except _Malformed as error:
            raise DataError(f"{path.name}, line {line}: {error}.") from error
        except (RecursionError, ValueError) as error:
            raise DataError(f"{path.name}, line {line}: {_beyond(error)}.") from error
        yield line, value
        position = _skip(text, end)
        if text.startswith(",", position):
            position += 1
        elif not text.startswith("]", position):
            at = text.count("\n", 0, position) + 1
            raise DataError(
                f'{path.name}, line {at}: malformed JSON: expecting "," or "]" after an element.'
            )
    rest = text[position + 1 :].strip()
    if rest:
        raise DataError(f"{path.name}: text after the end of the array ({quote(rest)}).")


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _from_values(path: Path, values: Iterable[tuple[int, object]]) -> Table:
    """Count lines where each element has a line of its own, elements otherwise."""
    pairs = list(values)
    own_line = len({line for line, _ in pairs}) == len(pairs)
    table = Table(path.name, str(path), "line" if own_line else "row")
    for place, (line, value) in enumerate(pairs, 1):
        _add(table, line if own_line else place, value)
    return table


_WRAPPERS = ("data", "rows", "examples", "instances", "items", "records", "test", "validation")


def _unwrap(path: Path, whole: object) -> Table:
    table = Table(path.name, str(path), "row")
    if not isinstance(whole, dict):
        raise DataError(f"{path.name}: holds {kind(whole)}, not a list of objects.")
    lists = [whole[key] for key in _WRAPPERS if _is_list_of_objects(whole.get(key))]
    if not lists and len(whole) > 1 and all(isinstance(one, dict) for one in whole.values()):
        # Rows under their ids; a row that has an id of its own keeps it.
        lists = [[{"id": key, **row} for key, row in whole.items()]]
        table.notes.append(f"{path.name} holds an object of rows, each under its id.")
    if not lists:
        return Table(path.name, str(path), "line", [Row(1, whole)])
    values = lists[0]
    if "paragraphs" in values[0]:
        try:
            values = list(_squad_rows(values))
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path.name}: looks like nested SQuAD (data, paragraphs, qas), but lacks {error}."
            ) from error
        table.notes.append("Nested SQuAD: one row per question, numbered in file order.")
    for place, value in enumerate(values, 1):
        _add(table, place, value)
    return table


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _squad_rows(articles: list[Fields]) -> Iterator[Fields]:
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield {
                    "id": question["id"],
                    "title": article.get("title"),
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": question.get("answers", []),
                }


# ---- CSV and TSV ---------------------------------------------------------------------------------


def _read_csv(path: Path) -> Table:
    delimiter = _delimiter(path)
    table = _read_delimited(path, delimiter, csv.QUOTE_MINIMAL)
    if delimiter != ",":
        table.notes.append(f"{path.name} separates its columns with {quote(delimiter)}.")
    return table


def _read_tsv(path: Path) -> Table:
    table = _read_delimited(path, "\t", csv.QUOTE_MINIMAL)
    if not table.faults:
        return table
    # GLUE's own files write a quotation mark as it stands.
    plain = _read_delimited(path, "\t", csv.QUOTE_NONE)
    if len(plain.faults) >= len(table.faults):
        return table
    plain.notes.append(f"{path.name}: quotation marks were read as part of the text.")
    return plain


def _delimiter(path: Path) -> str:
    """Spreadsheets of many countries write semicolons into a .csv."""
    for _, line in _lines(path):
        if line.strip():
            return next((c for c in (",", ";", "\t") if c in line), ",")
    return ","


def _read_delimited(path: Path, delimiter: str, quoting: Literal[0, 3]) -> Table:
    table = Table(path.name, str(path), "line")
    limit = csv.field_size_limit(MAX_LINE_BYTES)
    try:
        reader = csv.reader(
            (line for _, line in _lines(path)), delimiter=delimiter, quoting=quoting, strict=True
        )
        header: list[str] | None = None
        for place, cells in _records(reader, table):
            if header is None:
                header = _header(path, cells)
            elif len(cells) != len(header):
                table.faults.append(Fault(place, _width(cells, header, delimiter)))
            else:
                cell_of = dict(zip(header, cells, strict=True))
                table.rows.append(Row(place, {k: v or None for k, v in cell_of.items() if k}))
    finally:
        csv.field_size_limit(limit)
    return table


def _records(reader: Any, table: Table) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the record starts, cells); a record may span lines."""
    while True:
        place = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            table.faults.append(Fault(place, f"malformed CSV: {error}"))
            continue
        if cells:
            yield place, cells


def _header(path: Path, cells: list[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(
            f"{path.name}, line 1: {listed(twice)} names more than one column.\n"
            "Rename one of them in the header."
        )
    return header


def _width(cells: list[str], header: list[str], delimiter: str) -> str:
    text = f"{len(cells)} fields, the header has {len(header)}"
    if len(cells) > len(header):
        text += f" (a text that holds {quote(delimiter)} needs quotation marks)"
    return text


# ---- Parquet -------------------------------------------------------------------------------------


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{path.name} needs pyarrow: pip install 'tuneval[parquet]'") from error
    try:
        content = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path.name}: not a Parquet file ({error}).") from error
    table = Table(path.name, str(path), "row")
    table.rows = [Row(place, row) for place, row in enumerate(content.to_pylist(), 1)]
    written = (content.schema.metadata or {}).get(b"huggingface")
    if written:
        features = json.loads(written).get("info", {}).get("features", {})
        table.label_names = feature_names(features)
    return table


READERS: Mapping[str, Callable[[Path], Table]] = {
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
}
