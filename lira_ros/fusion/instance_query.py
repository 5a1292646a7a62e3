"""What somebody asks of all instances mapped so far: by id, place, name, relation or words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.contracts import Instance, Verdict
from lira_ros.fusion.relation_table import NamedRelation, RelationTable
from lira_ros.reasoning.constraint import RelationKind
from lira_ros.reasoning.contracts import Instruction

# The names of relations in requests and answers. What depends on the viewer is asked in words.
RELATION_NAMES: dict[str, RelationKind] = {
    "on": RelationKind.ON,
    "in": RelationKind.INSIDE,
    "under": RelationKind.UNDER,
    "above": RelationKind.ABOVE,
    "near": RelationKind.NEAR,
    "far": RelationKind.FAR,
}
# An answer tells at most this many relations of each instance: what it is in, on or above, and its nearest neighbours.
RELATIONS_AN_INSTANCE = 8


class UnknownAnchorError(ValueError):
    """A relation was asked to an id that no instance has."""


@dataclass(frozen=True)
class InstanceQuery:
    """What must hold for an instance; every condition that is given, empty or None = any.

    instruction: judged without becoming active. label: exact, lower case. sphere: centre (3,) [m] in the map frame and
    radius [m]; box: lower and upper corner (3,) [m] in the map frame; both must hold the centroid. relation: how it
    stands, and to the instance of which id. max_results: 0 = all.
    """

    instruction: Instruction | None = None
    ids: frozenset[int] = frozenset()
    label: str = ""
    sphere: tuple[NDArray[np.float64], float] | None = None
    box: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    relation: tuple[RelationKind, int] | None = None
    max_results: int = 0
    with_relations: bool = False


@dataclass(frozen=True)
class InstanceAnswer:
    """The instances that meet a query, in the order of the answer.

    verdicts: on the words of the query, by instance id; empty when there were none. relations: between the instances,
    by subject and object, when they were asked for.
    """

    instances: tuple[Instance, ...]
    verdicts: dict[int, Verdict]
    relations: tuple[NamedRelation, ...]


def in_place(instances: Sequence[Instance], query: InstanceQuery) -> list[Instance]:
    """Return the instances that have the label and lie in the sphere and the box of a query."""
    found = [item for item in instances if not query.label or item.label == query.label]
    if query.sphere is None and query.box is None:
        return found
    centroids = np.array([item.centroid for item in found]).reshape(-1, 3)
    within = np.ones(len(found), dtype=bool)
    if query.sphere is not None:
        center, radius_m = query.sphere
        within &= np.linalg.norm(centroids - center, axis=1) <= radius_m
    if query.box is not None:
        low, high = query.box
        within &= ((centroids >= low) & (centroids <= high)).all(axis=1)
    return [item for item, inside in zip(found, within, strict=True) if inside]


def related(
    instances: Sequence[Instance], kind: RelationKind, anchor: Instance, table: RelationTable
) -> list[Instance]:
    """Return the instances that stand in a relation to another one, of "near" and "far" the nearest first."""
    gathered = table.gather(kind, [anchor])
    found: list[tuple[float, Instance]] = []
    for item in instances:
        best = table.best(item, gathered)
        if best is not None and best[0].holds:
            found.append((table.gap(item, anchor) if kind in (RelationKind.NEAR, RelationKind.FAR) else 0.0, item))
    return [item for _, item in sorted(found, key=lambda pair: (pair[0], pair[1].id))]
