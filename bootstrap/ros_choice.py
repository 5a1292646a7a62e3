"""Decide where ROS 2 comes from: an installation that is sourced in this terminal, or the wheels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bootstrap.progress import SetupError

# Distributions older than Humble (lifecycle nodes, parameter descriptors and Python 3.10 are not all there).
TOO_OLD = ("ardent", "bouncy", "crystal", "dashing", "eloquent", "foxy", "galactic")


@dataclass(frozen=True)
class RosChoice:
    """Where ROS 2 comes from; `distribution` is empty for the wheels."""

    distribution: str

    @property
    def installed(self) -> bool:
        """Tell whether an installed ROS 2 is used."""
        return bool(self.distribution)

    def describe(self) -> str:
        """Return the choice in words."""
        if self.installed:
            return f"ROS 2 {self.distribution.capitalize()} of this terminal"
        return "ROS 2 Jazzy from wheels"


def choose_ros(environment: Mapping[str, str], rclpy_problem: Callable[[], str]) -> RosChoice:
    """Choose between an installed ROS 2 and the wheels.

    `environment` are the variables of the terminal; `rclpy_problem` tries to import rclpy with the Python that the
    environment is made from, and returns what went wrong or an empty string. It is asked only where a ROS 2 is sourced.
    Raises SetupError where a ROS is sourced that cannot be used: its PYTHONPATH would get in the way of the wheels.
    """
    distribution = environment.get("ROS_DISTRO", "").strip().lower()
    if environment.get("ROS_VERSION", "2") == "1":
        raise SetupError(
            f"ROS 1 ({distribution or 'unnamed'}) is sourced in this terminal and its Python packages would get in the "
            "way: run make in a terminal in which it is not sourced"
        )
    if not distribution or not environment.get("AMENT_PREFIX_PATH"):
        # Container images set ROS_DISTRO without sourcing anything; that alone is no ROS 2 to work with.
        return RosChoice("")
    if distribution in TOO_OLD:
        raise SetupError(
            f"ROS 2 {distribution.capitalize()} is sourced in this terminal, Humble or newer is needed: run make in a "
            "terminal in which it is not sourced, and the wheels of Jazzy are used"
        )
    problem = rclpy_problem()
    if problem:
        raise SetupError(
            f"ROS 2 {distribution.capitalize()} is sourced in this terminal, but this Python cannot import its rclpy "
            f"({problem}): name the Python of that ROS (make setup PYTHON=/usr/bin/python3), or run make in a terminal "
            "in which it is not sourced, and the wheels of Jazzy are used"
        )
    return RosChoice(distribution)
