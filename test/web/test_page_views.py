"""What the page shows of the world: frames that the browser reads back, and values that JSON holds."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from lira_ros.fusion.contracts import Conformity, Instance, InstructionStatus, OrientedBox, SearchState, Verdict
from lira_ros.reasoning.contracts import Attributes
from lira_ros.web import views
from lira_ros.web.frames import number, read_frame, to_text

RNG = np.random.default_rng(5)


def make_instance(voxels):
    T = np.eye(4)
    T[:3, 3] = (1.0, -2.0, 0.5)
    return Instance(
        id=7,
        label="<b>mug</b>",
        label_confidence=0.75,
        existence=0.9,
        attributes=Attributes(),
        box=OrientedBox(T, np.array([0.4, 0.3, 0.2])),
        voxel_size_m=0.02,
        voxels=np.asarray(voxels, dtype=np.int32).reshape(-1, 3),
        voxel_colors=np.zeros((len(voxels), 3), dtype=np.uint8),
        first_seen_ns=1,
        last_seen_ns=2,
        observations=3,
        names={"mug": 0.75, "cup": 0.25},
        colors={"red": 1.0},
    )


def test_a_part_of_the_surface_keeps_its_shape_to_a_tenth_of_a_millimetre():
    vertices = (RNG.uniform(0, 0.64, (500, 3)) + np.array([12.8, -6.4, 0.0])).astype(np.float32)
    vertices[:, 2] = 1.5  # a flat floor has no extent along one axis
    triangles = RNG.integers(0, 500, (900, 3)).astype(np.uint32)
    colors = RNG.integers(0, 256, (500, 3), dtype=np.uint8)
    head, (positions, read_colors, indices) = read_frame(views.region_frame("1,2,3", vertices, triangles, colors))
    assert (head["kind"], head["name"]) == ("region", "1,2,3")
    assert indices.dtype == np.uint16
    shown = positions.reshape(-1, 3) * np.array(head["step"]) + np.array(head["origin"])
    np.testing.assert_allclose(shown, vertices, atol=1e-4)
    np.testing.assert_array_equal(indices.reshape(-1, 3), triangles)
    np.testing.assert_array_equal(read_colors.reshape(-1, 3), colors)


def test_a_part_with_more_vertices_than_16_bits_count():
    vertices = RNG.uniform(size=(70_000, 3)).astype(np.float32)
    triangles = np.array([[0, 1, 69_999]], dtype=np.uint32)
    _, arrays = read_frame(views.region_frame("a", vertices, triangles, np.zeros((70_000, 3), np.uint8)))
    assert arrays[2].tolist() == [0, 1, 69_999]


def test_voxels_lie_where_they_are_and_large_things_are_thinned():
    few = make_instance([[50, -100, 25], [51, -100, 25]])
    head, (steps,) = read_frame(views.voxels_frame(few))
    points = steps.reshape(-1, 3) * head["size_m"] + np.array(head["origin"])
    np.testing.assert_allclose(points, few.voxels * 0.02, atol=1e-6)
    many = make_instance(RNG.integers(-50, 50, (3 * views.MOST_VOXELS + 1, 3)))
    _, (steps,) = read_frame(views.voxels_frame(many))
    assert views.MOST_VOXELS // 2 < len(steps) // 3 <= views.MOST_VOXELS


def test_pictures_are_no_wider_than_the_page_shows_them():
    color = np.zeros((720, 1280, 3), dtype=np.uint8)
    color[:, :, 0] = 200
    head, (data,) = read_frame(views.picture_frame(color, "masks"))
    picture = Image.open(io.BytesIO(data.tobytes()))
    assert picture.format == "JPEG"
    assert picture.size == (640, 360) == (head["width"], head["height"])
    red, green, _ = picture.convert("RGB").getpixel((10, 10))
    assert red > 180
    assert green < 20
    _, (data,) = read_frame(views.picture_frame(color[:48, :64], "camera"))
    assert Image.open(io.BytesIO(data.tobytes())).size == (64, 48)


@pytest.mark.parametrize("count", [0, 1, 2, 1999, 2001, 50_000])
def test_a_way_is_thinned_and_ends_where_the_camera_is(count):
    points = np.arange(3 * count, dtype=np.float64).reshape(-1, 3)
    _, (shown,) = read_frame(views.way_frame(points))
    shown = shown.reshape(-1, 3)
    assert min(count, views.MOST_WAY_POINTS // 2) <= len(shown) <= views.MOST_WAY_POINTS
    if count:
        np.testing.assert_allclose(shown[-1], points[-1])


def test_an_instance_is_told_with_verdicts_and_without_numbers_that_json_lacks():
    verdicts = {
        "a": Verdict(Conformity.REJECTED, math.nan, "It is a cup."),
        "b": Verdict(Conformity.CONFORMS, 1.0, "y"),
    }
    value = views.instance_value(make_instance([[0, 0, 0]]), verdicts)
    assert value["verdicts"]["a"] == {"verdict": "rejected", "score": None, "reason": "It is a cup."}
    assert value["verdicts"]["b"]["verdict"] == "conforms"
    assert value["bottom_height_m"] is None
    assert value["size_m"] == [0.4, 0.3, 0.2]
    assert value["box"]["rows"] == [1, 0, 0, 1, 0, 1, 0, -2, 0, 0, 1, 0.5]
    assert value["label"] == "<b>mug</b>", "texts are sent as they are, the page never reads them as HTML"
    assert "NaN" not in to_text(value)


def test_an_instruction_is_told_with_and_without_a_status():
    status = InstructionStatus("a", SearchState.NONE_CONFORM, "Nothing fits.", 5, 2, 9, 0)
    value = views.instruction_value("Find it.", "it", 3, status)
    assert (value["state"], value["answered"], value["pending"], value["order"]) == ("none_conform", 5, 2, 3)
    assert views.instruction_value("Find it.", "it", 0, None)["state"] == "pending"


def test_up_is_against_the_images_y_axis_on_average():
    level = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # looks along +y of a map whose z is up
    np.testing.assert_allclose(views.mean_up(np.stack([level, level])), (0, 0, 1), atol=1e-12)
    assert views.mean_up(np.empty((0, 3, 3))) is None


def test_of_the_health_of_a_node_the_page_tells_a_part():
    values = {"state": "active", "frames mapped": "12 Hz", "queue x": "0", "stage sensor stamp to map": "p50 3 ms"}
    value = views.health_value(1, "slow", {**values, **{f"problem {n}": "x" for n in range(99)}})
    assert value["values"]["frames mapped"] == "12 Hz"
    assert "queue x" not in value["values"]
    assert len(value["values"]) == views.MOST_VALUES


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(value):
    assert number(value) is None
