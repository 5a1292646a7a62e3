"""Typed state as named columns of numbers, and back: what nodes keep of what they learned, without pickles.

A class says what of it is state, either as a dataclass by its fields or with an attribute ``STATE``: a mapping of
attribute names to kinds. Kinds are int, float, bool, str, bytes, enumerations, such classes, ``X | None``, tuples,
lists, sets and dicts of kinds, and ``Array`` for NumPy arrays, alone or as ``Annotated[NDArray[...], Array(...)]``.
Values are written column by column: all values of one attribute of one class lie in one array, named by the path of
attributes that leads there, with ``.count`` where lengths differ. So a state of a hundred thousand small objects is a
few dozen arrays.

Reading checks everything that the kinds say, that no column is missing or left over, and what the method
``check_state`` of a class says; it makes no object before the columns are known to be as long as they must be. So
bytes from outside either become such a state, or a StateError that names the column.
"""

from __future__ import annotations

import dataclasses
import io
import math
import types
import typing
import zlib
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.state import sections
from lira_ros.state.sections import SectionError

MAGIC = b"LIRA_STA"
VERSION = 1
# More than any state that fits the memory of a robot together with the maps; a claim of more is refused unread.
MAX_BYTES = 2 << 30
# Sections shorter than this are not worth deflating.
_DEFLATE_FROM = 1 << 12
# Whether a section is worth it is told from so much of its middle, and it is when that becomes so much smaller.
_SAMPLE_BYTES, _WORTH = 1 << 16, 0.6

Columns = dict[str, NDArray[Any]]
_Value = TypeVar("_Value")


class StateError(ValueError):
    """A state is not as it should be; names the column, what was expected and what was found."""


def adopt(target: object, source: object) -> None:
    """Give an object the attributes that are state of another of its class."""
    for name in _fields(type(source)):
        setattr(target, name, getattr(source, name))


@dataclasses.dataclass(frozen=True)
class Array:
    """The kind of a NumPy array.

    dtype: with byte order. shape: an int is that length, a name any; within one object equal names mean equal lengths.
    finite: whether infinities and NaN are refused.
    """

    dtype: str
    shape: tuple[int | str, ...]
    finite: bool = True


# --- bytes ------------------------------------------------------------------------------------------------------------


def to_bytes(value: object, kind: Any, name: str) -> bytes:
    """Write a value of a kind; ``name`` says what it is and must be given again to from_bytes().

    Raises StateError for more than can be read again.
    """
    columns: Columns = {}
    _encode(columns, "", kind, [value])
    total = sum(column.nbytes for column in columns.values())
    if total > MAX_BYTES:
        raise StateError(f"{name}: expected at most {MAX_BYTES} bytes, got {total}")
    file = io.BytesIO()
    sections.begin(file)
    entries = {}
    for path, column in columns.items():
        raw = np.ascontiguousarray(column)
        data = _deflated(raw)
        if data is not None:
            entry = sections.write_section(file, np.frombuffer(data, np.uint8), "|u1")
            entry["inflated"] = [raw.dtype.str, len(raw)]
        else:
            entry = sections.write_section(file, raw, raw.dtype.str)
        entries[path] = entry
    sections.finish(file, MAGIC, VERSION, {"state": name, "columns": entries})
    return file.getvalue()


def _deflated(raw: NDArray[Any]) -> bytes | None:
    """Return an array deflated, None where that is not worth it: masks and texts shrink much, measurements do not."""
    if raw.nbytes < _DEFLATE_FROM:
        return None
    everything = raw.view(np.uint8).data
    start = (raw.nbytes - min(raw.nbytes, _SAMPLE_BYTES)) // 2
    sample = everything[start : start + _SAMPLE_BYTES]
    if len(zlib.compress(sample, 1)) > _WORTH * len(sample):
        return None
    return zlib.compress(everything, 1)


def from_bytes(data: bytes | memoryview, kind: Any, name: str) -> Any:
    """Read what to_bytes() wrote; raises StateError."""
    columns = _read_columns(bytes(data), name)
    value = _decode_all(columns, "", kind, 1)[0]
    if columns:
        raise StateError(f"{name}: column {next(iter(columns))!r} does not belong there")
    return value


def _read_columns(data: bytes, name: str) -> Columns:
    file = io.BytesIO(data)
    try:
        _, offset, directory = sections.read_directory(file, len(data), MAGIC, (VERSION,), "state")
        if directory["state"] != name:
            raise SectionError(f"expected the state {name!r}, found {directory['state']!r:.80}")
        entries = sections.typed(directory["columns"], dict, "columns")
        places: dict[str, tuple[sections.Section, np.dtype, int, bool]] = {}
        total = 0
        for path, entry in entries.items():
            inflated = sections.typed(entry, dict, path).get("inflated")
            dtype = _known_dtype(entry["dtype"] if inflated is None else inflated[0], path)
            section = sections.read_entry(entry, path, "|u1" if inflated is not None else dtype.str, (None,))
            length = section.shape[0] if inflated is None else sections.checked_integer(inflated[1], path, 0)
            total += length * dtype.itemsize
            places[path] = section, dtype, length, inflated is not None
        if total > MAX_BYTES:
            raise SectionError(f"expected at most {MAX_BYTES} bytes, found {total}")
        sections.check_layout((section for section, _, _, _ in places.values()), offset)
        columns = {}
        for path, (section, dtype, length, deflated) in places.items():
            for _ in sections.verify(file, section):
                pass
            column = section.array(data)
            columns[path] = _inflated(column, dtype, length, path) if deflated else column
        return columns
    except SectionError as error:
        raise StateError(f"{name}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
        raise StateError(f"{name}: the directory is not as it should be: {error!r:.200}") from error


_DTYPES = ("|i1", "|u1", "|b1", "<i4", "<i8", "<u2", "<f4", "<f8")


def _known_dtype(value: Any, path: str) -> np.dtype:
    if value not in _DTYPES:
        raise SectionError(f"column {path}: expected one of {', '.join(_DTYPES)}, found {value!r:.20}")
    return np.dtype(value)


def _inflated(column: NDArray[np.uint8], dtype: np.dtype, length: int, path: str) -> NDArray[Any]:
    wanted = length * dtype.itemsize
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(column.tobytes(), wanted + 1)
    except zlib.error as error:
        raise SectionError(f"column {path}: cannot be inflated: {error}") from error
    if len(raw) != wanted or not inflater.eof:
        raise SectionError(f"column {path}: expected {wanted} bytes when inflated, found {len(raw)} or more")
    return np.frombuffer(raw, dtype)


# --- kinds ------------------------------------------------------------------------------------------------------------

_FIELDS: dict[type, dict[str, Any]] = {}


def _fields(kind: type) -> dict[str, Any]:
    if kind not in _FIELDS:
        declared = kind.__dict__.get("STATE")
        if declared is None:
            hints = typing.get_type_hints(kind, include_extras=True)
            names = kind._fields if hasattr(kind, "_fields") else [item.name for item in dataclasses.fields(kind)]
            declared = {name: hints[name] for name in names}
        _FIELDS[kind] = {name: _array(part) for name, part in declared.items()}
    return _FIELDS[kind]


def _array(kind: Any) -> Any:
    """Return the Array of an annotated kind, other kinds as they are."""
    return typing.get_args(kind)[1] if typing.get_origin(kind) is typing.Annotated else kind


def _optional(kind: Any) -> Any:
    """Return X of ``X | None``, None for other kinds."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        (inner,) = [item for item in typing.get_args(kind) if item is not type(None)]
        return inner
    return None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _encode(columns: Columns, path: str, kind: Any, values: list[Any]) -> None:
    kind = _array(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    inner = _optional(kind)
    if inner is not None:
        columns[_join(path, "present")] = np.array([value is not None for value in values], dtype=np.bool_)
        _encode(columns, path, inner, [value for value in values if value is not None])
    elif isinstance(kind, Array):
        _encode_arrays(columns, path, {path: (kind, values)}, path)
    elif origin is tuple and arguments[-1] is not Ellipsis:
        for place, part in enumerate(arguments):
            _encode(columns, _join(path, str(place)), part, [value[place] for value in values])
    elif origin is dict:
        columns[_join(path, "count")] = np.array([len(value) for value in values], dtype=np.int64)
        _encode(columns, _join(path, "key"), arguments[0], [key for value in values for key in value])
        _encode(columns, _join(path, "value"), arguments[1], [item for value in values for item in value.values()])
    elif origin in (list, set, tuple):
        columns[_join(path, "count")] = np.array([len(value) for value in values], dtype=np.int64)
        ordered = [sorted(value) if origin is set else value for value in values]
        _encode(columns, _join(path, "item"), arguments[0], [item for value in ordered for item in value])
    elif kind in (str, bytes):
        raw = [value.encode("utf-8", "surrogatepass") if kind is str else value for value in values]
        columns[_join(path, "count")] = np.array([len(item) for item in raw], dtype=np.int64)
        columns[path] = np.frombuffer(b"".join(raw), dtype=np.uint8)
    elif kind is bool:
        columns[path] = np.array(values, dtype=np.bool_)
    elif kind is float:
        columns[path] = np.array(values, dtype=np.float64)
    elif kind is int or issubclass(kind, IntEnum):
        columns[path] = np.array([int(value) for value in values], dtype=np.int64)
    else:
        arrays = {}
        for name, part in _fields(kind).items():
            held = [getattr(value, name) for value in values]
            if isinstance(part, Array):
                arrays[_join(path, name)] = (part, held)
            else:
                _encode(columns, _join(path, name), part, held)
        _encode_arrays(columns, path, arrays, path)


def _encode_arrays(columns: Columns, path: str, arrays: Mapping[str, tuple[Array, list[Any]]], where: str) -> None:
    lengths: dict[str, NDArray[np.int64]] = {}
    for place, (kind, values) in arrays.items():
        for axis, length in enumerate(kind.shape):
            found = np.array([value.shape[axis] for value in values], dtype=np.int64)
            wanted = lengths.setdefault(length, found) if isinstance(length, str) else length
            if any(value.ndim != len(kind.shape) for value in values) or not np.array_equal(found, found * 0 + wanted):
                raise ValueError(f"{place or where}: expected the shape {kind.shape}, got another")
        flat = [np.ascontiguousarray(value, dtype=kind.dtype).reshape(-1) for value in values]
        columns[_join(place, "data")] = np.concatenate(flat) if flat else np.zeros(0, kind.dtype)
    for name, found in lengths.items():
        columns[_join(path, f"count of {name}")] = found


# --- reading ----------------------------------------------------------------------------------------------------------


def _take(columns: Columns, path: str, dtype: str, count: int | None = None) -> NDArray[Any]:
    column = columns.pop(path, None)
    if column is None:
        raise StateError(f"column {path!r} is missing")
    if column.dtype != np.dtype(dtype) or (count is not None and len(column) != count):
        length = "" if count is None else f"{count} "
        raise StateError(f"column {path!r}: expected {length}{dtype}, found {len(column)} {column.dtype.str}")
    return column


def _counts(columns: Columns, path: str, count: int) -> list[int]:
    column = _take(columns, path, "<i8", count)
    if count and (int(column.min()) < 0 or int(column.max()) > MAX_BYTES):
        raise StateError(f"column {path!r}: expected lengths, found {int(column.min())} to {int(column.max())}")
    return [int(length) for length in column]


def _decode_all(columns: Columns, path: str, kind: Any, count: int) -> list[Any]:
    try:
        return _decode(columns, path, kind, count)
    except StateError:
        raise
    except (ValueError, TypeError, OverflowError, UnicodeError, MemoryError) as error:
        raise StateError(f"column {path!r}: {error}") from error


def _decode(columns: Columns, path: str, kind: Any, count: int) -> list[Any]:
    kind = _array(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    inner = _optional(kind)
    if inner is not None:
        present = _booleans(columns, _join(path, "present"), count)
        found = iter(_decode_all(columns, path, inner, sum(present)))
        return [next(found) if there else None for there in present]
    if isinstance(kind, Array):
        return _decode_arrays(columns, path, {path: kind}, count)[path]
    if origin is tuple and arguments[-1] is not Ellipsis:
        parts = [_decode_all(columns, _join(path, str(i)), part, count) for i, part in enumerate(arguments)]
        return list(zip(*parts, strict=True))
    if origin is dict:
        counts = _counts(columns, _join(path, "count"), count)
        keys = _decode_all(columns, _join(path, "key"), arguments[0], sum(counts))
        values = _decode_all(columns, _join(path, "value"), arguments[1], sum(counts))
        return [_dictionary(path, *pair) for pair in zip(_split(keys, counts), _split(values, counts), strict=True)]
    if origin in (list, set, tuple):
        counts = _counts(columns, _join(path, "count"), count)
        items = _decode_all(columns, _join(path, "item"), arguments[0], sum(counts))
        return [origin(part) for part in _split(items, counts)]
    if kind in (str, bytes):
        counts = _counts(columns, _join(path, "count"), count)
        raw = _take(columns, path, "|u1", sum(counts)).tobytes()
        return [part.decode("utf-8", "surrogatepass") if kind is str else part for part in _split(raw, counts)]
    if kind is bool:
        return _booleans(columns, path, count)
    if kind is float:
        numbers = _take(columns, path, "<f8", count)
        if np.isinf(numbers).any():
            raise StateError(f"column {path!r}: numbers must be finite")
        return list(numbers.tolist())
    if kind is int:
        return list(_take(columns, path, "<i8", count).tolist())
    if issubclass(kind, IntEnum):
        return [kind(number) for number in _take(columns, path, "<i8", count).tolist()]
    return _decode_objects(columns, path, kind, count)


def _decode_objects(columns: Columns, path: str, kind: type, count: int) -> list[Any]:
    fields = _fields(kind)
    arrays = {_join(path, name): part for name, part in fields.items() if isinstance(part, Array)}
    found = {
        name: _decode_all(columns, _join(path, name), part, count)
        for name, part in fields.items()
        if not isinstance(part, Array)
    }
    decoded = _decode_arrays(columns, path, arrays, count)
    found |= {name: decoded[_join(path, name)] for name, part in fields.items() if isinstance(part, Array)}
    by_constructor = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")  # which checks more
    objects = []
    for i in range(count):
        values = {name: column[i] for name, column in found.items()}
        if by_constructor:
            item = kind(**values)
        else:
            item = object.__new__(kind)  # what is no state has a value of the class
            for name, value in values.items():
                setattr(item, name, value)
        if hasattr(item, "check_state"):
            item.check_state()
        objects.append(item)
    return objects


def _decode_arrays(columns: Columns, path: str, kinds: Mapping[str, Array], count: int) -> dict[str, list[Any]]:
    names = dict.fromkeys(length for kind in kinds.values() for length in kind.shape if isinstance(length, str))
    lengths = {name: _counts(columns, _join(path, f"count of {name}"), count) for name in names}
    result: dict[str, list[Any]] = {}
    for place, kind in kinds.items():
        shapes = [
            tuple(lengths[length][i] if isinstance(length, str) else length for length in kind.shape)
            for i in range(count)
        ]
        sizes = [math.prod(shape) for shape in shapes]
        data = _take(columns, _join(place, "data"), kind.dtype, sum(sizes))
        if kind.finite and data.dtype.kind == "f" and not np.isfinite(data).all():
            raise StateError(f"column {place!r}: numbers must be finite")
        if data.dtype.kind == "b" and len(data) and int(data.view(np.uint8).max()) > 1:
            raise StateError(f"column {place!r}: expected 0 and 1")
        # Copies: arrays of a state are changed in place, and one of them must not keep all others in memory.
        result[place] = [part.reshape(shape).copy() for part, shape in zip(_split(data, sizes), shapes, strict=True)]
    return result


def _booleans(columns: Columns, path: str, count: int) -> list[bool]:
    column = _take(columns, path, "|b1", count)
    if count and int(column.view(np.uint8).max()) > 1:
        raise StateError(f"column {path!r}: expected 0 and 1")
    return [bool(value) for value in column]


def _split(items: Any, counts: list[int]) -> list[Any]:
    parts, position = [], 0
    for count in counts:
        parts.append(items[position : position + count])
        position += count
    return parts


def _dictionary(path: str, keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    result = dict(zip(keys, values, strict=True))
    if len(result) != len(keys):
        raise StateError(f"column {path!r}: has a key twice")
    return result
