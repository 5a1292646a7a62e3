"""lira_msgs/Instance, InstanceMap and InstanceMapUpdate <-> the contracts of fusion; detections and points."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from geometry_msgs.msg import Point, Vector3
from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection3D, Detection3DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

from lira_msgs.msg import Instance as InstanceMessage
from lira_msgs.msg import InstanceMap, InstanceMapUpdate
from lira_msgs.msg import InstanceView as InstanceViewMessage
from lira_msgs.msg import Removal as RemovalMessage
from lira_msgs.msg import Verdict as VerdictMessage
from lira_ros.fusion.contracts import (
    Conformity,
    Instance,
    InstanceState,
    InstanceView,
    InstructionStatus,
    OrientedBox,
    Removal,
    RemovalReason,
    Verdict,
)
from lira_ros.fusion.display_color import display_color
from lira_ros.reasoning.contracts import MAX_LABEL_CHARACTERS
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.ros.conversions.candidate import attributes_from_message, attributes_to_message
from lira_ros.ros.conversions.geometry import pose_from_message, pose_to_message
from lira_ros.ros.conversions.instruction import MAX_STATUS_CHARACTERS, status_to_message
from lira_ros.ros.conversions.points import points_to_message
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns
from lira_ros.ros.errors import ConversionError


def instance_to_message(instance: Instance, *, with_voxels: bool = True) -> InstanceMessage:
    """Convert an instance; without voxels its voxel arrays are empty."""
    colors = sorted(instance.colors.items(), key=lambda item: -item[1])
    names = sorted(instance.names.items(), key=lambda item: -item[1])
    message = InstanceMessage(
        id=instance.id,
        merged_from=array("I", instance.merged_from),
        state=int(instance.state),
        names=[name for name, _ in names],
        name_shares=array("f", [share for _, share in names]),
        colors=[name for name, _ in colors],
        color_shares=array("f", [share for _, share in colors]),
        color_deviation=float(instance.color_deviation),
        looks=float(instance.looks),
        label=instance.label,
        label_confidence=float(instance.label_confidence),
        existence=float(instance.existence),
        attributes=attributes_to_message(instance.attributes),
        box_pose=pose_to_message(instance.box.T_map_box),
        box_size=Vector3(**dict(zip("xyz", map(float, instance.box.size_m), strict=True))),
        centroid=Point(**dict(zip("xyz", map(float, instance.centroid), strict=True))),
        first_seen=stamp_from_ns(instance.first_seen_ns),
        last_seen=stamp_from_ns(instance.last_seen_ns),
        observations=instance.observations,
        voxel_size_m=float(instance.voxel_size_m),
    )
    if with_voxels:
        message.voxels = array("i", np.ascontiguousarray(instance.voxels, dtype=np.int32).tobytes())
        message.voxel_colors = array("B", np.ascontiguousarray(instance.voxel_colors, dtype=np.uint8).tobytes())
    message.embedding = array("f", np.asarray(instance.embedding, dtype=np.float32).tobytes())
    message.verdicts = verdicts_to_messages(instance.verdicts)
    return message


def verdicts_to_messages(verdicts: Mapping[str, Verdict]) -> list[VerdictMessage]:
    """Convert verdicts by instruction id, in the order of the ids."""
    return [
        VerdictMessage(instruction_id=name, verdict=int(v.conformity), score=float(v.score), reason=v.reason)
        for name, v in sorted(verdicts.items())
    ]


def instance_from_message(message: InstanceMessage, topic: str) -> Instance:
    """Convert back; raises ConversionError naming topic, instance and field when array lengths do not agree."""
    voxels = np.frombuffer(message.voxels, dtype=np.int32)
    colors = np.frombuffer(message.voxel_colors, dtype=np.uint8)
    if voxels.size % 3 or voxels.size != colors.size:
        raise ConversionError(
            f"{topic}: instance {message.id}: expected 3 voxel coordinates and 3 colours a voxel, "
            f"got {voxels.size} and {colors.size} values"
        )
    for field, shares in (("names", message.name_shares), ("colors", message.color_shares)):
        if len(getattr(message, field)) != len(shares):
            raise ConversionError(
                f"{topic}: instance {message.id}: expected a share for each of {field}, "
                f"got {len(shares)} for {len(getattr(message, field))}"
            )
    try:
        state = InstanceState(message.state)
    except ValueError as error:
        raise ConversionError(
            f"{topic}: instance {message.id}: expected state PROVISIONAL or CONFIRMED, got {message.state}"
        ) from error
    size = message.box_size
    label = plain_text(message.label, MAX_LABEL_CHARACTERS)
    return Instance(
        id=message.id,
        label=label,
        label_confidence=message.label_confidence,
        existence=message.existence,
        attributes=attributes_from_message(message.attributes),
        box=OrientedBox(
            pose_from_message(message.box_pose, f"{topic}: instance {message.id} box_pose"),
            np.array([size.x, size.y, size.z]),
        ),
        voxel_size_m=message.voxel_size_m,
        voxels=voxels.reshape(-1, 3).copy(),
        voxel_colors=colors.reshape(-1, 3).copy(),
        first_seen_ns=stamp_to_ns(message.first_seen),
        last_seen_ns=stamp_to_ns(message.last_seen),
        observations=message.observations,
        names=_shares(message.names, message.name_shares),
        embedding=np.frombuffer(message.embedding, dtype=np.float32).copy(),
        verdicts={
            v.instruction_id: Verdict(Conformity(v.verdict), v.score, plain_text(v.reason, MAX_STATUS_CHARACTERS))
            for v in message.verdicts
        },
        state=state,
        looks=message.looks,
        colors=_shares(message.colors, message.color_shares),
        color_deviation=message.color_deviation,
        merged_from=tuple(message.merged_from),
    )


def _shares(names: Sequence[str], shares: Sequence[float]) -> dict[str, float]:
    return {plain_text(name, MAX_LABEL_CHARACTERS): share for name, share in zip(names, shares, strict=True)}


def removal_to_message(removal: Removal) -> RemovalMessage:
    """Convert a tombstone."""
    return RemovalMessage(id=removal.id, reason=int(removal.reason), merged_into=removal.merged_into)


def removal_from_message(message: RemovalMessage, topic: str) -> Removal:
    """Convert back; raises ConversionError naming topic and instance for a reason that is none."""
    try:
        return Removal(message.id, RemovalReason(message.reason), message.merged_into)
    except ValueError as error:
        raise ConversionError(
            f"{topic}: removed instance {message.id}: expected reason REMOVED, MERGED or REJECTED, got {message.reason}"
        ) from error


def view_to_message(view: InstanceView, map_frame: str) -> InstanceViewMessage:
    """Convert a small picture of an instance."""
    message = InstanceViewMessage(
        instance_id=view.instance_id,
        keyframe_id=view.keyframe_id,
        stamp=stamp_from_ns(view.stamp_ns),
        visible_px=view.visible_px,
        score=float(view.score),
        direction=Vector3(**dict(zip("xyz", map(float, view.direction), strict=True))),
    )
    message.image.header.stamp = message.stamp
    message.image.header.frame_id = map_frame
    message.image.format = "jpeg"
    message.image.data = array("B", view.jpeg)
    return message


def map_to_message(
    instances: Iterable[Instance],
    rejected: Iterable[Instance],
    status: InstructionStatus,
    removed: Iterable[Removal],
    revision: int,
    stamp_ns: int,
    map_frame: str,
) -> InstanceMap:
    """Build the full map of one instruction; rejected instances go without voxels. removed: why others are gone."""
    message = InstanceMap(
        instruction_id=status.instruction_id,
        revision=revision,
        status=status_to_message(status),
        instances=[instance_to_message(item) for item in instances],
        rejected=[instance_to_message(item, with_voxels=False) for item in rejected],
        removed=[removal_to_message(item) for item in removed],
    )
    message.header.stamp = stamp_from_ns(stamp_ns)
    message.header.frame_id = map_frame
    return message


def update_to_message(
    changed: Sequence[Instance],
    removed: Sequence[Removal],
    status: InstructionStatus,
    revisions: tuple[int, int],
    sequence: int,
    stamp_ns: int,
    map_frame: str,
    *,
    clear: bool = False,
) -> InstanceMapUpdate:
    """Build a delta from one revision of an instruction's map to the next; revisions = (base, new)."""
    message = InstanceMapUpdate(
        instruction_id=status.instruction_id,
        sequence=sequence,
        base_revision=revisions[0],
        revision=revisions[1],
        clear=clear,
        status=status_to_message(status),
        changed=[instance_to_message(item) for item in changed],
        removed=[removal_to_message(item) for item in removed],
    )
    message.header.stamp = stamp_from_ns(stamp_ns)
    message.header.frame_id = map_frame
    return message


class DetectionLabels:
    """Number the labels of detections as they appear; the table is published latched as LabelInfo."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def number(self, label: str) -> int:
        """Return the class id of a label, giving it one when it is new."""
        return self._ids.setdefault(label, len(self._ids) + 1)

    @property
    def count(self) -> int:
        """Return the number of labels known."""
        return len(self._ids)

    def message(self, stamp_ns: int, map_frame: str) -> LabelInfo:
        """Return the table of class ids and names."""
        message = LabelInfo(threshold=0.0)
        message.header.stamp = stamp_from_ns(stamp_ns)
        message.header.frame_id = map_frame
        message.class_map = [VisionClass(class_id=number, class_name=name) for name, number in self._ids.items()]
        return message


def detections_to_message(
    instances_by_instruction: dict[str, Sequence[Instance]], labels: DetectionLabels, stamp_ns: int, map_frame: str
) -> Detection3DArray:
    """Build vision_msgs detections: id = "instruction/instance", class_id = number in LabelInfo, score = verdict."""
    message = Detection3DArray()
    message.header.stamp = stamp_from_ns(stamp_ns)
    message.header.frame_id = map_frame
    for instruction_id, instances in instances_by_instruction.items():
        for instance in instances:
            detection = Detection3D(id=f"{instruction_id}/{instance.id}")
            detection.header = message.header
            detection.bbox.center = pose_to_message(instance.box.T_map_box)
            detection.bbox.size = Vector3(**dict(zip("xyz", map(float, instance.box.size_m), strict=True)))
            result = ObjectHypothesisWithPose()
            result.hypothesis.class_id = str(labels.number(instance.label or "thing"))
            verdict = instance.verdicts.get(instruction_id)
            result.hypothesis.score = float(verdict.score if verdict else instance.existence)
            result.pose.pose = detection.bbox.center
            detection.results.append(result)
            message.detections.append(detection)
    return message


def instances_to_cloud(instances: Iterable[Instance], stamp_ns: int, map_frame: str) -> PointCloud2:
    """Build a cloud of all voxels with the fields x, y, z, rgb (display colour) and instance_id."""
    items = list(instances)
    counts = [len(item.voxels) for item in items]
    colors = np.array([display_color(item.id) for item in items]).reshape(-1, 3) * 255
    return points_to_message(
        np.concatenate([np.zeros((0, 3), np.float32), *(item.points for item in items)]),
        np.repeat(colors.astype(np.uint8), counts, axis=0),
        stamp_ns,
        map_frame,
        instance_ids=np.repeat(np.array([item.id for item in items], np.uint32), counts),
    )
