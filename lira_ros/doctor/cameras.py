"""Judge the inputs of lira: topics, rates, stamps and their age, QoS, camera info, encodings, registration."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from lira_ros.doctor.finding import Finding, bad, good, note
from lira_ros.doctor.observation import Observation, TopicObservation
from lira_ros.doctor.transforms import TransformTree
from lira_ros.geometry.camera_info import CameraInfoError, camera_model
from lira_ros.geometry.image_message import (
    ImageMessageError,
    color_from_compressed,
    color_from_image,
    depth_from_compressed,
    depth_from_image,
)
from lira_ros.presets import INPUTS, base_name

# Below this the robot walks past things between two images (0.25 m at 0.5 m/s).
LEAST_RATE_HZ = 2.0
# A gap of one and a half periods is nearer to two than to one; a tenth lost is more than a loaded machine loses.
LOST_FROM_PERIODS = 1.5
LOST_SHARE = 0.1
LEAST_IMAGES = 8
# tf2::BUFFER_CORE_DEFAULT_CACHE_TIME: the pose of an older image is forgotten when it arrives.
FORGOTTEN_S = 10.0
LATE_S = 0.5
# Stamps from the future by more than a driver's rounding: the clocks of two machines differ.
FUTURE_S = 0.05
# Stamps this old are those of a recording, not of a slow driver.
RECORDING_S = 3600.0
# Two streams of one camera whose rates differ by more lose images of one of them.
RATE_RATIO = 1.5
# A principal point outside of the middle half belongs to another image size.
CENTER_SHARE = 0.25
# A covered lens, no texture, a switched off laser: nearly all pixels are without depth.
LEAST_VALID_SHARE = 0.05
# Rooms are smaller, and nothing is nearer to a depth camera: metres that are millimetres, or the other way round.
LARGEST_MEDIAN_M = 50.0
SMALLEST_MEDIAN_M = 0.05
SAME_INTRINSICS_PX = 0.5

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
OPTIONAL_ROLES = ("depth/camera_info", "pose_graph", "imu")


def judge_cameras(observation: Observation) -> list[Finding]:
    """Return the findings on every input, then those on what the inputs of one camera say together."""
    tree = TransformTree(observation.transforms)
    cameras: dict[str, dict[str, TopicObservation]] = {}
    for topic in sorted(observation.topics, key=lambda topic: INPUTS.index(base_name(topic.role))):
        name = base_name(topic.role)
        cameras.setdefault(topic.role.removesuffix(name), {})[name] = topic
    findings = []
    for prefix, camera in sorted(cameras.items()):
        found = [finding for topic in camera.values() for finding in judge_topic(topic, observation)]
        if "color/image" in camera:
            found += _together(prefix, camera, observation, tree)
        findings += _once(found)
    return findings


def _once(findings: list[Finding]) -> list[Finding]:
    """Return the findings without those that say of depth and camera info what was said of colour already."""
    said: set[tuple[str, str]] = set()
    kept = []
    for finding in findings:
        if finding.well or (finding.message, finding.mend) not in said:
            kept.append(finding)
            said.add((finding.message, finding.mend))
    return kept


def judge_topic(topic: TopicObservation, observation: Observation) -> list[Finding]:
    """Return the findings on one input: why nothing comes on it, or how well it comes."""
    if not topic.publishers and not topic.arrivals:
        return _silent_topic(topic, observation)
    others = [end for end in topic.publishers if end.type_name != topic.type_name]
    if others and len(others) == len(topic.publishers):
        return [_other_type(topic, others[0].node, others[0].type_name)]
    fitting = [end for end in topic.publishers if end.type_name == topic.type_name]
    refused = [end for end in fitting if end.incompatible]
    if refused and len(refused) == len(fitting):
        end = refused[0]
        said = f"{end.node} offers {end.qos} on {topic.name}, lira asks for {topic.qos}: {end.incompatible}"
        return [bad(topic.role, said, _qos_mend(topic.role, end.qos, topic.qos))]
    if not topic.arrivals:
        if base_name(topic.role) in OPTIONAL_ROLES:
            return []
        names = ", ".join(sorted({end.node for end in fitting}))
        return [
            bad(
                topic.role,
                f"{names} publishes {topic.name}, but no message came in {observation.seconds:.0f} s",
                f"ros2 topic hz {topic.name}; when that is silent too, look at the log of {names}: the stream is off, "
                "or its USB port too slow",
            )
        ]
    return _stream(topic, fitting, observation)


def _silent_topic(topic: TopicObservation, observation: Observation) -> list[Finding]:
    if base_name(topic.role) in OPTIONAL_ROLES:
        return []
    said = f"nobody publishes {topic.name} ({topic.type_name})"
    own = {item.name for item in observation.topics}
    same = [name for name, types in observation.graph.items() if topic.type_name in types and name not in own]
    near = difflib.get_close_matches(topic.name, same, n=1, cutoff=0.6)
    if near:
        mend = f"if {near[0]} is meant, name it in a preset: {topic.role}: {near[0]} (camera:=my_camera.yaml)"
        return [bad(topic.role, f"{said}; there is {near[0]}", mend)]
    driver = observation.setup.driver
    mend = (
        driver
        if driver and base_name(topic.role).startswith(("color", "depth"))
        else (
            "start what publishes it, or name another topic in a preset (camera:=, pose:=; config/camera_generic.yaml)"
        )
    )
    return [bad(topic.role, said, mend)]


def _other_type(topic: TopicObservation, node: str, type_name: str) -> Finding:
    said = f"{node} publishes {type_name} on {topic.name}, lira expects {topic.type_name}"
    if {type_name, topic.type_name} == {IMAGE, COMPRESSED}:
        wanted = "compressed" if type_name == COMPRESSED else "raw"
        return bad(topic.role, said, f"set camera.image_transport: {wanted} (mapping_node)")
    return bad(topic.role, said, f"name a topic of type {topic.type_name} for {topic.role} in the preset")


def _qos_mend(role: str, offered: str, asked: str) -> str:
    if "best effort" in offered and "best effort" not in asked:
        return "set camera.sensor_reliable: false (mapping_node), so that lira takes what a best-effort camera sends"
    wanted = asked.split(", depth")[0]
    return f"let the publisher offer {wanted}, or lower what lira asks for: qos_overrides of {role} in params_file"


def _stream(topic: TopicObservation, publishers: list[Any], observation: Observation) -> list[Finding]:
    findings = []
    arrivals = topic.arrivals
    rate_hz = rate_of(topic)
    ages_s = np.array([arrival.age_s for arrival in arrivals])
    age_s = float(np.median(ages_s))
    names = ", ".join(sorted({end.node for end in publishers})) or "a node that has ended"
    aged = f", {age_s * 1e3:.0f} ms old" if abs(age_s) < FORGOTTEN_S else ""
    findings.append(good(topic.role, f"{topic.name}: {rate_hz:.1f} Hz{aged}, from {names}"))
    if len(publishers) > 1:
        findings.append(
            note(
                topic.role,
                f"{len(publishers)} publishers on {topic.name}: {names}",
                "stop all but one: their stamps go back and forth",
            )
        )
    stamped = base_name(topic.role) not in OPTIONAL_ROLES
    if stamped and rate_hz < LEAST_RATE_HZ and observation.seconds > 2 / LEAST_RATE_HZ:
        mend = "raise the frame rate in the driver, or free the USB or network link that slows it"
        findings.append(note(topic.role, f"only {rate_hz:.1f} Hz: a moving robot outruns it", mend))
    findings += _stamps(topic, age_s, observation) if stamped else []
    lost = lost_share(topic)
    if stamped and lost > LOST_SHARE:
        findings.append(
            note(
                topic.role,
                f"{lost:.0%} of the messages are missing between the stamps of those that came",
                "start the driver with FASTRTPS_DEFAULT_PROFILES_FILE set to lira's config/fastdds.xml, and "
                "sudo sysctl -w net.core.rmem_max=4194304",
            )
        )
    return findings


def _stamps(topic: TopicObservation, age_s: float, observation: Observation) -> list[Finding]:
    stamps = [arrival.stamp_ns for arrival in topic.arrivals]
    if not any(stamps):
        return [bad(topic.role, f"the stamps of {topic.name} are 0", "let the driver set header.stamp (sensor time)")]
    findings = []
    back = sum(later <= earlier for earlier, later in pairwise(stamps))
    if back:
        findings.append(
            bad(
                topic.role,
                f"the stamps of {topic.name} go back or stand still ({back} of {len(stamps)})",
                "stop a second publisher or a bag that loops without --clock; let the driver stamp with sensor time",
            )
        )
    if observation.setup.use_sim_time and not observation.clock_ticks:
        return findings  # without a clock there is no age
    if age_s > RECORDING_S:
        findings.append(
            note(
                topic.role,
                f"stamps are {age_s / 3600:.0f} hours old: a recording without its clock",
                "ros2 bag play --clock, and use_sim_time:=true for lira",
            )
        )
    elif age_s > FORGOTTEN_S or age_s < -FORGOTTEN_S:
        findings.append(
            bad(
                topic.role,
                f"stamps are {abs(age_s):.1f} s {'old' if age_s > 0 else 'ahead'}: TF does not know that time any more",
                "let the clocks of both machines agree (chronyc tracking), and the driver use the time of the host",
            )
        )
    elif age_s < -FUTURE_S:
        mend = "synchronise the clocks of both machines: chronyc tracking"
        findings.append(note(topic.role, f"stamps are {-age_s * 1e3:.0f} ms in the future", mend))
    elif age_s > LATE_S:
        mend = "lower the resolution or the rate, or use a wired link: the images come late"
        findings.append(note(topic.role, f"images are {age_s:.1f} s old when they arrive", mend))
    return findings


def rate_of(topic: TopicObservation) -> float:
    """Return the rate at which messages came [Hz], 0 for fewer than two."""
    times = [arrival.arrival_s for arrival in topic.arrivals]
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0


def lost_share(topic: TopicObservation) -> float:
    """Return which share of the messages is missing, by the gaps between stamps; 0 when too few came to tell."""
    stamps = np.array([arrival.stamp_ns for arrival in topic.arrivals], dtype=np.int64)
    if len(stamps) < LEAST_IMAGES:
        return 0.0
    gaps = np.diff(stamps).astype(np.float64)
    period = float(np.median(gaps))
    if period <= 0:
        return 0.0
    missing = float(np.round(gaps[gaps > LOST_FROM_PERIODS * period] / period - 1).sum())
    return missing / (missing + len(stamps))


# ---- what the topics of one camera say together -------------------------------------------------------------------


def _together(
    prefix: str, camera: Mapping[str, TopicObservation], observation: Observation, tree: TransformTree
) -> list[Finding]:
    findings: list[Finding] = []
    setup = observation.setup
    compressed = setup.image_transport == "compressed"
    color, depth, info = camera["color/image"], camera.get("depth/image"), camera.get("color/camera_info")
    model = None
    if info is not None and info.last is not None:
        model, said = _camera_info(f"{prefix}color/camera_info", info, color, observation)
        findings += said
    size = None
    if color.last is not None:
        size, said = _color(f"{prefix}color/image", color, compressed)
        findings += said
        if size is not None and model is not None and size != (model.camera.width_px, model.camera.height_px):
            findings.append(
                bad(
                    f"{prefix}color/camera_info",
                    f"is of {model.camera.width_px} x {model.camera.height_px}, images have {size[0]} x {size[1]}",
                    f"name the camera_info of {color.name} in the preset: it belongs to the same stream and resolution",
                )
            )
    depth_m = None
    if depth is not None and depth.last is not None:
        depth_m, said = _depth(f"{prefix}depth/image", depth, compressed)
        findings += said
    if depth is not None:
        findings += _synchronised(prefix, color, depth, info, observation)
    if depth is not None and depth_m is not None and color.last is not None and size is not None:
        own_info = camera.get("depth/camera_info")
        shape = (int(depth_m.shape[1]), int(depth_m.shape[0]))
        findings += _registration(prefix, color, depth, own_info, size, shape, tree, observation)
    return findings


def _camera_info(
    subject: str, info: TopicObservation, color: TopicObservation, observation: Observation
) -> tuple[Any, list[Finding]]:
    rectified = observation.setup.images_rectified
    try:
        model = camera_model(info.last, info.name, rectified=rectified)
    except CameraInfoError as error:
        mend = "let the driver publish its factory calibration, or calibrate it (camera_calibration)"
        return None, [bad(subject, str(error), mend)]
    camera = model.camera
    findings = []
    off = max(abs(camera.cx / camera.width_px - 0.5), abs(camera.cy / camera.height_px - 0.5))
    if off > CENTER_SHARE:
        findings.append(
            note(
                subject,
                f"the principal point ({camera.cx:.0f}, {camera.cy:.0f}) is far from the middle of "
                f"{camera.width_px} x {camera.height_px} pixels: intrinsics of another resolution?",
                "let the driver publish the camera_info of the resolution that it streams",
            )
        )
    distorted = bool(np.any(np.asarray(info.last.d, dtype=np.float64)))
    named_rectified = "rect" in color.name.rsplit("/", 2)[-1] or "/rect" in color.name
    if distorted and named_rectified and not rectified:
        findings.append(
            note(
                subject,
                f"{color.name} seems to be rectified already, and the distortion in {info.name} is taken out once more",
                "set camera.images_rectified: true (mapping_node)",
            )
        )
    if not findings:
        kind = (
            "rectified upstream" if rectified else ("distorted, lira rectifies" if distorted else "without distortion")
        )
        said = f"{camera.width_px} x {camera.height_px}, fx {camera.fx:.1f}, fy {camera.fy:.1f}, {kind}"
        findings.append(good(subject, said))
    return model, findings


def _color(subject: str, color: TopicObservation, compressed: bool) -> tuple[tuple[int, int] | None, list[Finding]]:
    try:
        image = (color_from_compressed if compressed else color_from_image)(color.last, color.name)
    except ImageMessageError as error:
        mend = "set the colour format of the driver to rgb8 or bgr8 (Bayer images: image_proc's debayer node)"
        return None, [bad(subject, str(error), mend)]
    encoding = "compressed" if compressed else color.last.encoding
    return (image.shape[1], image.shape[0]), [good(subject, f"{image.shape[1]} x {image.shape[0]} {encoding}")]


def _depth(subject: str, depth: TopicObservation, compressed: bool) -> tuple[Any, list[Finding]]:
    try:
        depth_m = (depth_from_compressed if compressed else depth_from_image)(depth.last, depth.name)
    except ImageMessageError as error:
        mend = (
            "let the driver publish depth as 16UC1 [mm] or 32FC1 [m] (REP-118), not disparity and not a picture of it"
        )
        return None, [bad(subject, str(error), mend)]
    valid = depth_m[depth_m > 0]
    share = valid.size / depth_m.size
    if share < LEAST_VALID_SHARE:
        said = f"only {share:.1%} of the pixels have depth"
        return depth_m, [note(subject, said, "uncover the camera, switch its projector on, or move away from the wall")]
    median_m = float(np.median(valid))
    encoding = "compressed" if compressed else depth.last.encoding
    if not SMALLEST_MEDIAN_M < median_m < LARGEST_MEDIAN_M:
        said = f"half of the depths are beyond {median_m:.4g} m: {encoding} holds another unit"
        mend = "let the driver publish 16UC1 in millimetres or 32FC1 in metres (REP-118)"
        return depth_m, [bad(subject, said, mend)]
    said = f"{depth_m.shape[1]} x {depth_m.shape[0]} {encoding}, {share:.0%} valid, median {median_m:.2f} m"
    return depth_m, [good(subject, said)]


def _synchronised(
    prefix: str,
    color: TopicObservation,
    depth: TopicObservation,
    info: TopicObservation | None,
    observation: Observation,
) -> list[Finding]:
    slop_s = observation.setup.sync_slop_s
    findings = []
    rates = sorted([rate_of(color), rate_of(depth)])
    if rates[0] > 0 and rates[1] > RATE_RATIO * rates[0]:
        findings.append(
            note(
                f"{prefix}synchronisation",
                f"colour comes at {rate_of(color):.1f} Hz, depth at {rate_of(depth):.1f} Hz: the rest is thrown away",
                "give both streams the same rate in the driver",
            )
        )
    for partner in (depth, info):
        if partner is None or not _is_stamped(color) or not _is_stamped(partner):
            continue
        difference_s = stamp_difference_s(color, partner)
        if difference_s <= slop_s:
            continue
        what = partner.role.removeprefix(prefix)
        driver = observation.setup.driver
        findings.append(
            bad(
                f"{prefix}synchronisation",
                f"stamps of color/image and {what} differ by {difference_s * 1e3:.1f} ms, camera.sync_slop_s is "
                f"{slop_s * 1e3:.0f} ms",
                driver
                if driver and difference_s < LATE_S
                else f"let the driver synchronise both, or set camera.sync_slop_s: {min(1.0, 1.2 * difference_s):.3f}",
            )
        )
    return findings


def _is_stamped(topic: TopicObservation) -> bool:
    return any(arrival.stamp_ns for arrival in topic.arrivals)


def stamp_difference_s(first: TopicObservation, second: TopicObservation) -> float:
    """Return how far the stamps of two topics lie apart: the median over the first of the nearest of the second [s]."""
    theirs = np.sort(np.array([arrival.stamp_ns for arrival in second.arrivals], dtype=np.int64))
    own = np.array([arrival.stamp_ns for arrival in first.arrivals], dtype=np.int64)
    place = np.searchsorted(theirs, own).clip(1, max(1, len(theirs) - 1))
    before, after = theirs[place - 1], theirs[np.minimum(place, len(theirs) - 1)]
    return float(np.median(np.minimum(np.abs(own - before), np.abs(after - own)))) / 1e9


def _registration(
    prefix: str,
    color: TopicObservation,
    depth: TopicObservation,
    own_info: TopicObservation | None,
    color_size: tuple[int, int],
    depth_size: tuple[int, int],
    tree: TransformTree,
    observation: Observation,
) -> list[Finding]:
    subject = f"{prefix}registration"
    color_frame, depth_frame = (str(item.last.header.frame_id).lstrip("/") for item in (color, depth))
    if color_frame == depth_frame and color_size == depth_size:
        return [good(subject, f"depth lies in the pixels of colour ({color_frame})")]
    said = (
        f"depth is {depth_size[0]} x {depth_size[1]} in {depth_frame!r}, colour {color_size[0]} x {color_size[1]} in "
        f"{color_frame!r}"
    )
    driver = observation.setup.driver
    register = driver or "switch on the driver's registration of depth to colour"
    info = None if own_info is None else own_info.last
    if info is None or str(info.header.frame_id).lstrip("/") != depth_frame:
        topic = "depth/camera_info" if own_info is None else own_info.name
        return [bad(subject, f"{said}, and no camera info of depth comes on {topic}", register)]
    if color_frame != depth_frame and not tree.connected(color_frame, depth_frame):
        return [bad(subject, f"{said}, and TF knows no way between both frames", register)]
    return [good(subject, f"{said}: lira reprojects it, at some milliseconds a frame")]
