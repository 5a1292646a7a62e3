"""The request of query_instances: which instances somebody wants to know of."""

from __future__ import annotations

import math

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray

from lira_msgs.msg import Relation
from lira_msgs.srv import QueryInstances
from lira_ros.fusion.instance_query import RELATION_NAMES, InstanceQuery
from lira_ros.fusion.relation_table import NamedRelation
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import InstructionError, parse
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.ros.errors import ConversionError

# The id under which the verdicts on the text of a request are told; no instruction of that name need be active.
QUERY_ID = "query"
_NAMES = {kind: name for name, kind in RELATION_NAMES.items()}


class QueryRefused(ConversionError):
    """A request that cannot be answered; code is a constant of QueryInstances.Response."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def query_from_request(request: QueryInstances.Request) -> InstanceQuery:
    """Return what a request asks for; raises QueryRefused with code and sentence for what cannot be."""
    codes = QueryInstances.Response
    sphere = box = relation = instruction = None
    if request.use_sphere:
        center = _point(request.center)
        if not (np.isfinite(center).all() and request.radius_m > 0 and math.isfinite(request.radius_m)):
            message = f"expected a finite center and radius_m > 0, got {center.tolist()} and {request.radius_m}"
            raise QueryRefused(codes.INVALID_REGION, message)
        sphere = (center, request.radius_m)
    if request.use_box:
        box = (_point(request.box_min), _point(request.box_max))
        if not (np.isfinite(box).all() and (box[1] > box[0]).all()):
            message = f"expected finite box_min below box_max, got {box[0].tolist()} and {box[1].tolist()}"
            raise QueryRefused(codes.INVALID_REGION, message)
    if request.relation:
        kind = RELATION_NAMES.get(request.relation)
        if kind is None:
            message = f"relation: expected one of {', '.join(RELATION_NAMES)}, got {plain_text(request.relation, 40)!r}"
            raise QueryRefused(codes.INVALID_RELATION, message)
        if request.relative_to == 0:
            raise QueryRefused(codes.INVALID_RELATION, "relative_to: expected the id of an instance, got 0")
        relation = (kind, request.relative_to)
    if request.text:
        try:
            instruction = Instruction(QUERY_ID, request.text, parse(request.text))
        except InstructionError as error:
            code = codes.TEXT_TOO_LONG if error.code == "TEXT_TOO_LONG" else codes.NOT_UNDERSTOOD
            raise QueryRefused(code, error.message) from error
    return InstanceQuery(
        instruction,
        frozenset(request.ids),
        request.label,
        sphere,
        box,
        relation,
        request.max_results,
        request.include_relations,
    )


def relation_to_message(relation: NamedRelation) -> Relation:
    """Convert a relation between two instances."""
    return Relation(
        subject_id=relation.target,
        relation=_NAMES[relation.kind],
        object_id=relation.anchor,
        gap_m=float(relation.gap_m),
    )


def _point(point: Point) -> NDArray[np.float64]:
    return np.array([point.x, point.y, point.z])
