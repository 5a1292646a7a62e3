"""The request of query_instances: which instances somebody wants to know of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_msgs.srv import QueryInstances
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import InstructionError, parse
from lira_ros.ros.errors import ConversionError


class QueryRefused(ConversionError):
    """A request that cannot be answered; code is a constant of QueryInstances.Response."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class InstanceQuery:
    """What must hold for an instance; empty = anything. sphere: centre (3,) [m] in the map frame and radius [m]."""

    instruction: Instruction | None
    ids: frozenset[int]
    label: str
    sphere: tuple[NDArray[np.float64], float] | None


def query_from_request(request: QueryInstances.Request) -> InstanceQuery:
    """Return what a request asks for; raises QueryRefused for an impossible sphere or a text that is none."""
    sphere = None
    if request.use_sphere:
        center = np.array([request.center.x, request.center.y, request.center.z])
        if not (np.isfinite(center).all() and request.radius_m > 0 and math.isfinite(request.radius_m)):
            message = f"expected a finite center and radius_m > 0, got {center.tolist()} and {request.radius_m}"
            raise QueryRefused(QueryInstances.Response.INVALID_REGION, message)
        sphere = (center, request.radius_m)
    instruction = None
    if request.text:
        try:
            instruction = Instruction("query", request.text, parse(request.text))
        except InstructionError as error:
            codes = QueryInstances.Response
            code = codes.TEXT_TOO_LONG if error.code == "TEXT_TOO_LONG" else codes.NOT_UNDERSTOOD
            raise QueryRefused(code, error.message) from error
    return InstanceQuery(instruction, frozenset(request.ids), request.label, sphere)
