"""Publish the map of each instruction: full and as updates, with its status, and for people as markers and points."""

from __future__ import annotations

from collections.abc import Collection

from lira_msgs.msg import InstanceMap, InstanceMapUpdate, InstructionStatusArray
from lira_ros.fusion.conforming_map import ConformingMap
from lira_ros.fusion.contracts import InstructionStatus, SearchState
from lira_ros.fusion.instance_map import Delta
from lira_ros.ros import qos
from lira_ros.ros.conversions.instance import map_to_message, update_to_message
from lira_ros.ros.conversions.instruction import statuses_to_message
from lira_ros.ros.inputs import LARGEST_AGE_S
from lira_ros.ros.instance_output import InstanceOutput
from lira_ros.ros.node import LiraNode
from lira_ros.ros.sessions import MappingSessions


class InstanceMapOutput:
    """The topics of one ConformingMap; used in the worker thread."""

    def __init__(self, node: LiraNode, conforming_map: ConformingMap, sessions: MappingSessions) -> None:
        """Publish in the map frame of the current session."""
        self._node = node
        self._map = conforming_map
        self._sessions = sessions
        self._sequence = 0
        self._withdrawn = False
        self._stale: set[str] = set()  # instructions whose latched map is not the newest
        self._maps = node.publish_on(InstanceMap, "instance_map", qos.instance_maps())
        self._updates = node.publish_on(InstanceMapUpdate, "instance_map/updates", qos.instance_updates())
        self._output = InstanceOutput(node)
        self._status = node.publish_on(InstructionStatusArray, "instruction_status", qos.latched())

    def follow_instructions(self, known: Collection[str], gone: Collection[str]) -> None:
        """Take down the maps of instructions that are gone or start anew, and announce those that were not known."""
        active = {item.id for item in self._map.instructions}
        for name in gone:
            status = InstructionStatus(name, SearchState.CANCELLED, "The instruction was cancelled.")
            self._publish_cleared(self._map.status(name) if name in active else status)
            if name not in active:  # who takes the last latched map of each instruction must not find the old one
                self._maps.publish(map_to_message((), (), status, (), 0, self._map.stamp_ns, self._sessions.map_frame))
                self._stale.discard(name)
        self._stale |= active - set(known)
        self._publish_status()
        self.show()

    def start_anew(self) -> None:
        """Tell everybody that the maps of all instructions are empty."""
        for status in self._map.statuses():
            self._publish_cleared(status)
            self._stale.add(status.instruction_id)
        self._publish_status()
        self.show()

    def show(self) -> None:
        """Publish markers, points and detections of what conforms now."""
        # Before the first keyframe nothing has a frame; what was queued before a deactivation shows nothing after it.
        if self._sessions.current and self._node.state == "active":
            shown = {item.id: self._map.view(item.id).instances for item in self._map.instructions}
            self._output.show(shown, self._map.stamp_ns, self._sessions.map_frame)

    def withdraw(self) -> None:
        """Take down markers, points and detections, until changes are published again."""
        self._withdrawn = True
        self._output.show({}, self._map.stamp_ns, self._sessions.map_frame)

    def publish_changes(self) -> None:
        """Judge what has changed and publish it as updates."""
        states = {status.instruction_id: status.state for status in self._map.statuses()}
        changes = self._map.refresh()
        for change in changes:
            if change.delta is not None:
                self._publish_update(change.status, change.delta)
            if change.delta is not None or change.status.state != states[change.instruction_id]:
                self._stale.add(change.instruction_id)
        if changes:
            self._publish_status()
        if self._withdrawn or any(change.delta is not None for change in changes):
            self._withdrawn = False
            self.show()

    def publish_stale_maps(self) -> None:
        """Renew the latched full maps when one has changed."""
        # One latched topic holds the maps of all instructions: all are sent again when one has changed, so that the
        # last messages are always one of each.
        if not self._stale:
            return
        self._stale.clear()
        for instruction in self._map.instructions:
            self._maps.publish(self.full_map(instruction.id, include_rejected=False))

    def full_map(self, instruction_id: str, *, include_rejected: bool) -> InstanceMap:
        """Return the whole map of an instruction, with what does not conform when asked for."""
        view = self._map.view(instruction_id)
        return map_to_message(
            view.instances,
            self._map.rejected(instruction_id) if include_rejected else (),
            self._map.status(instruction_id),
            view.removed,
            view.revision,
            self._map.stamp_ns,
            self._sessions.map_frame,
        )

    def _publish_update(self, status: InstructionStatus, delta: Delta) -> None:
        self._sequence += 1
        self._updates.publish(
            update_to_message(
                delta.changed,
                delta.removed,
                status,
                (delta.base_revision, delta.revision),
                self._sequence,
                self._map.stamp_ns,
                self._sessions.map_frame,
            )
        )
        if delta.changed:
            newest_ns = max(item.last_seen_ns for item in delta.changed)
            age_s = (self._node.get_clock().now().nanoseconds - newest_ns) * 1e-9
            if 0 <= age_s < LARGEST_AGE_S:  # a bag without /clock has stamps of another day
                self._node.statistics.latency("sensor stamp to published instance", age_s)

    def _publish_cleared(self, status: InstructionStatus) -> None:
        # Tell who applies updates that an instruction has no instances any more and starts again at revision 0.
        self._sequence += 1
        stamp_ns, frame = self._map.stamp_ns, self._sessions.map_frame
        self._updates.publish(update_to_message((), (), status, (0, 0), self._sequence, stamp_ns, frame, clear=True))

    def _publish_status(self) -> None:
        self._status.publish(statuses_to_message(self._map.statuses(), self._map.stamp_ns, self._sessions.map_frame))
