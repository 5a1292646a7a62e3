"""Free space as a map of Nav2's map_server: an image and a YAML file that says where it lies.

The format is that of map_server of ROS 1 and Nav2 in mode trinary. The first row of the image is the farthest along y,
and origin is the pose of its lower left corner. A pixel is occupied with probability (255 - value) / 255; above
occupied_thresh it is occupied, below free_thresh free, between them unknown.
"""

from __future__ import annotations

import math

import numpy as np

from lira_ros.mapping.distance_field import FREE, OCCUPIED, UNKNOWN, DistanceSlice

# What map_saver writes. 205 is a probability of 0.19608, so that free_thresh must lie below: 0.196, as map_saver of
# ROS 1 has it. (Nav2's map_saver writes 0.25, with which unknown cells are read as free.)
_PIXELS = {FREE: 254, OCCUPIED: 0, UNKNOWN: 205}
OCCUPIED_THRESHOLD, FREE_THRESHOLD = 0.65, 0.196
# The frame of a map of Nav2 is level: planners ignore what is turned beyond this.
_LARGEST_TILT_RAD = math.radians(1.0)


def nav2_files(distances: DistanceSlice, image_name: str) -> tuple[bytes, str]:
    """Return the image (PGM, binary) and the text of the YAML file that names it.

    Raises ValueError when z of the map is not up.
    """
    T = distances.T_map_slice
    tilt_rad = math.acos(min(1.0, max(-1.0, float(T[2, 2]))))
    if tilt_rad > _LARGEST_TILT_RAD:
        raise ValueError(
            f"z of the map frame is {math.degrees(tilt_rad):.0f} degrees off from up, and planners take it for up; "
            "map in a frame whose z is up"
        )
    values = np.zeros(3, dtype=np.uint8)
    for state, pixel in _PIXELS.items():
        values[state] = pixel
    image = values[distances.states[::-1]]
    header = f"P5\n# {distances.resolution_m:g} m/pixel\n{image.shape[1]} {image.shape[0]}\n255\n"
    yaw = math.atan2(float(T[1, 0]), float(T[0, 0]))
    origin = ", ".join(f"{value:.9g}" for value in (T[0, 3], T[1, 3], yaw))
    text = (
        f"image: {image_name}\nmode: trinary\nresolution: {distances.resolution_m:.9g}\norigin: [{origin}]\nnegate: 0\n"
        f"occupied_thresh: {OCCUPIED_THRESHOLD}\nfree_thresh: {FREE_THRESHOLD}\n"
    )
    return header.encode("ascii") + image.tobytes(), text
