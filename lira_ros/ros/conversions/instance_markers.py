"""Instances for stock RViz: boxes in the colour of their verdict, and names that can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from lira_ros.fusion.contracts import Conformity, Instance, InstanceState
from lira_ros.fusion.display_color import verdict_color
from lira_ros.reasoning.contracts import MAX_LABEL_CHARACTERS
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.ros.conversions.geometry import pose_to_message
from lira_ros.ros.conversions.time import stamp_from_ns

# Letters of 8 cm can be read from across a room; a character of RViz's font is about half as wide as it is high.
LETTER_M, CHARACTER_WIDTH_M = 0.08, 0.044
LINE_M = 1.4 * LETTER_M  # from one line of text to the next
# From the top of a box to the middle of its name: the letters turn to the camera and must not dip into the thing.
NAME_GAP_M = 0.10
# The black letters behind the white ones lie this much lower, so that names can be read before white walls too.
SHADOW_M = 0.010
# Edges are a twenty-fifth of the box wide, within what is seen from across a room and what hides a mug.
LINE_SHARE, LINE_RANGE_M = 1 / 25, (0.005, 0.012)
# Names are kept apart for whoever looks down at 30 degrees at most, as one does across a room.
STEEPEST_VIEW = 0.58  # the tangent
# A name that finds no free place is moved so many times at most.
MAX_RAISES = 60
PROVISIONAL_ALPHA = 0.55


def markers_of_nothing() -> MarkerArray:
    """Return the message that removes every marker of the topic, also those of an earlier run."""
    return MarkerArray(markers=[Marker(action=Marker.DELETEALL)])


def instances_to_markers(
    instances_by_instruction: Mapping[str, Sequence[Instance]], stamp_ns: int, map_frame: str
) -> MarkerArray:
    """Return all that is to be seen now: one namespace an instruction and kind, id = instance id.

    Kinds: box; name; shadow, the same letters in black behind it; line, from the box to a name that was moved.

    Every message begins with DELETEALL and holds everything. So whatever a display held before, be it of messages that
    were lost or of a node that died, is gone with the next message: of a latched topic only the last one is sure to
    arrive. A display takes the markers of one message in one go, nothing flickers.
    """
    message = markers_of_nothing()
    shown = [(name, item) for name, instances in instances_by_instruction.items() for item in instances]
    several = len({name for name, _ in shown}) > 1
    texts = [_text(item, name, several) for name, item in shown]
    places = _name_places([item for _, item in shown], texts)
    for (name, instance), text, place in zip(shown, texts, places, strict=True):
        up = instance.box.T_map_box[:3, 2]
        for kind, marker in (
            ("box", _box(instance, name)),
            ("line", _line(instance, place)),
            ("shadow", _letters(text, place - SHADOW_M * up, (0.0, 0.0, 0.0))),
            ("name", _letters(text, place, (1.0, 1.0, 1.0))),
        ):
            if marker is not None:
                marker.ns, marker.id = f"{name}/{kind}", instance.id
                message.markers.append(marker)
    for marker in message.markers:
        marker.header.stamp = stamp_from_ns(stamp_ns)
        marker.header.frame_id = map_frame
    return message


def _text(instance: Instance, instruction_id: str, several: bool) -> str:
    verdict = instance.verdicts.get(instruction_id)
    score = f" {verdict.score:.2f}" if verdict else ""
    doubt = "?" if instance.state == InstanceState.PROVISIONAL else ""
    asked = f" ({plain_text(instruction_id, MAX_LABEL_CHARACTERS)})" if several else ""
    return f"#{instance.id}{doubt} {plain_text(instance.label, MAX_LABEL_CHARACTERS) or 'thing'}{score}{asked}"


def _point(position: NDArray[np.floating]) -> Point:
    return Point(x=float(position[0]), y=float(position[1]), z=float(position[2]))


def _box(instance: Instance, instruction_id: str) -> Marker:
    verdict = instance.verdicts.get(instruction_id)
    red, green, blue = verdict_color(verdict.conformity if verdict else Conformity.UNDECIDED)
    alpha = PROVISIONAL_ALPHA if instance.state == InstanceState.PROVISIONAL else 1.0
    marker = Marker(type=Marker.LINE_LIST, action=Marker.ADD, color=ColorRGBA(r=red, g=green, b=blue, a=alpha))
    marker.pose = pose_to_message(instance.box.T_map_box)
    marker.scale.x = float(np.clip(LINE_SHARE * instance.box.size_m.max(), *LINE_RANGE_M))
    half = instance.box.size_m / 2
    corners = [half * (x, y, z) for z in (-1, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    edges = [(i, (i + 1) % 4) for i in range(4)]
    edges += [(4 + i, 4 + (i + 1) % 4) for i in range(4)] + [(i, i + 4) for i in range(4)]
    ends = [(corners[a], corners[b]) for a, b in edges]
    marker.points = [_point(end) for both in ends for end in both]
    return marker


def _line(instance: Instance, name_place: NDArray[np.float64]) -> Marker | None:
    """Return what leads from a thing to its name where that is not right above it."""
    up = instance.box.T_map_box[:3, 2]
    top = instance.box.T_map_box[:3, 3] + instance.box.size_m[2] / 2 * up
    if np.linalg.norm(name_place - (top + NAME_GAP_M * up)) < LETTER_M / 2:
        return None
    marker = Marker(type=Marker.LINE_LIST, action=Marker.ADD, color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=0.7))
    marker.scale.x = LINE_RANGE_M[0] / 2
    marker.points = [_point(top), _point(name_place - 0.7 * LETTER_M * up)]
    return marker


def _letters(text: str, place: NDArray[np.float64], color: tuple[float, float, float]) -> Marker:
    red, green, blue = color
    marker = Marker(type=Marker.TEXT_VIEW_FACING, action=Marker.ADD, text=text)
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
    marker.scale.z = LETTER_M
    marker.pose.position = _point(place)
    return marker


def _name_places(instances: Sequence[Instance], texts: Sequence[str]) -> list[NDArray[np.float64]]:
    """Return where the middle of each name is, (3,) in the map frame: above its box, none over another or in a box.

    Names turn to the camera, so each takes the cylinder that it sweeps. Names whose cylinders touch are written one
    over the other in one column: only so do they stay apart whatever side they are looked at from.
    """
    if not instances:
        return []
    up = instances[0].box.T_map_box[:3, 2]
    places = np.array([item.box.T_map_box[:3, 3] for item in instances])
    levels = places @ up  # of the boxes, then of the names
    grounds = places - levels[:, None] * up
    boxes, box_grounds = levels.copy(), grounds.copy()
    half_heights = np.array([item.box.size_m[2] for item in instances]) / 2
    box_radii = np.array([np.hypot(*item.box.size_m[:2]) for item in instances]) / 2
    radii = np.array([len(text) for text in texts]) * CHARACTER_WIDTH_M / 2
    levels += half_heights + NAME_GAP_M
    placed = np.zeros(len(instances), dtype=bool)
    # From the lowest up, so that what is raised meets only what is still to be placed; equal ones by number.
    for index in np.lexsort((np.arange(len(instances)), levels)).tolist():
        for _ in range(MAX_RAISES):
            away = np.linalg.norm(grounds - grounds[index], axis=1)
            apart = np.abs(levels - levels[index])
            near = placed & (away < radii + radii[index]) & (apart < np.maximum(0.99 * LINE_M, STEEPEST_VIEW * away))
            if (touched := np.flatnonzero(near)).size:
                grounds[index] = grounds[touched[0]]
                levels[index] = max(levels[index], levels[touched[0]] + LINE_M)
                continue
            beside = np.linalg.norm(box_grounds - grounds[index], axis=1) < box_radii
            inside = beside & (np.abs(boxes - levels[index]) < half_heights + LETTER_M / 2)
            if not inside.any():
                break
            levels[index] += LINE_M
        placed[index] = True
    return list(grounds + levels[:, None] * up)
