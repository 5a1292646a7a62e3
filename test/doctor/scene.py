"""A robot on which all is well, as the doctor sees it; tests break one thing of it at a time."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from lira_ros.doctor.observation import (
    Arrival,
    Endpoint,
    NodeObservation,
    Observation,
    Setup,
    StatusReport,
    TopicObservation,
    TransformSample,
)

START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 33_333_333
IMAGES = 60
WIDTH, HEIGHT = 16, 12
OPTICAL = "camera_color_optical_frame"
QOS = "best effort, volatile, depth 10"
IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"


def arrivals(count=IMAGES, offset_ns=0, age_s=0.02, period_ns=PERIOD_NS):
    """Return arrivals of a stream, the first at second 1."""
    return tuple(
        Arrival(1.0 + index * period_ns / 1e9, START_NS + offset_ns + index * period_ns, age_s)
        for index in range(count)
    )


def header(frame=OPTICAL):
    return SimpleNamespace(frame_id=frame, stamp=SimpleNamespace(sec=0, nanosec=0))


def color_image(**values):
    data = np.full(WIDTH * HEIGHT * 3, 90, np.uint8).tobytes()
    return SimpleNamespace(
        **{
            "header": header(), "width": WIDTH, "height": HEIGHT, "encoding": "rgb8", "step": 3 * WIDTH,
            "is_bigendian": 0, "data": data, **values,
        }
    )  # fmt: skip


def depth_image(depth=2000, encoding="16UC1", **values):
    data = np.full(WIDTH * HEIGHT, depth, "f4" if encoding == "32FC1" else "u2").tobytes()
    step = WIDTH * (4 if encoding == "32FC1" else 2)
    return color_image(**{"encoding": encoding, "step": step, "data": data, **values})


def camera_info(**values):
    k = [15.0, 0, 7.5, 0, 15.0, 5.5, 0, 0, 1]
    return SimpleNamespace(
        **{
            "header": header(), "width": WIDTH, "height": HEIGHT, "k": k, "d": [0.0] * 5,
            "p": [*k[:3], 0, *k[3:6], 0, *k[6:], 0], "distortion_model": "plumb_bob", "binning_x": 0, "binning_y": 0,
            "roi": SimpleNamespace(width=0, height=0, x_offset=0, y_offset=0), **values,
        }
    )  # fmt: skip


def topic(role, message, type_name=IMAGE, **values):
    known = {
        "publishers": (Endpoint("/camera", type_name, "reliable, volatile"),),
        "arrivals": arrivals(),
        "last": message,
        "qos": QOS,
    }
    return TopicObservation(role, f"/camera/{role}", type_name, **{**known, **values})


def edge(parent, child, count=100, offset_ns=0, period_ns=20_000_000, arrival_s=1.0):
    """Return the transforms of an edge at 50 Hz, which come when they are stamped."""
    return tuple(
        TransformSample(
            arrival_s + index * period_ns / 1e9, parent, child, START_NS + offset_ns + index * period_ns - 10_000_000
        )
        for index in range(count)
    )


def static(parent, child):
    return (TransformSample(0.5, parent, child, 0, True),)


def report(name, message="active", level=0, **values):
    return StatusReport(f"/lira/{name}", level, message, "lira_ros on robot", {"state": "active", **values})


def robot(**values):
    """Return the observation of a robot on which all is well."""
    names = ("mapping_node", "reasoning_node", "fusion_node")
    known = {
        "setup": Setup(),
        "began_s": 0.0,
        "ended_s": 5.0,
        "topics": (
            topic("color/image", color_image()),
            topic("color/camera_info", camera_info(), INFO),
            topic("depth/image", depth_image()),
            topic("depth/camera_info", camera_info(), INFO),
        ),
        "transforms": (*edge("map", "odom"), *edge("odom", "base_link"), *static("base_link", OPTICAL)),
        "nodes": (
            NodeObservation("/camera", False),
            *(NodeObservation(f"/lira/{name}", False) for name in names),
        ),
        "reports": tuple(report(name) for name in names),
        "graph": {f"/camera/{role}": (IMAGE,) for role in ("color/image", "depth/image")},
        "transform_publishers": ("/slam",),
    }
    return Observation(**{**known, **values})


def with_topic(observation, role, **values):
    """Return the observation with one of its topics changed."""
    topics = tuple(replace(item, **values) if item.role == role else item for item in observation.topics)
    return replace(observation, topics=topics)


def without_topic(observation, *roles):
    return replace(observation, topics=tuple(item for item in observation.topics if item.role not in roles))


def with_setup(observation, **values):
    return replace(observation, setup=replace(observation.setup, **values))


def wrong(findings):
    return [finding for finding in findings if not finding.well]
