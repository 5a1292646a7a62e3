"""In which kind of room things are, told by what stands around them; a map of surfaces does not name rooms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.knowledge import find_class

# A thing speaks for the rooms of what is within a few steps; half as much at every metre farther [m].
HALF_DISTANCE_M = 0.8
# What is this little tells nothing: an empty home, or things that stand in any room.
MIN_EVIDENCE = 0.05

# What stands almost only in one kind of room, and how surely (1 = always, 0.3 = rather there than elsewhere).
_TYPICAL: dict[str, dict[str, float]] = {
    "kitchen": {
        "stove": 1.0, "oven": 1.0, "cooker": 1.0, "refrigerator": 1.0, "dishwasher": 1.0, "kitchen counter": 1.0,
        "counter": 1.0, "kitchen cabinet": 1.0, "wall cabinet": 0.8, "microwave": 0.9, "kettle": 0.7, "toaster": 0.9,
        "coffee machine": 0.8, "kitchen island": 1.0, "pan": 0.7, "pot": 0.7, "paper towels": 0.5, "sink": 0.4,
        "cutting board": 0.8, "dining table": 0.3, "bar stool": 0.6,
    },
    "bathroom": {
        "toilet": 1.0, "bathtub": 1.0, "shower": 1.0, "shower curtain": 1.0, "washbasin": 1.0, "toilet paper": 1.0,
        "bath mat": 1.0, "towel": 0.6, "washing machine": 0.5, "laundry basket": 0.5, "scale": 0.7, "soap": 0.3,
    },
    "bedroom": {
        "bed": 1.0, "nightstand": 1.0, "wardrobe": 0.9, "crib": 1.0, "dresser": 0.7, "chest of drawers": 0.6,
        "pillow": 0.4, "duvet": 0.8, "alarm clock": 0.7,
    },
    "living room": {
        "sofa": 1.0, "coffee table": 1.0, "tv stand": 1.0, "television": 0.7, "armchair": 0.7, "ottoman": 0.6,
        "fireplace": 0.8, "cushion": 0.3, "floor lamp": 0.3, "sideboard": 0.5, "round table": 0.3,
    },
    "study": {
        "desk": 0.9, "office chair": 0.9, "monitor": 0.7, "keyboard": 0.6, "mouse": 0.5, "printer": 0.8,
        "filing cabinet": 1.0, "desk lamp": 0.6, "bookshelf": 0.4, "whiteboard": 0.8,
    },
    "corridor": {"coat rack": 1.0, "shoe rack": 1.0, "shoes": 0.3, "umbrella": 0.4},
}  # fmt: skip


def room_of(names: Sequence[dict[str, float]], places: NDArray[np.float64], up: NDArray[np.float64]) -> tuple[str, ...]:
    """Return the kind of room of each thing, "" where nothing around tells.

    names: label -> weight of each of N things. places: (N, 3) centres [m] in the map frame. up: (3,) unit vector
    against gravity. Distances are taken along the floor.
    """
    if len(names) == 0:
        return ()
    rooms = tuple(_TYPICAL)
    evidence = np.array([[_typical(own, room) for room in rooms] for own in names])
    flat = places - np.outer(places @ up, up)
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    votes = np.exp2(-distances / HALF_DISTANCE_M) @ evidence
    best = votes.argmax(axis=1)
    return tuple(rooms[room] if votes[index, room] >= MIN_EVIDENCE else "" for index, room in enumerate(best.tolist()))


def _typical(names: dict[str, float], room: str) -> float:
    """Return how surely a thing of likely names stands in a kind of room."""
    known = _TYPICAL[room]
    total = 0.0
    for name, weight in names.items():
        found = find_class(name)
        total += weight * known.get(name, known.get(found.name, 0.0) if found is not None else 0.0)
    return total
