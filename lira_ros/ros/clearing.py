"""Forget the parts of the map that are far away: by a radius that always holds, or when a service asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_msgs.srv import ClearOutside
from lira_ros.configuration import parameter
from lira_ros.mapping.mapper import Mapper
from lira_ros.ros.node import LiraNode

SERVICE = "~/clear_outside"


@dataclass(frozen=True)
class ClearingConfiguration:
    """How much of the map is kept."""

    clear_radius_m: float = parameter(
        0.0,
        "Forget fragments that lie entirely farther than this from the camera [m], 0 = keep all",
        minimum=0.0,
        maximum=100_000.0,
        read_only=False,
    )


class Clearing:
    """Removes fragments of one mapper; used in the worker thread."""

    def __init__(
        self,
        node: LiraNode,
        mapper: Mapper,
        close_fragment: Callable[[], None],
        cleared: Callable[[tuple[int, ...], set[int]], None],
    ) -> None:
        """Tell ``cleared`` the ids of fragments and keyframes that are gone."""
        self._node = node
        self._mapper = mapper
        self._close_fragment = close_fragment
        self._cleared = cleared

    def beyond(self, radius_m: float, viewpoint_m: NDArray[np.float64] | None) -> tuple[int, ...]:
        """Forget what lies beyond a radius around the camera at (3,) [m], 0 = nothing; return the ids forgotten."""
        if radius_m <= 0 or viewpoint_m is None:
            return ()
        keyframes = set(self._mapper.keyframe_poses)
        removed = tuple(self._mapper.clear_outside(viewpoint_m, radius_m))
        if removed:
            self._cleared(removed, keyframes - set(self._mapper.keyframe_poses))
            self._node.statistics.count("fragments cleared", len(removed))
        return removed

    def answer(
        self, request: ClearOutside.Request, response: ClearOutside.Response, viewpoint_m: NDArray[np.float64] | None
    ) -> None:
        """Answer clear_outside."""
        codes = ClearOutside.Response
        if not (math.isfinite(request.radius_m) and request.radius_m > 0):
            message = f"radius_m: expected more than 0, got {request.radius_m}"
            self._node.refuse(response, SERVICE, codes.INVALID_RADIUS, message)
        elif viewpoint_m is None:
            message = "no frame was mapped yet: nobody knows where the camera is"
            self._node.refuse(response, SERVICE, codes.NO_CAMERA, message)
        else:
            self._close_fragment()
            response.removed = list(self.beyond(request.radius_m, viewpoint_m))
            response.success, response.code = True, codes.OK
            response.message = f"{len(response.removed)} fragments beyond {request.radius_m:g} m are forgotten"
