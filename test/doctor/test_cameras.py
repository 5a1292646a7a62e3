"""What the doctor says of topics, rates, stamps, QoS, camera info, encodings and registration."""

from dataclasses import replace

import pytest
from scene import (
    INFO,
    PERIOD_NS,
    arrivals,
    camera_info,
    color_image,
    depth_image,
    header,
    robot,
    static,
    topic,
    with_setup,
    with_topic,
    without_topic,
    wrong,
)

from lira_ros.doctor.cameras import judge_cameras, lost_share, rate_of, stamp_difference_s
from lira_ros.doctor.observation import Arrival, Endpoint

DRIVER = "ros2 launch camera"


def test_nothing_is_said_against_a_robot_on_which_all_is_well():
    findings = judge_cameras(robot())
    assert not wrong(findings)
    said = {finding.subject: finding.message for finding in findings}
    assert said["registration"] == "depth lies in the pixels of colour (camera_color_optical_frame)"
    assert any("30.0 Hz, 20 ms old, from /camera" in finding.message for finding in findings)
    assert any("fx 15.0, fy 15.0, without distortion" in finding.message for finding in findings)
    assert any("16UC1, 100% valid, median 2.00 m" in finding.message for finding in findings)


def silent(role, **values):
    return lambda scene: with_topic(scene, role, arrivals=(), last=None, **values)


def endpoint(**values):
    return (replace(Endpoint("/camera", "sensor_msgs/msg/Image", "best effort, volatile"), **values),)


def last(role, message):
    return lambda scene: with_topic(scene, role, last=message)


def stamped(role, times):
    return lambda scene: with_topic(scene, role, arrivals=times)


def unregistered(info_frame="depth_frame", connected=True):
    def change(scene):
        scene = with_topic(scene, "depth/image", last=depth_image(header=header("depth_frame")))
        scene = with_topic(scene, "depth/camera_info", last=camera_info(header=header(info_frame)))
        extra = static("base_link", "depth_frame") if connected else ()
        return replace(scene, transforms=scene.transforms + extra)

    return change


def back_and_forth():
    times = list(arrivals())
    times[10], times[11] = times[11], times[10]
    return tuple(times)


def all_aged(age_s):
    def change(scene):
        for role in ("color/image", "color/camera_info", "depth/image"):
            scene = with_topic(scene, role, arrivals=arrivals(age_s=age_s))
        return scene

    return change


RECTIFIED = {"name": "/oak/rgb/image_rect"}

# What is broken: change, subject, sign, what is said, what mends it.
BROKEN = {
    "missing topic": (
        silent("color/image", publishers=(), name="/elsewhere"), "color/image", "FAIL",
        "nobody publishes /elsewhere (sensor_msgs/msg/Image)", "start what publishes it",
    ),
    "missing topic, driver known": (
        lambda scene: with_setup(silent("depth/image", publishers=(), name="/x")(scene), driver=DRIVER), "depth/image",
        "FAIL", "nobody publishes /x", DRIVER,
    ),
    "missing topic, a similar one is there": (
        silent("color/image", publishers=(), name="/camera/color/image_raw"), "color/image", "FAIL",
        "there is /camera/color/image", "color/image: /camera/color/image (camera:=my_camera.yaml)",
    ),
    "missing topic, the similar one is another input": (
        lambda scene: silent("depth/image", publishers=(), name="/camera/color/image_raw")(
            replace(scene, graph={"/camera/color/image": ("sensor_msgs/msg/Image",)})
        ), "depth/image", "FAIL", "nobody publishes /camera/color/image_raw (sensor_msgs/msg/Image)",
        "start what publishes it",
    ),
    "other type": (
        silent("color/image", publishers=endpoint(type_name="sensor_msgs/msg/CompressedImage")), "color/image", "FAIL",
        "/camera publishes sensor_msgs/msg/CompressedImage on", "camera.image_transport: compressed",
    ),
    "raw instead of compressed": (
        silent("color/image", type_name="sensor_msgs/msg/CompressedImage", publishers=endpoint()), "color/image",
        "FAIL", "lira expects sensor_msgs/msg/CompressedImage", "camera.image_transport: raw",
    ),
    "another type altogether": (
        silent("color/camera_info", publishers=endpoint(type_name="std_msgs/msg/String")), "color/camera_info", "FAIL",
        "publishes std_msgs/msg/String", "name a topic of type sensor_msgs/msg/CameraInfo",
    ),
    "best effort camera, reliable lira": (
        silent("color/image", publishers=endpoint(incompatible="reliability"), qos="reliable, volatile, depth 10"),
        "color/image", "FAIL", "offers best effort, volatile on /camera/color/image, lira asks for reliable",
        "camera.sensor_reliable: false",
    ),
    "volatile path": (
        lambda scene: replace(scene, topics=(topic(
            "odometry", None, "nav_msgs/msg/Odometry", arrivals=(), qos="reliable, transient local, depth 1",
            publishers=endpoint(
                type_name="nav_msgs/msg/Odometry", qos="reliable, volatile", incompatible="durability"
            ),
        ),)), "odometry", "FAIL", "durability", "let the publisher offer reliable, transient local, or",
    ),
    "publisher without messages": (
        silent("color/image"), "color/image", "FAIL", "no message came in 5 s", "ros2 topic hz /camera/color/image",
    ),
    "two publishers": (
        lambda scene: with_topic(scene, "color/image", publishers=2 * endpoint()), "color/image", "note",
        "2 publishers on /camera/color/image", "stop all but one",
    ),
    "slow": (
        stamped("color/image", arrivals(4, period_ns=1_000_000_000)), "color/image", "note", "only 1.0 Hz",
        "raise the frame rate",
    ),
    "lost images": (
        stamped("color/image", tuple(item for index, item in enumerate(arrivals()) if index % 3)), "color/image",
        "note", "% of the messages are missing", "FASTRTPS_DEFAULT_PROFILES_FILE",
    ),
    "no stamps": (
        stamped("color/image", tuple(Arrival(1.0 + index, 0, 1e9) for index in range(4))), "color/image", "FAIL",
        "the stamps of /camera/color/image are 0", "header.stamp",
    ),
    "stamps go back": (
        stamped("color/image", back_and_forth()), "color/image", "FAIL", "go back or stand still (1 of 60)",
        "stop a second publisher",
    ),
    "recording without clock": (
        all_aged(7200.0), "color/image", "note", "stamps are 2 hours old", "ros2 bag play --clock",
    ),
    "old stamps": (
        all_aged(60.0), "color/image", "FAIL", "stamps are 60.0 s old: TF does not know", "chronyc tracking",
    ),
    "stamps far ahead": (all_aged(-60.0), "color/image", "FAIL", "stamps are 60.0 s ahead", "chronyc tracking"),
    "stamps a little ahead": (all_aged(-0.2), "color/image", "note", "200 ms in the future", "chronyc tracking"),
    "late images": (all_aged(0.8), "color/image", "note", "images are 0.8 s old when they arrive", "wired link"),
    "zero K": (
        last("color/camera_info", camera_info(k=[0.0] * 9)), "color/camera_info", "FAIL",
        "/camera/color/camera_info: expected finite intrinsics", "factory calibration",
    ),
    "unknown distortion": (
        last("color/camera_info", camera_info(d=[0.1], distortion_model="magic")), "color/camera_info", "FAIL",
        "distortion model", "calibrat",
    ),
    "info of another size": (
        last("color/camera_info", camera_info(width=32, height=24)), "color/camera_info", "FAIL",
        "is of 32 x 24, images have 16 x 12", "belongs to the same stream",
    ),
    "intrinsics of another resolution": (
        last("color/camera_info", camera_info(k=[15.0, 0, 15.0, 0, 15.0, 11.0, 0, 0, 1])), "color/camera_info", "note",
        "principal point (15, 11) is far from the middle", "the resolution that it streams",
    ),
    "rectified twice": (
        lambda scene: with_topic(
            with_topic(scene, "color/image", **RECTIFIED), "color/camera_info", last=camera_info(d=[0.1, 0, 0, 0, 0])
        ), "color/camera_info", "note", "seems to be rectified already", "camera.images_rectified: true",
    ),
    "Bayer colour": (
        last("color/image", color_image(encoding="bayer_rggb8")), "color/image", "FAIL", "got 'bayer_rggb8'", "rgb8",
    ),
    "truncated colour": (last("color/image", color_image(data=b"12")), "color/image", "FAIL", "truncated", "rgb8"),
    "wrong depth encoding": (
        last("depth/image", depth_image(encoding="64FC1")), "depth/image", "FAIL", "got '64FC1'", "16UC1 [mm]",
    ),
    "millimetres as floats": (
        last("depth/image", depth_image(2000.0, "32FC1")), "depth/image", "FAIL", "beyond 2000 m", "REP-118",
    ),
    "metres as integers": (
        last("depth/image", depth_image(2)), "depth/image", "FAIL", "beyond 0.002 m", "16UC1 in millimetres",
    ),
    "no depth in the image": (
        last("depth/image", depth_image(0)), "depth/image", "note", "only 0.0% of the pixels have depth", "uncover",
    ),
    "unregistered, no camera info": (
        lambda scene: without_topic(unregistered()(scene), "depth/camera_info"), "registration", "FAIL",
        "depth is 16 x 12 in 'depth_frame', colour 16 x 12 in 'camera_color_optical_frame'", "registration of depth",
    ),
    "unregistered, driver known": (
        lambda scene: with_setup(unregistered("other")(scene), driver=DRIVER), "registration", "FAIL",
        "no camera info of depth comes on /camera/depth/camera_info", DRIVER,
    ),
    "unregistered, no transform": (
        unregistered(connected=False), "registration", "FAIL", "TF knows no way between both frames", "registration",
    ),
    "not synchronised": (
        stamped("depth/image", arrivals(offset_ns=PERIOD_NS // 2 + 40_000_000_000)), "synchronisation", "FAIL",
        "stamps of color/image and depth/image differ by", "camera.sync_slop_s: 1.000",
    ),
    "half a period apart, driver known": (
        lambda scene: with_setup(
            stamped("depth/image", arrivals(offset_ns=PERIOD_NS // 2))(scene), driver=DRIVER, sync_slop_s=0.01
        ), "synchronisation", "FAIL", "differ by 16.7 ms, camera.sync_slop_s is 10 ms", DRIVER,
    ),
    "camera info late": (
        stamped("color/camera_info", arrivals(offset_ns=5_000_000_000)), "synchronisation", "FAIL",
        "color/image and color/camera_info differ", "sync_slop_s",
    ),
    "two rates": (
        stamped("depth/image", arrivals(30, period_ns=2 * PERIOD_NS)), "synchronisation", "note",
        "colour comes at 30.0 Hz, depth at 15.0 Hz", "the same rate",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_thing_is_named_with_what_mends_it(name):
    change, subject, sign, said, mend = BROKEN[name]
    found = [finding for finding in wrong(judge_cameras(change(robot()))) if said in finding.message]
    assert len(found) == 1, [finding.message for finding in wrong(judge_cameras(change(robot())))]
    assert (found[0].subject, found[0].sign) == (subject, sign)
    assert mend in found[0].mend


@pytest.mark.parametrize("name", [name for name in BROKEN if BROKEN[name][2] == "FAIL"])
def test_what_is_broken_takes_nothing_else_with_it(name):
    # One cause gives one or two failures, not a page of them.
    failed = [finding for finding in judge_cameras(BROKEN[name][0](robot())) if finding.failed]
    assert 1 <= len(failed) <= 2


def test_unregistered_depth_that_can_be_reprojected_is_well():
    findings = judge_cameras(unregistered()(robot()))
    assert not wrong(findings)
    assert any("lira reprojects it" in finding.message for finding in findings)


def test_distortion_is_no_fault_where_lira_or_the_driver_takes_it_out():
    scene = last("color/camera_info", camera_info(d=[0.1, 0, 0, 0, 0]))(robot())
    assert not wrong(judge_cameras(scene))
    scene = with_setup(with_topic(scene, "color/image", **RECTIFIED), images_rectified=True)
    assert not wrong(judge_cameras(scene))


def test_optional_inputs_may_be_absent_or_silent():
    scene = robot(topics=(*robot().topics, topic("pose_graph", None, "nav_msgs/msg/Path", arrivals=(), publishers=())))
    scene = with_topic(scene, "depth/camera_info", arrivals=(), last=None)
    assert not wrong(judge_cameras(scene))


def test_each_of_several_cameras_is_judged_by_itself():
    topics = tuple(replace(item, role=f"front/{item.role}") for item in robot().topics)
    back = tuple(replace(item, role=f"back/{item.role}") for item in robot().topics)
    scene = with_topic(robot(topics=topics + back), "back/color/image", last=color_image(encoding="bayer_rggb8"))
    found = wrong(judge_cameras(scene))
    assert [finding.subject for finding in found] == ["back/color/image"]


def test_what_is_said_of_colour_is_not_said_again_of_depth():
    assert len(wrong(judge_cameras(all_aged(7200.0)(robot())))) == 1


def test_figures_of_a_stream():
    stream = topic("color/image", None, INFO)
    assert rate_of(stream) == pytest.approx(30.0, rel=1e-3)
    assert lost_share(stream) == 0.0
    thinned = replace(stream, arrivals=tuple(item for index, item in enumerate(arrivals()) if index % 4))
    assert lost_share(thinned) == pytest.approx(0.25, abs=0.02)
    assert lost_share(replace(stream, arrivals=arrivals(3))) == 0.0
    assert rate_of(replace(stream, arrivals=arrivals(1))) == 0.0
    assert stamp_difference_s(stream, replace(stream, arrivals=arrivals(offset_ns=4_000_000))) == pytest.approx(0.004)
    assert stamp_difference_s(stream, replace(stream, arrivals=arrivals(1))) > 0.5
