"""Typed state comes back equal, and bytes that are no such state are refused with the column that is wrong."""

import io
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from lira_ros.state import sections
from lira_ros.state.columns import MAGIC, Array, StateError, _decode_all, _encode, from_bytes, to_bytes


class Kind(IntEnum):
    A = 1
    B = 2


@dataclass(frozen=True)
class Small:
    number: int
    share: float
    kind: Kind = Kind.A
    place: tuple[float, float] = (0.0, 0.0)


class Own:
    STATE: ClassVar[dict[str, Any]] = {"_held": dict[int, Small], "name": str}
    cache = None

    def __init__(self, name):
        self.name, self._held = name, {}

    def check_state(self):
        if self.name == "bad":
            raise ValueError("the name is bad")


@dataclass
class Whole:
    items: list[Small]
    owns: dict[str, Own]
    flags: set[str]
    maybe: Small | None
    data: bytes
    masks: dict[tuple[int, str], Annotated[NDArray[np.bool_], Array("|b1", ("rows", "columns"))]]
    points: Annotated[NDArray[np.float32], Array("<f4", ("points", 3))] = field(
        default_factory=lambda: np.zeros((0, 3), np.float32)
    )
    weights: Annotated[NDArray[np.float64], Array("<f8", ("points",))] = field(default_factory=lambda: np.zeros(0))


def some():
    own = Own("größe\n")
    own._held = {7: Small(2**62, float("nan"), Kind.B, (1.5, -2.0)), -3: Small(0, 0.1)}
    masks = {(1, "x"): np.eye(70, dtype=np.bool_), (2, ""): np.zeros((0, 4), np.bool_)}
    return Whole(
        [Small(n, n / 3) for n in range(5)], {"a": own, "b": Own("")}, {"z", "y"}, Small(1, 2.0), b"\0\xff", masks,
        np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1.0, 2.0]),
    )  # fmt: skip


def test_what_is_written_comes_back():
    whole, back = some(), from_bytes(to_bytes(some(), Whole, "whole"), Whole, "whole")
    assert (back.items, back.flags, back.maybe, back.data) == (whole.items, whole.flags, whole.maybe, whole.data)
    assert list(back.owns) == ["a", "b"]
    assert repr(back.owns["a"]._held) == repr(whole.owns["a"]._held)
    assert (back.owns["a"].name, back.owns["a"].cache) == ("größe\n", None)
    for key, mask in whole.masks.items():
        np.testing.assert_array_equal(back.masks[key], mask)
    np.testing.assert_array_equal(back.points, whole.points)
    assert back.points.flags.writeable
    assert to_bytes(back, Whole, "whole") == to_bytes(whole, Whole, "whole")
    whole.maybe = None
    assert from_bytes(to_bytes(whole, Whole, "whole"), Whole, "whole").maybe is None


def changed(**changes):
    columns = {}
    _encode(columns, "", Whole, [some()])
    for name, value in changes.items():
        path = name.replace("__", ".").replace("_of_", " of ")
        assert path in columns, columns.keys()
        if value is None:
            del columns[path]
        else:
            columns[path] = np.asarray(value)
    return columns


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"items__number": None}, "column 'items.item.number' is missing"),
        ({"items__item__share": np.zeros(4)}, "expected 5 <f8, found 4 <f8"),
        ({"items__item__share": np.full(5, np.inf)}, "must be finite"),
        ({"items__item__number": np.zeros(5)}, "expected 5 <i8, found 5 <f8"),
        ({"items__item__kind": np.full(5, 9)}, "9 is not a valid Kind"),
        ({"items__count": np.array([2**40])}, "expected lengths"),
        ({"items__count": np.array([-1])}, "expected lengths"),
        ({"items__count": np.array([4])}, "expected 4 <i8, found 5"),
        ({"owns__value___held__key": np.array([7, 7])}, "has a key twice"),
        ({"maybe__present": np.array([3], np.uint8).view(np.bool_)}, "expected 0 and 1"),
        ({"points__data": np.full(6, np.nan, np.float32)}, "numbers must be finite"),
        ({"count_of_points": np.array([3])}, "expected 9 <f4, found 6"),
        ({"owns__value__name": np.frombuffer("bad\xff\xff\xff".encode("latin-1"), np.uint8)}, "column"),
    ],
)
def test_columns_that_are_wrong_are_named(changes, said):
    changes = {name.replace("items__number", "items__item__number"): value for name, value in changes.items()}
    with pytest.raises(StateError, match=said):
        _decode_all(changed(**changes), "", Whole, 1)


def test_what_a_class_says_of_itself_is_checked():
    whole = some()
    whole.owns["b"].name = "bad"
    with pytest.raises(StateError, match="the name is bad"):
        from_bytes(to_bytes(whole, Whole, "whole"), Whole, "whole")


def test_foreign_altered_and_too_large_bytes_are_refused():
    data = to_bytes(some(), Whole, "whole")
    with pytest.raises(StateError, match="expected the state 'other', found 'whole'"):
        from_bytes(data, Whole, "other")
    with pytest.raises(StateError, match="does not belong there"):
        from_bytes(data, _Part, "whole")
    for position in range(0, len(data), 13):
        altered = bytearray(data)
        altered[position] ^= 0x41
        with pytest.raises(StateError, match="whole: "):
            from_bytes(bytes(altered), Whole, "whole")
    for length in (0, 7, 63, 64, len(data) - 1):
        with pytest.raises(StateError):
            from_bytes(data[:length], Whole, "whole")
    assert data.startswith(MAGIC)


@dataclass
class _Part:
    items: list[Small]


def test_what_inflates_to_more_than_it_says_is_refused():
    data = to_bytes(b"\0" * 100_000, bytes, "zeros")
    assert len(data) < 2000
    assert from_bytes(data, bytes, "zeros") == b"\0" * 100_000
    for claimed in (99_999, 100_001, 1 << 50):
        file = io.BytesIO()
        sections.begin(file)
        raw = np.frombuffer(zlib.compress(b"\0" * 100_000), np.uint8)
        columns = {"": {**sections.write_section(file, raw, "|u1"), "inflated": ["|u1", claimed]}}
        columns["count"] = sections.write_section(file, np.array([claimed]), "<i8")
        sections.finish(file, MAGIC, 1, {"state": "zeros", "columns": columns})
        with pytest.raises(StateError, match=r"inflated, found|expected at most|must be"):
            from_bytes(file.getvalue(), bytes, "zeros")
