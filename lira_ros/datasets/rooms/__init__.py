"""A furnished room that the project draws itself: RGB-D frames, poses and exact truth without any download."""

from lira_ros.datasets.rooms.instructions import instructions
from lira_ros.datasets.rooms.room import DEFAULT_SEED, Room, RoomObject
from lira_ros.datasets.rooms.sequence import RoomSequence

__all__ = ["DEFAULT_SEED", "Room", "RoomObject", "RoomSequence", "instructions"]
