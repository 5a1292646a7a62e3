"""Markers of instances: whatever a display held, it shows what is there now, and its names can be read."""

import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import Point
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from rviz_display import RvizDisplay, draw, text_box
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from lira_ros.fusion.contracts import Conformity, Instance, InstanceState, OrientedBox, Verdict
from lira_ros.fusion.display_color import display_color, verdict_color
from lira_ros.geometry.camera import Camera
from lira_ros.reasoning.color import _lab
from lira_ros.reasoning.contracts import Attributes
from lira_ros.ros.conversions.instance_markers import instances_to_markers, markers_of_nothing

ATTRIBUTES = Attributes("red", (0.5, 0.25, 0.125), 0.75, 0.875, 0.5, 1.0, float("nan"), 2.0, 0.75, "surface")


def thing(number, center=(1.0, 2.0, 0.5), size=(0.5, 0.25, 0.125), label="mug", asked="find-1"):
    pose = np.eye(4)
    pose[:3, 3] = center
    return Instance(
        id=number,
        label=label,
        label_confidence=0.5,
        existence=0.75,
        attributes=ATTRIBUTES,
        box=OrientedBox(pose, np.array(size)),
        voxel_size_m=0.02,
        voxels=np.zeros((0, 3), np.int32),
        voxel_colors=np.zeros((0, 3), np.uint8),
        first_seen_ns=0,
        last_seen_ns=0,
        observations=1,
        verdicts={asked: Verdict(Conformity.CONFORMS, 0.5, "It is a mug.")},
    )


def keys(shown):
    return {(f"{name}/{kind}", item.id) for name, items in shown.items() for item in items for kind in KINDS}


KINDS = ("box", "shadow", "name")

PLACES = st.tuples(*[st.floats(-3, 3)] * 3)
SIZES = st.tuples(*[st.floats(0.02, 2.0)] * 3)
THINGS = st.lists(
    st.builds(thing, st.integers(1, 9), PLACES, SIZES, st.sampled_from(["mug", "", "dining table"])),
    unique_by=lambda item: item.id,
    max_size=5,
)
MOMENTS = st.lists(
    st.one_of(st.none(), st.dictionaries(st.sampled_from(["a", "b"]), THINGS, max_size=2)), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(moments=MOMENTS, lost=st.sets(st.integers(0, 4)), leftover=THINGS)
def test_a_display_shows_what_is_there_now_whatever_it_held_and_whatever_was_lost(moments, lost, leftover):
    display = RvizDisplay()
    display.apply(instances_to_markers({"an earlier run": leftover}, 0, "map"))
    for index, shown in enumerate(moments):  # None: everything is taken down
        if index in lost and index + 1 < len(moments):
            continue
        message = markers_of_nothing() if shown is None else instances_to_markers(shown, 7, "map")
        display.apply(deserialize_message(serialize_message(message), MarkerArray))
    shown = {key for key in display.shown if not key[0].endswith("/line")}  # those only lead to names
    assert shown == keys(moments[-1] or {})
    assert {(name.removesuffix("line") + "box", number) for name, number in set(display.shown) - shown} <= shown


def test_every_message_also_deletes_what_a_node_that_died_has_left():
    for message in (markers_of_nothing(), instances_to_markers({"find-1": [thing(1)]}, 5_000_000_001, "map")):
        assert message.markers[0].action == Marker.DELETEALL
    assert {(m.header.frame_id, m.header.stamp.sec, m.header.stamp.nanosec) for m in message.markers} == {("map", 5, 1)}


def test_a_box_has_twelve_edges_of_the_right_length_in_the_colour_of_its_verdict():
    open_question = dataclasses.replace(thing(1), verdicts={"find-1": Verdict(Conformity.UNDECIDED, 0.5, "It is far.")})
    unsure = dataclasses.replace(thing(2, (9, 9, 0)), state=InstanceState.PROVISIONAL)
    markers = instances_to_markers({"find-1": [open_question, unsure]}, 0, "map").markers
    box, other = (marker for marker in markers if marker.ns == "find-1/box")
    points = np.array([(p.x, p.y, p.z) for p in box.points]).reshape(12, 2, 3)
    lengths = np.sort(np.linalg.norm(points[:, 0] - points[:, 1], axis=1))
    np.testing.assert_allclose(lengths, [0.125] * 4 + [0.25] * 4 + [0.5] * 4)
    np.testing.assert_allclose((box.color.r, box.color.g, box.color.b), verdict_color(Conformity.UNDECIDED), atol=1e-6)
    np.testing.assert_allclose(
        (other.color.r, other.color.g, other.color.b), verdict_color(Conformity.CONFORMS), atol=1e-6
    )
    assert box.color.a == 1.0 > other.color.a
    sizes = [instances_to_markers({"a": [thing(1, size=(m, m, m))]}, 0, "map").markers[1].scale.x for m in (0.1, 3.0)]
    assert sizes == [0.005, 0.012]  # a line hides no mug and is seen across a room


def test_names_tell_what_is_provisional_and_which_instruction_asked():
    sure, unsure = thing(8, asked="dinner"), dataclasses.replace(thing(7), state=InstanceState.PROVISIONAL)
    names = [m.text for m in instances_to_markers({"find-1": [unsure]}, 0, "map").markers if m.ns.endswith("name")]
    assert names == ["#7? mug 0.50"]
    both = instances_to_markers({"find-1": [unsure], "dinner": [sure]}, 0, "map").markers
    assert [m.text for m in both if m.ns.endswith("name")] == ["#7? mug 0.50 (find-1)", "#8 mug 0.50 (dinner)"]
    shadows = [m for m in both if m.ns.endswith("shadow")]
    assert [m.text for m in shadows] == [m.text for m in both if m.ns.endswith("name")]
    assert all((m.color.r, m.color.g, m.color.b) == (0, 0, 0) for m in shadows)


def looking_at(target, distance_m, azimuth, elevation):
    back = np.array(
        [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
    )
    x_axis = np.cross(-back, (0, 0, 1.0))
    x_axis /= np.linalg.norm(x_axis)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x_axis, np.cross(-back, x_axis), -back], axis=1)
    pose[:3, 3] = np.array(target) + distance_m * back
    return pose


CAMERA = Camera(960, 640, 800.0, 800.0, 479.5, 319.5)


@pytest.mark.parametrize("azimuth", np.linspace(0, 2 * math.pi, 8, endpoint=False))
def test_names_stand_over_each_other_and_not_on_things_from_any_side(azimuth):
    table = thing(1, (0, 0, 0.37), (1.4, 0.8, 0.74), "dining table")
    mugs = [thing(2 + i, (0.25 * i - 0.3, 0.1, 0.79), (0.1, 0.1, 0.1)) for i in range(4)]
    shelf = thing(6, (0.2, -0.1, 1.0), (1.0, 0.3, 0.05), "shelf")
    twice = thing(2, (-0.3, 0.1, 0.79), (0.1, 0.1, 0.1), asked="dinner")
    display = RvizDisplay()
    display.apply(instances_to_markers({"find-1": [table, *mugs, shelf], "dinner": [twice]}, 0, "map"))
    pose = looking_at((0, 0, 0.8), 4.0, azimuth, 0.25)
    names = [marker for key, marker in display.shown.items() if key[0].endswith("name")]
    boxes = [text_box(marker, CAMERA, pose)[0] for marker in names]
    for index, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:index]:
            assert left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom
    for marker in names:
        place = np.array([marker.pose.position.x, marker.pose.position.y, marker.pose.position.z])
        for item in (table, *mugs, shelf):
            inside = np.abs(place - item.box.T_map_box[:3, 3]) < item.box.size_m / 2 + (0, 0, marker.scale.z / 2)
            assert not inside.all(), f"{marker.text} is in the {item.label}"


def test_a_name_that_was_raised_is_led_to():
    markers = instances_to_markers({"find-1": [thing(1), thing(2)]}, 0, "map").markers
    assert [marker.id for marker in markers if marker.ns == "find-1/line"] == [2]
    height = [marker.pose.position.z for marker in markers if marker.ns == "find-1/name"]
    assert height[1] - height[0] == pytest.approx(1.4 * 0.08)


def test_a_drawn_name_can_be_read_before_a_wall_as_white_as_its_letters():
    wall = Marker(ns="map", type=Marker.TRIANGLE_LIST, action=Marker.ADD)
    wall.header.frame_id = "map"
    wall.color.a = wall.scale.x = wall.scale.y = wall.scale.z = wall.pose.orientation.w = 1.0
    corners = [
        (-3.0, 2.0, -1.0),
        (3.0, 2.0, -1.0),
        (3.0, 2.0, 3.0),
        (-3.0, 2.0, -1.0),
        (3.0, 2.0, 3.0),
        (-3.0, 2.0, 3.0),
    ]
    wall.points = [Point(x=x, y=y, z=z) for x, y, z in corners]
    wall.colors = [ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)] * 6
    scene, instances = RvizDisplay(), RvizDisplay()
    scene.apply(MarkerArray(markers=[wall]))
    instances.apply(instances_to_markers({"find-1": [thing(1, (0, 1.5, 0.8), (0.2, 0.2, 0.2))]}, 0, "map"))
    pose = looking_at((0, 1.5, 0.9), 3.0, -math.pi / 2, 0.2)
    picture = draw([scene, instances], CAMERA, pose)
    name = next(marker for key, marker in instances.shown.items() if key[0].endswith("name"))
    left, top, right, bottom = (round(value) for value in text_box(name, CAMERA, pose)[0])
    letters = picture[top:bottom, left:right].mean(axis=2)
    assert letters.max() > 250
    assert (letters < 90).mean() > 0.03


# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009:
# protanopia and deuteranopia, severity 1, in linear RGB.
COLOR_BLIND = (
    np.eye(3),
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
)


@pytest.mark.parametrize("matrix", COLOR_BLIND, ids=["normal", "protanopia", "deuteranopia"])
def test_colors_can_be_told_apart_by_the_color_blind(matrix):
    def lab(colors):
        linear = np.array(colors) ** 2.2
        return _lab(np.round(np.clip(linear @ matrix.T, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))

    for colors, apart in (
        ([verdict_color(item) for item in Conformity], 25),
        ([display_color(i) for i in range(1, 8)], 10),
    ):
        values = lab(colors)
        distances = np.linalg.norm(values[:, None] - values[None], axis=-1)
        assert distances[~np.eye(len(colors), dtype=bool)].min() > apart
    assert len({display_color(i) for i in range(5, 26)}) == 21
