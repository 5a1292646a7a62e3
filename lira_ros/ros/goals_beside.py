"""Goals beside instances: the service get_goal_beside, and the best goal for the newest instruction as a topic."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from std_msgs.msg import Header

from lira_msgs.srv import GetGoalBeside
from lira_ros.fusion.contracts import Instance
from lira_ros.geometry.pose import inverse
from lira_ros.planning.goals import Goal, GoalConfiguration, GoalFinder, steady
from lira_ros.planning.outline import Outline
from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_from_message, pose_to_message
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.grid_input import GridInput, PlacedGrid
from lira_ros.ros.instance_map_input import InstanceMaps
from lira_ros.ros.navigation import Navigator
from lira_ros.ros.node import LiraNode

SERVICE = "get_goal_beside"
# Another instance takes the place of the one whose goal was told when it conforms better by this much; verdicts move by
# hundredths from keyframe to keyframe.
BETTER_SCORE = 0.1


class RequestRefused(ValueError):
    """A request that cannot be answered; code is a constant of GetGoalBeside.Response."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class _Told:
    """The goal that was told last: of which instance, and its pose in the frame of the grid that it came from."""

    instruction_id: str
    instance_id: int
    frame_id: str
    T_frame_robot: NDArray[np.float64]


class GoalsBeside:
    """Finds goals beside the instances of the maps of a node."""

    def __init__(
        self,
        node: LiraNode,
        maps: Callable[[], InstanceMaps],
        grid: GridInput,
        navigator: Navigator,
        configuration: GoalConfiguration,
        robot_frame: str,
    ) -> None:
        """Publish instances/goal_pose while somebody listens; the service is offered by the node."""
        self._node, self._current_maps, self._grid, self._navigator = node, maps, grid, navigator
        self._configuration, self._robot_frame = configuration, robot_frame
        # Below instances/: Nav2 drives to what it hears on goal_pose, which nobody asked for.
        self._publisher = node.publish_on(PoseStamped, "instances/goal_pose", qos.latched())
        self._told: _Told | None = None
        self._looked_at: object = None

    @property
    def _maps(self) -> InstanceMaps:
        return self._current_maps()

    @property
    def is_watched(self) -> bool:
        """Tell whether somebody listens to the goal."""
        return self._publisher.get_subscription_count() > 0

    # ---- service -------------------------------------------------------------------------------------------------

    async def answer(self, request: GetGoalBeside.Request, response: GetGoalBeside.Response) -> None:
        """Answer a request; in the executor thread, which waits for the grid and for Nav2 without blocking."""
        try:
            await self._answer(request, response)
        except RequestRefused as refused:
            self._node.refuse(response, SERVICE, refused.code, str(refused))

    async def _answer(self, request: GetGoalBeside.Request, response: GetGoalBeside.Response) -> None:
        codes = GetGoalBeside.Response
        _check(request)
        instance = await self._node.in_worker(lambda: self._asked(request))
        start_frame = request.start.header.frame_id.lstrip("/") if request.use_start else self._robot_frame
        frames = tuple(name for name in (self._maps.frame_id, start_frame) if name)
        if not await self._grid.ready(lambda _: frames):
            raise RequestRefused(codes.NO_GRID, self._grid.missing(self._maps.frame_id))
        await self._node.in_worker(functools.partial(self._find, request, response, instance))
        if request.navigate:
            accepted, text = await self._navigator.go(response.goals)
            response.message = f"{response.message}; {text}"
            if accepted is None:
                response.success, response.code = False, codes.NAVIGATION_REFUSED
                self._node.report("navigation refused", f"{SERVICE}: {text}")

    def _asked(self, request: GetGoalBeside.Request) -> Instance:
        codes, maps = GetGoalBeside.Response, self._maps
        known = {number: item for name in maps.instruction_ids() for number, item in maps.instances(name).items()}
        if request.instance_id:
            if request.instance_id not in known:
                there = ", ".join(str(number) for number in sorted(known)[:20]) or "none"
                message = (
                    f"instance_id {request.instance_id}: no instance that conforms has this id; there are: {there}"
                )
                raise RequestRefused(codes.UNKNOWN_ID, message)
            return known[request.instance_id]
        name = request.instruction_id or self._newest()
        if not name:
            raise RequestRefused(codes.UNKNOWN_ID, "instance_id 0: no instruction is active; submit one first")
        if name not in maps.instruction_ids():
            active = ", ".join(maps.instruction_ids()) or "none"
            raise RequestRefused(codes.UNKNOWN_ID, f"instruction_id {name!r}: no such instruction; active: {active}")
        best = self._best_of(name)
        if best is None:
            raise RequestRefused(codes.UNKNOWN_ID, f"{name}: nothing conforms to it so far")
        return best

    def _find(self, request: GetGoalBeside.Request, response: GetGoalBeside.Response, instance: Instance) -> None:
        codes = GetGoalBeside.Response
        placed = self._grid.placed(self._maps.frame_id)
        if placed is None:
            raise RequestRefused(codes.NO_GRID, self._grid.missing(self._maps.frame_id))
        start, remark = self._start(request, placed)
        finder = GoalFinder(placed.grid, self._configuration, start)
        if not finder.can_start:
            assert start is not None
            raise RequestRefused(
                codes.NO_START,
                f"the robot is at x {start[0]:.2f} m, y {start[1]:.2f} m of the grid, and within "
                f"{self._configuration.start_reach_m:g} m no place for a radius of "
                f"{self._configuration.robot_radius_m:g} m is free; the nearest is {finder.entry_m:.2f} m away",
            )
        outline = Outline.of_instance(instance, placed.T_grid_map)
        found = finder.find(outline, request.distance_m or None, request.max_goals or None)
        what = f"instance {instance.id} ({instance.label or 'thing'})"
        if not found.goals:
            raise RequestRefused(codes.NO_FREE_POSE, f"{what}: {found.describe()}{remark}")
        blind = "" if found.goals[0].sight > 0 else "; it is seen from none of them"
        response.success, response.code, response.instance_id = True, codes.OK, instance.id
        response.message = f"{what}: {found.describe()}{blind}{remark}"
        response.goals = [self._pose(goal, placed) for goal in found.goals]
        response.scores = [goal.score for goal in found.goals]
        response.distances_m = [goal.distance_m for goal in found.goals]

    def _start(self, request: GetGoalBeside.Request, placed: PlacedGrid) -> tuple[NDArray[np.float64] | None, str]:
        # Where the robot is on the grid, (2,) [m], and a remark for the answer when nobody knows.
        if not request.use_start:
            start = self._robot(placed)
            if start is None:
                return None, f"; TF does not know where {self._robot_frame!r} is, so no way to it was looked for"
            return start, ""
        frame = request.start.header.frame_id.lstrip("/") or self._maps.frame_id
        T_frame_start = self._grid.between(placed.frame_id, frame)
        if T_frame_start is None:
            message = f"start is in the frame {frame!r}, and TF knows no way from there to {placed.frame_id!r}"
            raise RequestRefused(GetGoalBeside.Response.NO_START, message)
        pose = T_frame_start @ pose_from_message(request.start.pose, f"{SERVICE} start")
        return (inverse(placed.T_frame_grid) @ pose)[:2, 3], ""

    def _robot(self, placed: PlacedGrid) -> NDArray[np.float64] | None:
        if not self._robot_frame:
            return None
        T_frame_robot = self._grid.between(placed.frame_id, self._robot_frame)
        return None if T_frame_robot is None else (inverse(placed.T_frame_grid) @ T_frame_robot)[:2, 3]

    def _pose(self, goal: Goal, placed: PlacedGrid) -> PoseStamped:
        stamp = stamp_from_ns(max(placed.stamp_ns, self._maps.stamp_ns))
        T_grid_robot = np.eye(4)
        cosine, sine = math.cos(goal.yaw), math.sin(goal.yaw)
        T_grid_robot[:2, :2] = [[cosine, -sine], [sine, cosine]]
        T_grid_robot[:2, 3] = goal.position
        pose = pose_to_message(placed.T_frame_grid @ T_grid_robot)
        return PoseStamped(header=Header(stamp=stamp, frame_id=placed.frame_id), pose=pose)

    # ---- topic ---------------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Publish the goal of the newest instruction when it has changed; in the worker thread."""
        if not self.is_watched:
            self._looked_at = None
            return
        placed = self._grid.placed(self._maps.frame_id)
        if placed is None:
            self.clear()  # the map has started anew
            return
        name = self._newest()
        instance = self._steady_best(name)
        looked_at = (name, placed, self._maps.revision(name), None if instance is None else instance.id)
        if looked_at == self._looked_at:
            return
        self._looked_at = looked_at
        self._renew(name, instance, placed)

    def clear(self, stamp_ns: int = 0) -> None:
        """Take the goal back, by a pose without a frame: whoever comes late must not drive to it."""
        self._looked_at = None
        if self._told is not None:
            self._told = None
            self._publisher.publish(PoseStamped(header=Header(stamp=stamp_from_ns(stamp_ns))))

    def _renew(self, name: str, instance: Instance | None, placed: PlacedGrid) -> None:
        if instance is None:
            self.clear(placed.stamp_ns)
            return
        finder = GoalFinder(placed.grid, self._configuration, self._robot(placed))
        if not finder.can_start:
            finder = GoalFinder(placed.grid, self._configuration)
        outline = Outline.of_instance(instance, placed.T_grid_map)
        goals = finder.find(outline, max_goals=1).goals
        if not goals:
            self.clear(placed.stamp_ns)
            return
        told = self._told
        key = (name, instance.id, placed.frame_id)
        if told is not None and (told.instruction_id, told.instance_id, told.frame_id) == key:
            position = (inverse(placed.T_frame_grid) @ told.T_frame_robot)[:2, 3]
            if steady(goals[0], finder.rate(outline, position)):
                return
        message = self._pose(goals[0], placed)
        self._told = _Told(name, instance.id, placed.frame_id, pose_from_message(message.pose, "goal"))
        self._publisher.publish(message)

    def _newest(self) -> str:
        # Maps and the list of instructions come on topics of their own; the list knows the order.
        maps = self._maps
        return next(reversed(maps.instructions), "") or next(reversed(maps.instruction_ids()), "")

    def _best_of(self, name: str) -> Instance | None:
        return max(self._maps.instances(name).values(), key=functools.partial(_score, name), default=None)

    def _steady_best(self, name: str) -> Instance | None:
        best, told = self._best_of(name), self._told
        if best is not None and told is not None and told.instruction_id == name:
            before = self._maps.instances(name).get(told.instance_id)
            if before is not None and _score(name, best)[0] < _score(name, before)[0] + BETTER_SCORE:
                return before
        return best


def _score(name: str, instance: Instance) -> tuple[float, int]:
    # Of those that conform equally well the one that was known first.
    verdict = instance.verdicts.get(name)
    return (verdict.score if verdict is not None else 0.0, -instance.id)


def _check(request: GetGoalBeside.Request) -> None:
    invalid = GetGoalBeside.Response.INVALID_REQUEST
    if not (math.isfinite(request.distance_m) and 0 <= request.distance_m <= 100.0):
        raise RequestRefused(invalid, f"distance_m: expected 0 to 100 m, got {request.distance_m}")
    if request.use_start:
        try:
            pose_from_message(request.start.pose, "start")
        except ConversionError as error:
            raise RequestRefused(invalid, str(error)) from error
