"""Masks without a model: what is in a box, by colour and depth, whatever is missing."""

import dataclasses

import numpy as np
import pytest

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.segmentation.contracts import RegionPrompt
from lira_ros.reasoning.segmentation.depth import DepthSegmenter

CAMERA = Camera(160, 120, 130.0, 130.0, 79.5, 59.5)
THING = np.zeros((120, 160), dtype=bool)
THING[40:80, 50:80] = True
THING[80:95, 50:58] = THING[80:95, 72:80] = True  # two legs: the box is not full
BOX = (50.0, 40.0, 80.0, 95.0)


def scene(colored: bool, deep: bool) -> Keyframe:
    """Return a table before a wall, told from it by colour, by depth or by both."""
    random = np.random.default_rng(4)
    color = np.full((120, 160, 3), 120, dtype=np.uint8)
    if colored:
        color[THING] = (170, 60, 40)
    color = np.clip(color + random.integers(-6, 7, color.shape), 0, 255).astype(np.uint8)
    depth_m = np.full((120, 160), 2.5, dtype=np.float32)
    if deep:
        depth_m[THING] = 1.7
    depth_m += random.normal(0, 0.004, depth_m.shape).astype(np.float32)
    return Keyframe(1, Frame(1, color, depth_m, CAMERA, np.eye(4)), np.array([0.0, -1.0, 0.0]), 0.0)


def overlap(mask):
    return (mask & THING).sum() / (mask | THING).sum()


def cut(keyframe, *prompts):
    return DepthSegmenter().segment([(keyframe, prompts)])[0]


@pytest.mark.parametrize(("colored", "deep"), [(True, True), (False, True), (True, False)])
def test_colour_or_depth_is_enough(colored, deep):
    (found,) = cut(scene(colored, deep), RegionPrompt(BOX))
    assert overlap(found.mask) > 0.95
    assert found.quality > 0.9


def test_without_depth_the_colours_decide():
    keyframe = scene(True, True)
    blind = dataclasses.replace(keyframe.frame, depth_m=np.zeros((120, 160), dtype=np.float32))
    (found,) = cut(dataclasses.replace(keyframe, frame=blind), RegionPrompt(BOX))
    assert overlap(found.mask) > 0.95


def test_holes_in_the_depth_do_not_tear_the_mask():
    keyframe = scene(True, True)
    depth_m = keyframe.frame.depth_m.copy()
    depth_m[np.random.default_rng(1).random(depth_m.shape) < 0.4] = 0.0
    depth_m[45:60, 55:70] = 0.0
    holed = dataclasses.replace(keyframe, frame=dataclasses.replace(keyframe.frame, depth_m=depth_m))
    (found,) = cut(holed, RegionPrompt(BOX))
    assert overlap(found.mask) > 0.93


def test_a_loose_or_tight_box_gives_nearly_the_same_mask():
    keyframe = scene(True, True)
    for box in ((47.0, 35.0, 83.0, 98.0), (52.0, 43.0, 78.0, 93.0)):
        assert overlap(cut(keyframe, RegionPrompt(box))[0].mask) > 0.9


def test_the_point_tells_which_of_two_things_is_meant():
    keyframe = scene(False, False)
    color, depth_m = keyframe.frame.color.copy(), keyframe.frame.depth_m.copy()
    color[40:80, 50:65], depth_m[40:80, 50:65] = (170, 60, 40), 1.7
    color[40:80, 65:80], depth_m[40:80, 65:80] = (40, 60, 170), 1.2
    keyframe = dataclasses.replace(keyframe, frame=dataclasses.replace(keyframe.frame, color=color, depth_m=depth_m))
    masks = cut(keyframe, *(RegionPrompt((50.0, 40.0, 80.0, 80.0), (x, 60.0)) for x in (57.0, 72.0)))
    assert masks[0].mask[60, 57]
    assert masks[1].mask[60, 72]


@pytest.mark.parametrize(
    ("box", "empty"),
    [
        ((0.0, 0.0, 160.0, 120.0), False),
        ((10.2, 10.3, 12.0, 12.1), False),
        ((-30.0, -30.0, 20.0, 20.0), False),
        ((200.0, 10.0, 230.0, 30.0), True),
        ((50.0, 40.0, 50.0, 90.0), True),
        ((float("nan"), 40.0, 50.0, 90.0), True),
    ],
)
def test_every_box_has_an_answer_within_the_picture(box, empty):
    (found,) = cut(scene(True, True), RegionPrompt(box))
    assert found.mask.shape == (120, 160)
    assert found.mask.any() != empty
    assert 0.0 <= found.quality <= 1.0


def test_a_point_outside_of_its_box_does_no_harm():
    (found,) = cut(scene(True, True), RegionPrompt(BOX, (5.0, 5.0)))
    assert overlap(found.mask) > 0.95


def test_questions_keep_their_order_and_answers_repeat():
    keyframe = scene(True, True)
    prompts = [RegionPrompt(BOX), RegionPrompt((100.0, 20.0, 140.0, 60.0))]
    segmenter = DepthSegmenter()
    first, none, second = segmenter.segment([(keyframe, prompts), (keyframe, []), (keyframe, prompts[::-1])])
    assert none == []
    for one, other in zip(first, second[::-1], strict=True):
        assert np.array_equal(one.mask, other.mask)
