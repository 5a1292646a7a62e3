import numpy as np
import pytest

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.sightings import Sighting, candidates_from_sightings


def keyframe(depth_m):
    color = np.full((40, 60, 3), 128, np.uint8)
    color[10:30, 10:30] = (200, 20, 20)
    camera = Camera(60, 40, 60.0, 60.0, 29.5, 19.5)
    frame = Frame(0, color, np.full((40, 60), depth_m, np.float32), camera, np.eye(4))
    return Keyframe(1, frame, np.array([0.0, -1.0, 0.0]), float("nan"))


def mask(top=10, bottom=30):
    found = np.zeros((40, 60), bool)
    found[top:bottom, 10:30] = True
    return found


@pytest.mark.parametrize(
    ("depth_m", "named", "color"), [(1.0, "blue", "red"), (0.0, "blue", "blue"), (0.0, "", "red"), (1.0, "", "red")]
)
def test_the_color_is_measured_with_depth_and_else_as_the_model_named_it_or_that_of_the_pixels(depth_m, named, color):
    (seen,) = candidates_from_sightings(keyframe(depth_m), [Sighting(mask(), "mug", color=named)])
    assert seen.attributes.color == color
    assert np.isfinite(seen.attributes.size_m[0]) == (depth_m > 0)


def test_a_sliver_is_left_out_and_a_mask_of_another_size_refused():
    assert candidates_from_sightings(keyframe(1.0), [Sighting(mask(10, 11))]) == ()
    with pytest.raises(ValueError, match="expected a mask of"):
        candidates_from_sightings(keyframe(1.0), [Sighting(np.ones((3, 3), bool))])
