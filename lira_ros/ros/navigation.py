"""Goals to Nav2: navigate_to_pose, without ever waiting for it without an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionClient
from rclpy.task import Future as RosFuture

from lira_ros.ros.node import LiraNode

# Discovery takes up to 2.6 s with the defaults of Fast DDS.
SERVER_WAIT_S, LOOK_PERIOD_S = 4.0, 0.1
# Nav2 accepts a goal as soon as its behaviour tree is ready, in well below a second.
ANSWER_WAIT_S = 5.0


class Navigator:
    """A client of navigate_to_pose; made when it is first needed, and kept. Used in the executor thread."""

    def __init__(self, node: LiraNode, action_name: str) -> None:
        """Take the name of the action, relative to the namespace of the node."""
        self._node = node
        self._name = action_name
        self._client: ActionClient | None = None

    async def go(self, goals: Sequence[PoseStamped]) -> tuple[int | None, str]:
        """Send goals, best first, until one is accepted; returns which one, None for none of them, and a sentence."""
        try:
            from nav2_msgs.action import NavigateToPose
        except ImportError:
            return None, "nav2_msgs is not installed here, and nothing can be sent to Nav2 without it"
        if self._client is None:
            self._client = ActionClient(self._node, NavigateToPose, self._name)
        client = self._client
        for _ in range(round(SERVER_WAIT_S / LOOK_PERIOD_S)):
            if client.server_is_ready():
                break
            await self._node.within(LOOK_PERIOD_S, RosFuture())
        else:
            return None, f"{self._full_name()}: no action server came within {SERVER_WAIT_S:g} s: is Nav2 active?"
        for number, goal in enumerate(goals):
            answer = await self._accepted(client, NavigateToPose.Goal(pose=_latest(goal)))
            if answer is None:
                return None, f"{self._full_name()} did not answer within {ANSWER_WAIT_S:g} s"
            if answer:
                return number, f"{self._full_name()} drives to goal {number + 1} of {len(goals)}"
        return None, f"{self._full_name()} refused all {len(goals)} goals"

    async def _accepted(self, client: ActionClient, goal: Any) -> bool | None:
        # True or False as the server says, None when it says nothing.
        future = client.send_goal_async(goal)
        if not await self._node.within(ANSWER_WAIT_S, future):
            return None
        return bool(future.result().accepted)

    def _full_name(self) -> str:
        return self._node.resolve_topic_name(self._name)


def _latest(goal: PoseStamped) -> PoseStamped:
    # Stamps are those of the sensor; a planner would look for transforms of the past. Zero asks for the newest.
    message = PoseStamped(header=goal.header, pose=goal.pose)
    message.header = type(goal.header)(frame_id=goal.header.frame_id, stamp=Time())
    return message
