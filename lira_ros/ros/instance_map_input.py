"""Instance maps in: what conforms to each instruction, kept from full maps and updates as the fusion publishes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lira_msgs.msg import InstanceMap, InstanceMapUpdate, InstructionArray, InstructionStatusArray
from lira_ros.fusion.contracts import Instance, InstructionStatus, Removal, SearchState
from lira_ros.reasoning.contracts import MAX_INSTRUCTION_CHARACTERS
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.ros import qos
from lira_ros.ros.conversions.instance import instance_from_message, removal_from_message
from lira_ros.ros.conversions.instruction import MAX_STATUS_CHARACTERS, status_from_message
from lira_ros.ros.conversions.time import stamp_to_ns
from lira_ros.ros.inputs import Input
from lira_ros.ros.node import LiraNode

# Updates wait here while earlier ones are taken; each holds only what changed, so that none may be left out.
UPDATE_QUEUE = 400
# Full maps wait here: one message for each instruction whenever something changed.
MAP_QUEUE = 64


@dataclass(frozen=True)
class InstanceChange:
    """What one message changed of the map of one instruction.

    changed: new or changed instances, whole. removed: the ids of those that were held and are gone, and why, None where
    nobody said it (a map that started anew, an instruction that was cancelled).
    """

    instruction_id: str
    changed: tuple[Instance, ...]
    removed: Mapping[int, Removal | None]


@dataclass(frozen=True)
class AskedInstruction:
    """An active instruction as it was accepted: its text, and in words how it was understood."""

    text: str
    understood: str
    submitted_ns: int


@dataclass
class _Held:
    """The map of one instruction; lost: an update is missing, so that whatever full map comes next is right."""

    instances: dict[int, Instance] = field(default_factory=dict)
    revision: int = 0
    stamp_ns: int = 0
    lost: bool = True


class InstanceMaps:
    """The maps of all instructions as far as they were told. Not thread-safe: it has one owner."""

    def __init__(self) -> None:
        self.frame_id = ""
        self.stamp_ns = 0
        self.instructions: dict[str, AskedInstruction] = {}  # those that are active, by time of submission
        self.statuses: dict[str, InstructionStatus] = {}
        self._held: dict[str, _Held] = {}

    def instances(self, instruction_id: str) -> Mapping[int, Instance]:
        """Return what conforms to an instruction, by instance id; empty for one that is unknown."""
        held = self._held.get(instruction_id)
        return {} if held is None else held.instances

    def revision(self, instruction_id: str) -> int:
        """Return the revision of the map of an instruction, 0 for one that is unknown."""
        held = self._held.get(instruction_id)
        return 0 if held is None else held.revision

    def instruction_ids(self) -> tuple[str, ...]:
        """Return the ids of the instructions that are active or have a map, by time of submission where it is known."""
        return tuple(dict.fromkeys([*self.instructions, *self.statuses, *self._held]))

    def take_instructions(self, message: InstructionArray) -> None:
        """Note which instructions are active."""
        self.instructions = {
            item.id: AskedInstruction(
                plain_text(item.text, MAX_INSTRUCTION_CHARACTERS),
                plain_text(item.understood, MAX_STATUS_CHARACTERS),
                stamp_to_ns(item.submitted),
            )
            for item in message.instructions
        }

    def take_statuses(self, message: InstructionStatusArray) -> list[InstanceChange]:
        """Note where the instructions stand; an instruction that is not named any more has no map any more."""
        self.statuses = {item.instruction_id: status_from_message(item) for item in message.statuses}
        gone = [name for name in self._held if name not in self.statuses]
        return [self._clear(name) for name in gone]

    def take_map(self, message: InstanceMap, topic: str) -> InstanceChange | None:
        """Take up a full map unless a newer one is held; raises ConversionError naming topic and field."""
        status = status_from_message(message.status)
        if status.state == SearchState.CANCELLED:
            return self._clear(message.instruction_id)
        held = self._held.get(message.instruction_id, _Held())
        stamp_ns = stamp_to_ns(message.header.stamp)
        if not held.lost and (stamp_ns, message.revision) < (held.stamp_ns, held.revision):
            return None  # an update has overtaken it
        instances = {item.id: instance_from_message(item, topic) for item in message.instances}
        tombstones = {item.id: item for item in (removal_from_message(item, topic) for item in message.removed)}
        gone = {number: tombstones.get(number) for number in held.instances if number not in instances}
        same = not held.lost and message.revision == held.revision and held.instances.keys() == instances.keys()
        self._hold(message.instruction_id, _Held(instances, message.revision, stamp_ns, False), message.header.frame_id)
        if same:
            return None
        return InstanceChange(message.instruction_id, tuple(instances.values()), gone)

    def take_update(self, message: InstanceMapUpdate, topic: str) -> InstanceChange | None:
        """Apply a change; one that does not follow what is held waits for the next full map.

        Raises ConversionError naming topic and field.
        """
        name = message.instruction_id
        if status_from_message(message.status).state == SearchState.CANCELLED:
            return self._clear(name)
        held = self._held.get(name, _Held())
        stamp_ns = stamp_to_ns(message.header.stamp)
        gone: dict[int, Removal | None] = {}
        if message.clear:
            gone = dict.fromkeys(held.instances)
            held = _Held({}, message.base_revision, stamp_ns, False)
        elif held.lost or message.base_revision != held.revision:
            # One of before the full map that is held changes nothing; after a newer one something is missing.
            held.lost = held.lost or message.base_revision > held.revision
            self._held[name] = held
            return None
        changed = {item.id: instance_from_message(item, topic) for item in message.changed}
        removed = {item.id: removal_from_message(item, topic) for item in message.removed}
        gone |= {number: removal for number, removal in removed.items() if number in held.instances}
        left = {number: item for number, item in held.instances.items() if number not in removed}
        self._hold(name, _Held({**left, **changed}, message.revision, stamp_ns, False), message.header.frame_id)
        return InstanceChange(name, tuple(changed.values()), {n: why for n, why in gone.items() if n not in changed})

    def _hold(self, name: str, held: _Held, frame_id: str) -> None:
        self._held[name] = held
        self.stamp_ns, self.frame_id = max(self.stamp_ns, held.stamp_ns), frame_id or self.frame_id

    def _clear(self, name: str) -> InstanceChange:
        held = self._held.pop(name, _Held())
        return InstanceChange(name, (), dict.fromkeys(held.instances))


class InstanceMapInput:
    """Subscribes a node to the instance maps; ``changed`` is called in its worker with every change."""

    def __init__(self, node: LiraNode, changed: Callable[[InstanceChange], None]) -> None:
        self.maps = InstanceMaps()
        self._node = node
        self._changed = changed
        self._entries: list[Input] = []
        node.worker.add_queue("instructions", self._take_instructions, 1)  # each is the whole list
        node.worker.add_queue("instruction status", self._take_statuses, 1)
        node.worker.add_queue("instance maps", self._take_map, MAP_QUEUE)
        node.worker.add_queue("instance updates", self._take_update, UPDATE_QUEUE)

    def open(self) -> None:
        """Subscribe; the node waits for instruction_status, which the fusion latches."""
        self._entries.clear()  # those of before a deactivation have ended with it
        for kind, topic, queue, profile, required in (
            (InstructionArray, "instructions", "instructions", qos.latched(), False),
            (InstructionStatusArray, "instruction_status", "instruction status", qos.latched(), True),
            (InstanceMap, "instance_map", "instance maps", qos.instance_maps(), False),
            (InstanceMapUpdate, "instance_map/updates", "instance updates", qos.instance_updates(), False),
        ):
            entry = self._node.subscribe(
                kind,
                topic,
                lambda message, queue=queue: self._node.worker.put(queue, message),
                profile,
                required=required,
            )
            self._entries.append(entry)

    def close(self) -> None:
        """Unsubscribe before deactivation, in the executor thread; what is held stays until clear()."""
        for entry in self._entries:
            self._node.unsubscribe(entry)
        self._entries.clear()

    def clear(self) -> None:
        """Forget everything, for a node that stops listening; nothing is called for it."""
        self.maps = InstanceMaps()

    def _take_instructions(self, message: InstructionArray) -> None:
        self.maps.take_instructions(message)

    def _take_statuses(self, message: InstructionStatusArray) -> None:
        for change in self.maps.take_statuses(message):
            self._changed(change)

    def _take_map(self, message: InstanceMap) -> None:
        self._tell(self.maps.take_map(message, self._node.resolve_topic_name("instance_map")))

    def _take_update(self, message: InstanceMapUpdate) -> None:
        self._tell(self.maps.take_update(message, self._node.resolve_topic_name("instance_map/updates")))

    def _tell(self, change: InstanceChange | None) -> None:
        if change is not None:
            self._changed(change)
