"""Views of a wall and instructions, for the tests of who is asked when."""

import numpy as np

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.constraint import Constraint, Phrase
from lira_ros.reasoning.contracts import Instruction


def wall_view(number, x_m, columns=8):
    """Return a keyframe of 80 x 60 cm of a wall, whose left border is at x_m: 8 columns of 10 cm, one pixel each."""
    camera = Camera(columns, 6, 10.0, 10.0, -0.5, -0.5)
    T = np.eye(4)
    T[:3, 3] = (x_m, 0.0, 0.05)
    shape = (6, columns)
    frame = Frame(number, np.zeros((*shape, 3), np.uint8), np.full(shape, 1.0, np.float32), camera, T)
    return Keyframe(number, frame, np.array([0.0, 0.0, 1.0]), float("nan"))


def instruction(name):
    return Instruction(name, name, Constraint(Phrase(name)))
