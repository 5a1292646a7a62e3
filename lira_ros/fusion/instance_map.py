"""The map of one instruction: the instances that conform, as a state, as deltas, and as a file.

A delta changes revision ``base_revision`` into ``revision``; whoever holds another revision fetches the full map.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lira_ros.fusion.contracts import (
    Conformity,
    Instance,
    InstanceState,
    InstructionStatus,
    Judgement,
    OrientedBox,
    Removal,
    RemovalReason,
    SearchState,
    Verdict,
)
from lira_ros.geometry.pose import from_quaternion, to_quaternion
from lira_ros.reasoning.contracts import Attributes, Instruction

FILE_FORMAT = "lira instance map"
FILE_VERSION = 2
# Sums of shares are rounded.
SHARE_ROUNDING = 1e-6

# Instances that left a map are remembered so that whoever held an id can still learn why; 16 kB a message at most.
MAX_REMOVALS = 1000


class RevisionError(ValueError):
    """A delta does not fit the revision held; fetch the full map. Names both revisions."""


@dataclass(frozen=True)
class Delta:
    """A change of one instruction's map; fields as in lira_msgs/InstanceMapUpdate.

    changed: new or changed instances, whole. removed: what does not conform or exist any more, and why. clear: forget
    all instances first. stamp_ns: stamp of the newest keyframe in it.
    """

    instruction_id: str
    stamp_ns: int
    base_revision: int
    revision: int
    changed: tuple[Instance, ...]
    removed: tuple[Removal, ...]
    clear: bool = False


@dataclass(frozen=True)
class InstanceMap:
    """The instances that conform to one instruction, best first; fields as in lira_msgs/InstanceMap.

    removed: why others that were in it are gone, newest last, MAX_REMOVALS at most.
    """

    instruction_id: str
    stamp_ns: int
    revision: int
    instances: tuple[Instance, ...]
    removed: tuple[Removal, ...] = ()


class InstanceMapView:
    """The map of one instruction, kept by whoever publishes it (update) or receives it (apply)."""

    def __init__(self, instruction_id: str) -> None:
        self.instruction_id = instruction_id
        self.revision = 0
        self.stamp_ns = 0
        self._instances: dict[int, Instance] = {}
        self._removed: dict[int, Removal] = {}  # in order of removal

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Return the conforming instances by falling score, equal ones by ascending id."""
        return tuple(sorted(self._instances.values(), key=lambda item: (-self._score(item), item.id)))

    @property
    def removed(self) -> tuple[Removal, ...]:
        """Return why instances that were in the map are gone, newest last."""
        return tuple(self._removed.values())

    def full(self) -> InstanceMap:
        """Return the whole map as it stands."""
        return InstanceMap(self.instruction_id, self.stamp_ns, self.revision, self.instances, self.removed)

    def update(
        self, instances: Sequence[Instance], judgement: Judgement, stamp_ns: int, merged: Mapping[int, int]
    ) -> Delta | None:
        """Take over the newest instances and verdicts; return what changed, None when nothing did.

        Instances that conform carry the verdict of this instruction only. merged: the id that goes on, by the id of an
        instance that turned out to be another.
        """
        conforming: dict[int, Instance] = {}
        for instance in instances:
            verdict = judgement.verdicts.get(instance.id)
            if verdict is None or verdict.conformity != Conformity.CONFORMS:
                continue
            before = self._instances.get(instance.id)
            if before is not None and self._source_of(before, instance) and before.verdicts == self._only(verdict):
                conforming[instance.id] = before
            else:
                named = replace(instance, verdicts=self._only(verdict))
                if verdict.label and verdict.label != instance.label:
                    named = replace(named, label=verdict.label, label_confidence=verdict.score)
                conforming[instance.id] = named
        changed = tuple(item for key, item in sorted(conforming.items()) if self._instances.get(key) is not item)
        known = {instance.id for instance in instances}
        removed = tuple(_removal(key, known, merged) for key in sorted(set(self._instances) - set(conforming)))
        if not changed and not removed:
            return None
        delta = Delta(self.instruction_id, stamp_ns, self.revision, self.revision + 1, changed, removed)
        self.apply(delta)
        return delta

    def apply(self, delta: Delta) -> None:
        """Apply a change to the map held.

        Raises RevisionError when the delta changes another revision than the one held, ValueError when it is of
        another instruction; the map is then unchanged.
        """
        if delta.instruction_id != self.instruction_id:
            raise ValueError(f"delta of instruction {delta.instruction_id!r}: expected {self.instruction_id!r}")
        if delta.base_revision != self.revision and not delta.clear:
            raise RevisionError(
                f"delta of instruction {self.instruction_id!r}: expected base revision {self.revision}, "
                f"got {delta.base_revision}; fetch the full map"
            )
        if delta.clear:
            self._instances.clear()
            self._removed.clear()
        for removal in delta.removed:
            self._instances.pop(removal.id, None)
            self._removed.pop(removal.id, None)
            self._removed[removal.id] = removal
        for instance in delta.changed:
            self._instances[instance.id] = instance
            self._removed.pop(instance.id, None)
        while len(self._removed) > MAX_REMOVALS:
            self._removed.pop(next(iter(self._removed)))
        self.revision = delta.revision
        self.stamp_ns = max(self.stamp_ns, delta.stamp_ns)

    def replace(self, full: InstanceMap) -> None:
        """Take over a full map, whatever revision was held. Raises ValueError for another instruction's map."""
        if full.instruction_id != self.instruction_id:
            raise ValueError(f"map of instruction {full.instruction_id!r}: expected {self.instruction_id!r}")
        self._instances = {instance.id: instance for instance in full.instances}
        self._removed = {removal.id: removal for removal in full.removed}
        self.revision = full.revision
        self.stamp_ns = full.stamp_ns

    def _only(self, verdict: Verdict) -> dict[str, Verdict]:
        return {self.instruction_id: verdict}

    def _score(self, instance: Instance) -> float:
        verdict = instance.verdicts.get(self.instruction_id)
        return verdict.score if verdict is not None else 0.0

    def _source_of(self, held: Instance, instance: Instance) -> bool:
        """Tell whether the instance held was made of this very state; the fusion makes a new one for every change."""
        return held.voxels is instance.voxels and held.existence == instance.existence and held.names is instance.names


def _removal(instance_id: int, known: Collection[int], merged: Mapping[int, int]) -> Removal:
    """Say why an instance left a map; known: the instances that are there, conforming or not."""
    if instance_id in known:
        return Removal(instance_id, RemovalReason.REJECTED)
    if instance_id in merged:
        return Removal(instance_id, RemovalReason.MERGED, merged[instance_id])
    return Removal(instance_id, RemovalReason.REMOVED)


# -------------------------------------------------------------------- export


def write_instance_map(
    path: Path,
    instructions: Mapping[str, Instruction],
    statuses: Mapping[str, InstructionStatus],
    conforming: Mapping[str, Sequence[Instance]],
    rejected: Mapping[str, Sequence[Instance]],
    up: ArrayLike,
    frame_id: str = "map",
) -> None:
    """Write what was found for each instruction as JSON; all mappings are by instruction id.

    Schema, version 2. Lengths in metres, stamps in nanoseconds, values that were not measured are null.
    format, version, frame_id, up (3: unit vector against gravity in the map frame); instructions, each: id, text,
    state ("SEARCHING", "FOUND", "NONE_CONFORM", ...), reason, keyframes_answered, keyframes_pending,
    instances_judged, instances (those that conform, best first) and rejected (the others), each: id, merged_from (the
    younger ids that turned out to be this one), state ("PROVISIONAL", "CONFIRMED"), label, label_confidence, names
    {label: share}, colors {name: share}, color_deviation (CIELAB), score (null: not judged), reason, existence,
    observations, looks, first_seen_ns, last_seen_ns, centroid (3), box {center (3), size (3), orientation (quaternion
    x, y, z, w; z along up, x along the longer side)}, attributes (fields of lira_msgs/Attributes), voxel_size,
    voxel_count.
    Raises OSError when the file cannot be written.
    """
    entries = []
    for instruction_id, instruction in instructions.items():
        status = statuses.get(instruction_id) or InstructionStatus(instruction_id, SearchState.PENDING, "")
        entries.append(
            {
                "id": instruction_id,
                "text": instruction.text,
                "state": status.state.name,
                "reason": status.reason,
                "keyframes_answered": status.keyframes_answered,
                "keyframes_pending": status.keyframes_pending,
                "instances_judged": status.instances_judged,
                "instances": [_entry(item, instruction_id) for item in conforming.get(instruction_id, ())],
                "rejected": [_entry(item, instruction_id) for item in rejected.get(instruction_id, ())],
            }
        )
    document = {
        "format": FILE_FORMAT,
        "version": FILE_VERSION,
        "frame_id": frame_id,
        "up": [float(value) for value in np.asarray(up)],
        "instructions": entries,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _entry(instance: Instance, instruction_id: str) -> dict[str, Any]:
    verdict = instance.verdicts.get(instruction_id)
    return {
        **instance_entry(instance),
        "score": float(verdict.score) if verdict is not None else None,
        "reason": verdict.reason if verdict is not None else "",
    }


def instance_entry(instance: Instance) -> dict[str, Any]:
    """Return what is known of an instance for a JSON document, without verdicts."""
    box = instance.box
    measured = instance.attributes
    return {
        "id": instance.id,
        "merged_from": list(instance.merged_from),
        "state": instance.state.name,
        "label": instance.label,
        "label_confidence": float(instance.label_confidence),
        "names": {name: float(share) for name, share in instance.names.items()},
        "colors": {name: float(share) for name, share in instance.colors.items()},
        "color_deviation": _number(instance.color_deviation),
        "existence": float(instance.existence),
        "observations": instance.observations,
        "looks": float(instance.looks),
        "first_seen_ns": instance.first_seen_ns,
        "last_seen_ns": instance.last_seen_ns,
        "centroid": [float(value) for value in instance.centroid],
        "box": {
            "center": [float(value) for value in box.T_map_box[:3, 3]],
            "size": [float(value) for value in box.size_m],
            "orientation": [float(value) for value in to_quaternion(box.T_map_box)],
        },
        "attributes": {
            "color": measured.color,
            "size": [_number(value) for value in measured.size_m],
            "bottom_height": _number(measured.bottom_height_m),
            "top_height": _number(measured.top_height_m),
            "flatness": _number(measured.flatness),
            "horizontality": _number(measured.horizontality),
            "roundness": _number(measured.roundness),
            "elongation": _number(measured.elongation),
            "fill": _number(measured.fill),
            "supported_by": measured.supported_by,
        },
        "voxel_size": float(instance.voxel_size_m),
        "voxel_count": len(instance.voxels),
    }


@dataclass(frozen=True)
class InstanceRecord:
    """One instance as read from a file, without its voxels."""

    id: int
    merged_from: tuple[int, ...]
    state: InstanceState
    label: str
    label_confidence: float
    names: dict[str, float]
    colors: dict[str, float]
    color_deviation: float
    score: float | None
    reason: str
    existence: float
    observations: int
    looks: float
    first_seen_ns: int
    last_seen_ns: int
    centroid_m: tuple[float, float, float]
    box: OrientedBox
    attributes: Attributes
    voxel_size_m: float
    voxel_count: int


@dataclass(frozen=True)
class InstructionRecord:
    """What was found for one instruction, as read from a file."""

    text: str
    status: InstructionStatus
    instances: tuple[InstanceRecord, ...]
    rejected: tuple[InstanceRecord, ...]


@dataclass(frozen=True)
class InstanceMapRecord:
    """An instance map as read from a file, one record an instruction."""

    frame_id: str
    up: tuple[float, float, float]
    instructions: tuple[InstructionRecord, ...]


class InstanceMapFileError(ValueError):
    """A file is not a readable instance map; names the file, the value and what was expected."""


class _Reader:
    """Reads values of a JSON object and names the place of whatever is wrong."""

    def __init__(self, path: Path, place: str, value: Any) -> None:
        self._path, self._place = path, place
        if not isinstance(value, dict):
            raise self.error("", "an object", value)
        self._value = value

    def error(self, name: str, expected: str, value: Any) -> InstanceMapFileError:
        place = self._at(name) or "document"
        return InstanceMapFileError(f"{self._path}: {place} expected {expected}, got {json.dumps(value)[:80]}")

    def get(self, name: str) -> Any:
        if name not in self._value:
            raise InstanceMapFileError(f"{self._path}: {self._at(name)} is missing")
        return self._value[name]

    def text(self, name: str) -> str:
        value = self.get(name)
        if not isinstance(value, str):
            raise self.error(name, "a text", value)
        return value

    def whole(self, name: str) -> int:
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.error(name, "a whole number of at least 0", value)
        return value

    def wholes(self, name: str) -> tuple[int, ...]:
        values = self.get(name)
        if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
            raise self.error(name, "a list of whole numbers of at least 0", values)
        return tuple(values)

    def shares(self, name: str) -> dict[str, float]:
        values = self.get(name)
        if not isinstance(values, dict) or not all(
            isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 <= value <= 1.0 + SHARE_ROUNDING
            for value in values.values()
        ):
            raise self.error(name, "shares from 0 to 1 by name", values)
        return {str(key): float(value) for key, value in values.items()}

    def number(self, name: str, low: float = -math.inf, high: float = math.inf) -> float:
        return self._checked(name, self.get(name), low, high)

    def number_or_nan(self, name: str) -> float:
        value = self.get(name)
        return math.nan if value is None else self._checked(name, value, -math.inf, math.inf)

    def _checked(self, name: str, value: Any, low: float, high: float) -> float:
        real = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not real or not low <= value <= high:
            bounds = "" if low == -math.inf and high == math.inf else f" from {low:g} to {high:g}"
            raise self.error(name, f"a number{bounds}", value)
        return float(value)

    def numbers(self, name: str, count: int, *, allow_null: bool = False) -> tuple[float, ...]:
        value = self.get(name)
        if not isinstance(value, list) or len(value) != count:
            raise self.error(name, f"a list of {count} numbers", value)
        return tuple(
            math.nan if allow_null and item is None else self._checked(name, item, -math.inf, math.inf)
            for item in value
        )

    def inside(self, name: str) -> _Reader:
        return _Reader(self._path, self._at(name), self.get(name))

    def objects(self, name: str) -> list[_Reader]:
        values = self.get(name)
        if not isinstance(values, list):
            raise self.error(name, "a list", values)
        return [_Reader(self._path, f"{self._at(name)}[{i}]", value) for i, value in enumerate(values)]

    def _at(self, name: str) -> str:
        return ".".join(item for item in (self._place, name) if item)


def read_instance_map(path: Path) -> InstanceMapRecord:
    """Read a file written by write_instance_map().

    Raises InstanceMapFileError that names the file, the value and what was expected.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstanceMapFileError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InstanceMapFileError(f"{path}: not a JSON file: {error}") from error
    root = _Reader(path, "", document)
    if root.text("format") != FILE_FORMAT:
        raise root.error("format", repr(FILE_FORMAT), root.get("format"))
    if root.whole("version") != FILE_VERSION:
        raise root.error("version", str(FILE_VERSION), root.get("version"))
    up = root.numbers("up", 3)
    if abs(math.hypot(*up) - 1.0) > 1e-6:
        raise root.error("up", "a vector of length 1", list(up))
    instructions = tuple(_read_instruction(entry) for entry in root.objects("instructions"))
    return InstanceMapRecord(root.text("frame_id"), _triple(up), instructions)


def _read_instruction(entry: _Reader) -> InstructionRecord:
    if entry.text("state") not in SearchState.__members__:
        raise entry.error("state", "one of " + ", ".join(SearchState.__members__), entry.get("state"))
    instances = tuple(_read_entry(item) for item in entry.objects("instances"))
    status = InstructionStatus(
        instruction_id=entry.text("id"),
        state=SearchState[entry.text("state")],
        reason=entry.text("reason"),
        keyframes_answered=entry.whole("keyframes_answered"),
        keyframes_pending=entry.whole("keyframes_pending"),
        instances_judged=entry.whole("instances_judged"),
        instances_found=len(instances),
    )
    rejected = tuple(_read_entry(item) for item in entry.objects("rejected"))
    return InstructionRecord(entry.text("text"), status, instances, rejected)


def _triple(values: tuple[float, ...]) -> tuple[float, float, float]:
    return values[0], values[1], values[2]


def _read_entry(entry: _Reader) -> InstanceRecord:
    box, measured, state = entry.inside("box"), entry.inside("attributes"), entry.text("state")
    if state not in InstanceState.__members__:
        raise entry.error("state", "one of " + ", ".join(InstanceState.__members__), state)
    size = box.numbers("size", 3)
    if min(size) < 0:
        raise box.error("size", "lengths of at least 0", list(size))
    try:
        T_map_box = from_quaternion(box.numbers("center", 3), box.numbers("orientation", 4), "box")
    except ValueError as error:
        raise box.error("orientation", "a quaternion of length 1", box.get("orientation")) from error
    attributes = Attributes(
        color=measured.text("color"),
        size_m=_triple(measured.numbers("size", 3, allow_null=True)),
        bottom_height_m=measured.number_or_nan("bottom_height"),
        top_height_m=measured.number_or_nan("top_height"),
        flatness=measured.number_or_nan("flatness"),
        horizontality=measured.number_or_nan("horizontality"),
        roundness=measured.number_or_nan("roundness"),
        elongation=measured.number_or_nan("elongation"),
        fill=measured.number_or_nan("fill"),
        supported_by=measured.text("supported_by"),
    )
    score = entry.get("score")
    return InstanceRecord(
        id=entry.whole("id"),
        merged_from=entry.wholes("merged_from"),
        state=InstanceState[state],
        label=entry.text("label"),
        label_confidence=entry.number("label_confidence", 0.0, 1.0),
        names=entry.shares("names"),
        colors=entry.shares("colors"),
        color_deviation=entry.number_or_nan("color_deviation"),
        score=None if score is None else entry.number("score", 0.0, 1.0),
        reason=entry.text("reason"),
        existence=entry.number("existence", 0.0, 1.0),
        observations=entry.whole("observations"),
        looks=entry.number("looks", 0.0),
        first_seen_ns=entry.whole("first_seen_ns"),
        last_seen_ns=entry.whole("last_seen_ns"),
        centroid_m=_triple(entry.numbers("centroid", 3)),
        box=OrientedBox(T_map_box, np.array(size)),
        attributes=attributes,
        voxel_size_m=entry.number("voxel_size", 0.0),
        voxel_count=entry.whole("voxel_count"),
    )
