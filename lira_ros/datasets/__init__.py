"""Readers of recordings and generated rooms, all behind one Sequence (floor 1)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lira_ros.datasets.sequence import GroundTruthObject, Sequence, SequenceError

__all__ = ["GroundTruthObject", "Sequence", "SequenceError", "open_sequence"]

ROOM_PREFIX = "room:"


def open_sequence(path: str | Path, **options: Any) -> Sequence:
    """Open a recording or a generated room; the format is recognised from what is there.

    path: a HoloLens folder (images/, depth/, poses.txt), a folder in the 7-Scenes or tsdf-fusion layout
    (frame-000000.color.*), a rosbag2 folder or one .mcap or .db3 file, or ``room:default`` or ``room:<seed>``
    for the generated room. Options are the keyword arguments of the reader (HololensSequence,
    SevenScenesSequence, RosbagSequence, RoomSequence), for example ``rate_hz``.
    Raises SequenceError that says what was looked for and what was found.
    """
    text = str(path)
    if text.startswith(ROOM_PREFIX):
        return _open_room(text.removeprefix(ROOM_PREFIX), options)
    location = Path(path).expanduser()
    if not location.exists():
        raise SequenceError(f"{location}: no such file or folder")
    if location.is_file():
        if location.suffix in (".mcap", ".db3"):
            return _open_rosbag(location, options)
        if location.name == "metadata.yaml":
            return _open_rosbag(location.parent, options)
        raise SequenceError(f"{location}: expected a folder or a .mcap or .db3 file, got a {location.suffix or 'file'}")
    if (location / "poses.txt").is_file():
        from lira_ros.datasets.hololens import HololensSequence

        return _opened(HololensSequence, location, options)
    from lira_ros.datasets.seven_scenes import SevenScenesSequence, is_seven_scenes

    if is_seven_scenes(location):
        return _opened(SevenScenesSequence, location, options)
    if (location / "metadata.yaml").is_file() or any(location.glob("*.mcap")) or any(location.glob("*.db3")):
        return _open_rosbag(location, options)
    found = sorted(item.name + ("/" if item.is_dir() else "") for item in location.iterdir())
    raise SequenceError(
        f"{location}: no known recording; looked for poses.txt with images/ and depth/ (HoloLens folder), "
        "frame-000000.color.* or seq-01/ (7-Scenes), metadata.yaml or *.mcap or *.db3 (rosbag2); found "
        + (", ".join(found[:8]) + (", ..." if len(found) > 8 else "") if found else "an empty folder")
    )


def _open_rosbag(location: Path, options: dict[str, Any]) -> Sequence:
    from lira_ros.datasets.rosbag import RosbagSequence

    return _opened(RosbagSequence, location, options)


def _open_room(name: str, options: dict[str, Any]) -> Sequence:
    from lira_ros.datasets.rooms import DEFAULT_SEED, RoomSequence

    if name == "default":
        seed = DEFAULT_SEED
    elif name.isdigit():
        seed = int(name)
    else:
        raise SequenceError(
            f"{ROOM_PREFIX}{name}: expected {ROOM_PREFIX}default or {ROOM_PREFIX}<seed>, a whole number"
        )
    return _opened(RoomSequence, seed, options)


def _opened(reader: Callable[..., Sequence], source: Path | int, options: dict[str, Any]) -> Sequence:
    known = list(inspect.signature(reader).parameters)[1:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise SequenceError(
            f"{source}: unknown option {', '.join(unknown)}; this format knows {', '.join(known) or 'none'}"
        )
    return reader(source, **options)
