"""Searches from the outside: what lira_ros.client offers, and what lira instruct shows while it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_msgs.msg import InstanceMap, InstanceMapUpdate, InstructionArray, InstructionStatusArray
from lira_msgs.srv import GetGoalBeside, LoadMap, QueryInstances
from lira_ros.fusion.contracts import Instance, InstructionStatus, SearchState
from lira_ros.ros import qos
from lira_ros.ros.client import InstructionClient
from lira_ros.ros.conversions.geometry import pose_from_message
from lira_ros.ros.conversions.instance import instance_from_message
from lira_ros.ros.errors import ServiceError, plain_sentence
from lira_ros.ros.instance_map_input import InstanceMaps

# How long is listened at once while something is waited for.
LISTEN_S = 0.1
# Saving and loading a large map takes seconds.
MAP_TIMEOUT_S = 60.0
# From these states a search does not come to a result by itself.
ENDED = (SearchState.NONE_CONFORM, SearchState.CANCELLED, SearchState.FAILED)


@dataclass(frozen=True)
class Goal:
    """Where a robot can stand beside an instance and face it, in frame_id; score: [0, 1], the best first."""

    frame_id: str
    T_frame_goal: NDArray[np.float64]
    score: float

    @property
    def x_m(self) -> float:
        """Return the first coordinate [m]."""
        return float(self.T_frame_goal[0, 3])

    @property
    def y_m(self) -> float:
        """Return the second coordinate [m]."""
        return float(self.T_frame_goal[1, 3])

    @property
    def yaw_rad(self) -> float:
        """Return the direction about the vertical axis [rad]."""
        return float(np.arctan2(self.T_frame_goal[1, 0], self.T_frame_goal[0, 0]))


class Lira:
    """The running nodes as an object; a context manager. Use it from one thread: it listens while it is called."""

    def __init__(self, namespace: str = "lira", timeout_s: float = 10.0) -> None:
        """Talk to the nodes of a namespace; ``timeout_s``: how long a service is waited for [s]."""
        self._client = InstructionClient(namespace, timeout_s)
        self.maps = InstanceMaps()

    def __enter__(self) -> Lira:
        """Begin to listen."""
        node = self._client.__enter__().node
        for kind, topic, profile, take in (
            (InstructionArray, "instructions", qos.latched(), lambda message, _: self.maps.take_instructions(message)),
            (
                InstructionStatusArray,
                "instruction_status",
                qos.latched(),
                lambda message, _: self.maps.take_statuses(message),
            ),
            (InstanceMap, "instance_map", qos.instance_maps(), self.maps.take_map),
            (InstanceMapUpdate, "instance_map/updates", qos.instance_updates(), self.maps.take_update),
        ):
            node.create_subscription(kind, topic, partial(self._take, take, node.resolve_topic_name(topic)), profile)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End listening; instructions stay active."""
        self._client.__exit__(kind, error, trace)

    def submit(self, text: str, instruction_id: str = "", *, replace: bool = False) -> Search:
        """Give an instruction and return the search for what it asks for.

        replace: an active instruction with this id is replaced. Raises ServiceError with the sentence of the node when
        it was refused.
        """
        if replace:
            self.maps.statuses.pop(instruction_id, None)  # what is heard from here on is of the new one
        reply = self._client.submit(text, instruction_id, replace)
        if not reply.success:
            raise ServiceError(reply.message)
        return Search(self, reply.id, reply.message)

    def search(self, instruction_id: str) -> Search:
        """Return the search of an instruction that is active, whoever gave it."""
        return Search(self, instruction_id, "")

    def cancel(self, instruction_id: str) -> str:
        """Cancel an instruction, or all with an empty id; returns what the node says. ServiceError when it refused."""
        reply = self._client.cancel(instruction_id)
        if not reply.success:
            raise ServiceError(reply.message)
        return reply.message

    def query(
        self,
        text: str = "",
        *,
        ids: Iterable[int] = (),
        label: str = "",
        relation: str = "",
        relative_to: int = 0,
        max_results: int = 0,
    ) -> list[Instance]:
        """Return what is mapped already and meets all conditions given, the best first; see QueryInstances.srv.

        The verdicts on a text are those of the instruction "query". Raises ServiceError when the node refused.
        """
        request = QueryInstances.Request(
            text=text, ids=list(ids), label=label, relation=relation, relative_to=relative_to,
            max_results=max_results, include_voxels=True,
        )  # fmt: skip
        response = self._checked(QueryInstances, "query_instances", request)
        return [instance_from_message(item, "query_instances") for item in response.instances]

    def goals_beside(self, instance: Instance | int, *, distance_m: float = 0.0, navigate: bool = False) -> list[Goal]:
        """Return free poses beside an instance that face it, the best first.

        distance_m: between the outlines of robot and instance, 0 = as configured. navigate: also let Nav2 drive there.
        Raises ServiceError when there is none; its sentence says why.
        """
        number = instance if isinstance(instance, int) else instance.id
        request = GetGoalBeside.Request(instance_id=number, distance_m=distance_m, navigate=navigate)
        response = self._checked(GetGoalBeside, "get_goal_beside", request)
        return [
            Goal(goal.header.frame_id, pose_from_message(goal.pose, "get_goal_beside"), score)
            for goal, score in zip(response.goals, response.scores, strict=True)
        ]

    def save_map(self, name: str, timeout_s: float = MAP_TIMEOUT_S) -> list[str]:
        """Let the nodes save their map; returns the files. Raises ServiceError when they could not."""
        return self._client.save_map(name, timeout_s)

    def load_map(self, name: str, timeout_s: float = MAP_TIMEOUT_S) -> str:
        """Let the nodes take up a saved map; returns what they say. Raises ServiceError when they refused."""
        response = self._checked(LoadMap, "load_map", LoadMap.Request(name=name), timeout_s)
        return plain_sentence(response.message)

    def listen(self, seconds: float) -> None:
        """Take in what the nodes published, for so long."""
        self._client.spin(seconds)

    def _checked(self, kind: Any, name: str, request: Any, timeout_s: float | None = None) -> Any:
        response = self._client.call(kind, name, request, timeout_s)
        if not response.success:
            raise ServiceError(f"{name}: {plain_sentence(response.message)}")
        return response

    def _take(self, take: Callable[[Any, str], object], topic: str, message: Any) -> None:
        try:
            take(message, topic)
        except ValueError as error:  # of another version, or broken: what was held stays
            self._client.node.get_logger().warning(plain_sentence(str(error)), throttle_duration_sec=5.0)


class Search:
    """What is known of one instruction; it is brought up to date by wait(), found() and listen() of its Lira."""

    def __init__(self, lira: Lira, instruction_id: str, understood: str) -> None:
        self.id = instruction_id
        self.understood = understood
        self._lira = lira
        self._was_listed = False

    @property
    def status(self) -> InstructionStatus:
        """Return where the search stands."""
        maps = self._lira.maps
        self._was_listed |= self.id in maps.instructions
        if self._was_listed and self.id not in maps.instructions:
            return InstructionStatus(self.id, SearchState.CANCELLED, "The instruction was cancelled.")
        return maps.statuses.get(self.id) or InstructionStatus(self.id, SearchState.PENDING, "Nothing was heard yet.")

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Return what conforms so far, the best first."""
        held = self._lira.maps.instances(self.id).values()
        return tuple(sorted(held, key=lambda item: (-_score(item, self.id), item.id)))

    def wait(self, timeout_s: float, count: int = 1) -> tuple[Instance, ...]:
        """Wait until so many instances conform or the search has ended, and return those that do.

        Returns what there is when time is up; ``status`` says why nothing was found.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self._lira.listen(LISTEN_S)
            if len(self.instances) >= count or self.status.state in ENDED:
                break
        return self.instances

    def found(self, timeout_s: float) -> Iterator[Instance]:
        """Iterate over the instances as they are found, each once, until the search has ended or time is up."""
        deadline_s = time.monotonic() + timeout_s
        known: set[int] = set()
        while True:
            for instance in self.instances:
                if instance.id not in known:
                    known.add(instance.id)
                    yield instance
            if time.monotonic() >= deadline_s or self.status.state in ENDED:
                return
            self._lira.listen(LISTEN_S)

    def cancel(self) -> None:
        """Cancel the instruction; raises ServiceError when it is gone already."""
        self._lira.cancel(self.id)


def _score(instance: Instance, instruction_id: str) -> float:
    verdict = instance.verdicts.get(instruction_id)
    return 0.0 if verdict is None else verdict.score
