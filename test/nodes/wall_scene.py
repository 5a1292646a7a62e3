"""Keyframes of things that stand before a wall, with exact masks, as the mapping and a reasoner would send them."""

from dataclasses import dataclass

import numpy as np

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Role
from lira_ros.ros.conversions.candidate import candidates_to_message
from lira_ros.ros.conversions.keyframe import keyframe_to_message

CAMERA = Camera(80, 60, 70.0, 70.0, 39.5, 29.5)
SESSION = 4711
START_NS = 1_700_000_000_000_000_000
WALL_M = 2.0


@dataclass(frozen=True)
class Thing:
    """A board parallel to the wall: x and z of its borders and its distance [m], seen from x = 0, z = 1."""

    id: int
    label: str
    color: str
    rgb: tuple[int, int, int]
    x: tuple[float, float]
    z: tuple[float, float]
    y: float


RED_MUG = Thing(1, "mug", "red", (200, 30, 30), (-0.5, -0.2), (0.8, 1.1), 1.5)
BLUE_MUG = Thing(2, "mug", "blue", (30, 40, 200), (0.1, 0.4), (0.8, 1.1), 1.5)
SOFA = Thing(3, "sofa", "gray", (120, 120, 120), (-0.3, 0.3), (0.3, 0.6), 1.6)
THINGS = (RED_MUG, BLUE_MUG, SOFA)


def view(number, things=THINGS):
    """Return keyframe ``number`` (3 cm further along x with each) and the image of thing ids."""
    x_m = 0.03 * number
    T = np.eye(4)
    T[:3, :3] = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # looks along +y, up is +z
    T[:3, 3] = (x_m, 0.0, 1.0)
    depth = np.full((CAMERA.height_px, CAMERA.width_px), WALL_M, dtype=np.float32)
    color = np.full((*depth.shape, 3), 220, dtype=np.uint8)
    ids = np.zeros(depth.shape, dtype=np.uint16)
    v, u = np.mgrid[0 : CAMERA.height_px, 0 : CAMERA.width_px]
    for thing in sorted(things, key=lambda item: -item.y):
        x, z = (u - CAMERA.cx) / CAMERA.fx * thing.y + x_m, 1.0 - (v - CAMERA.cy) / CAMERA.fy * thing.y
        inside = (x > thing.x[0]) & (x < thing.x[1]) & (z > thing.z[0]) & (z < thing.z[1])
        depth[inside], color[inside], ids[inside] = thing.y, thing.rgb, thing.id
    frame = Frame(START_NS + number * 100_000_000, color, depth, CAMERA, T)
    return Keyframe(number, frame, np.array([0.0, 0.0, 1.0]), 0.0), ids


def answer(number, instruction_id="mug", things=THINGS, role=Role.TARGET):
    """Return the candidate set of keyframe ``number``: every thing in view with its name and colour."""
    keyframe, ids = view(number, things)
    candidates = tuple(
        Candidate(thing.id, ids == thing.id, thing.label, 1.0, 1.0, role, Attributes(color=thing.color))
        for thing in things
        if (ids == thing.id).any()
    )
    return CandidateSet(number, keyframe.frame.stamp_ns, instruction_id, "test/1", 0.01, candidates)


def keyframe_message(number, session=SESSION, things=THINGS):
    """Return keyframe ``number`` as the mapping node publishes it."""
    return keyframe_to_message(view(number, things)[0], session, "map")


def candidates_message(number, instruction_id="mug", session=SESSION, things=THINGS):
    """Return the answer to keyframe ``number`` as the reasoning node publishes it."""
    return candidates_to_message(answer(number, instruction_id, things), session, "map")
