"""How much was seen: open edges close when they are looked at, new surface becomes old, gravity may point anywhere."""

import dataclasses
import functools

import numpy as np
import pytest
from box_scene import Box, keyframe

from lira_ros.fusion.exploration import NARROWEST_M, NEW_SHARE, OPEN_SHARE, Exploration, Explored

SIDE_M = 4.0
# A room from -2 to 2 m with a door of 0.9 m in the wall towards +x, and a second room behind it.
ROOM = (
    Box(1, (-2.1, -2.1, 0.0), (2.1, -2.0, 2.5)),
    Box(2, (-2.1, 2.0, 0.0), (2.1, 2.1, 2.5)),
    Box(3, (-2.1, -2.1, 0.0), (-2.0, 2.1, 2.5)),
    Box(4, (2.0, -2.1, 0.0), (2.1, -0.45, 2.5)),
    Box(5, (2.0, 0.45, 0.0), (2.1, 2.1, 2.5)),
)
BEHIND = (
    Box(6, (2.0, -2.1, 0.0), (5.1, -2.0, 2.5)),
    Box(7, (2.0, 2.0, 0.0), (5.1, 2.1, 2.5)),
    Box(8, (5.0, -2.1, 0.0), (5.1, 2.1, 2.5)),
)
UPRIGHT = np.eye(4)
LYING = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # z up becomes -y up


@functools.cache
def drawn(place):
    """Return keyframes of a camera that turns on the spot in both rooms."""
    angles = np.arange(12) * np.pi / 6
    ends = [np.add(place, (np.cos(angle), np.sin(angle), -0.3)) for angle in angles]
    return [keyframe(number, ROOM + BEHIND, place, end)[0] for number, end in enumerate(ends, 1)]


def turn_around(place, motion=UPRIGHT, rounds=1):
    for seen in drawn(place) * rounds:
        frame = dataclasses.replace(seen.frame, T_map_camera=motion @ seen.frame.T_map_camera)
        yield dataclasses.replace(seen, frame=frame, up=motion[:3, :3] @ seen.up)


@pytest.mark.parametrize("motion", [UPRIGHT, LYING])
def test_an_unseen_room_behind_a_door_is_missed_until_it_is_seen(motion):
    exploration = Exploration()
    assert not exploration.explored().is_enough(settled=False)
    for seen in turn_around((-0.5, 1.2, 1.3), motion=motion, rounds=2):
        exploration.add(seen)
    first = exploration.explored()
    assert first.new_share < NEW_SHARE
    assert first.open_m >= NARROWEST_M
    assert SIDE_M**2 - 3.0 < first.area_m2 < SIDE_M**2 + 6.0
    for seen in turn_around((3.5, 0.0, 1.3), motion=motion, rounds=2):
        exploration.add(seen)
    second = exploration.explored()
    assert second.open_share < first.open_share
    assert second.open_share <= OPEN_SHARE
    assert second.is_enough(settled=False)
    assert second.area_m2 > first.area_m2 + 5.0


def test_what_is_shown_again_is_not_new():
    exploration = Exploration()
    shares = []
    for seen in turn_around((-0.5, 1.2, 1.3), rounds=3):
        exploration.add(seen)
        shares.append(exploration.explored().new_share)
    assert shares[0] == 1.0
    assert shares[11] > 0.3
    assert shares[-1] < 0.02


def test_a_keyframe_without_depth_shows_nothing():
    exploration = Exploration()
    (seen, *_) = turn_around((-0.5, 1.2, 1.3))
    blind = dataclasses.replace(seen.frame, depth_m=np.zeros_like(seen.frame.depth_m))
    exploration.add(dataclasses.replace(seen, frame=blind))
    explored = exploration.explored()
    assert (explored.open_share, explored.area_m2, explored.new_share) == (1.0, 0.0, 1.0)


def test_an_unknown_floor_is_guessed():
    known, guessed = Exploration(), Exploration()
    for seen in turn_around((-0.5, 1.2, 1.3)):
        known.add(seen)
        guessed.add(dataclasses.replace(seen, floor_height_m=float("nan")))
    assert guessed.explored().open_share == pytest.approx(known.explored().open_share, abs=0.05)


def test_the_figures_are_said_and_what_is_enough_is_not_taken_back_for_a_little():
    explored = Explored(open_share=0.14, open_m=3.62, area_m2=41.4, new_share=0.05, keyframes=9)
    assert "14 % of the edge of the 41 m2 seen is open (3.6 m)" in explored.words()
    assert "at most 12 %" in explored.missing()
    assert not explored.is_enough(settled=False)
    assert explored.is_enough(settled=True)
    assert not dataclasses.replace(explored, open_share=0.2).is_enough(settled=True)
