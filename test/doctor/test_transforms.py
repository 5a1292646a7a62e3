"""What the doctor says of TF: what is missing, late, doubled, or turned in a circle."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from scene import OPTICAL, color_image, edge, header, robot, static, topic, with_setup, with_topic, wrong

from lira_ros.doctor.transforms import TransformTree, judge_transforms

CAMERA = static("base_link", OPTICAL)
SECOND_NS = 1_000_000_000


def transforms(*parts):
    samples = tuple(sample for part in parts for sample in part)
    return lambda scene: replace(scene, transforms=samples)


def test_the_way_from_the_map_is_named_where_all_is_well():
    (finding,) = judge_transforms(robot())
    assert finding.well
    assert finding.message == f"map -> odom -> base_link -> {OPTICAL}, known at the stamps of the images"


BROKEN = {
    "no TF at all": (transforms(), "FAIL", f"nobody publishes TF; lira needs map -> {OPTICAL}", "--child-frame-id"),
    "camera not in TF": (
        transforms(edge("map", "odom"), edge("odom", "base_link")), "FAIL",
        f"the frame {OPTICAL} of /camera/color/image is not in TF", "publish_tf:=true",
    ),
    "no map": (
        transforms(edge("odom", "base_link"), CAMERA), "FAIL",
        f"there is no frame map in TF; the tree of {OPTICAL} ends at odom", "map_frame:=odom",
    ),
    "two trees": (
        transforms(edge("map", "other"), edge("odom", "base_link"), CAMERA), "FAIL", "map -> odom is missing",
        "publish the way from map to odom",
    ),
    "stands still": (
        transforms(edge("map", "odom", offset_ns=-60 * SECOND_NS), edge("odom", "base_link"), CAMERA), "FAIL",
        "map -> odom is 60.02 s behind the images", "restart what publishes map -> odom",
    ),
    "of another clock, ahead": (
        transforms(edge("map", "odom", offset_ns=60 * SECOND_NS), edge("odom", "base_link"), CAMERA), "FAIL",
        "ahead of the images; known for 0 of 60 images", "use_sim_time",
    ),
    "late": (
        transforms(edge("map", "odom", arrival_s=3.0), edge("odom", "base_link"), CAMERA), "FAIL",
        "behind the images; known for 0 of", "set pose_timeout_s: ",
    ),
    "once on /tf": (
        transforms(edge("map", "odom", 1), edge("odom", "base_link"), CAMERA), "FAIL",
        "it came only once", "publish map -> odom on /tf_static",
    ),
    "two parents": (
        transforms(edge("map", "odom"), edge("odom", "base_link"), edge("other", "base_link"), CAMERA), "FAIL",
        "base_link has 2 parents, odom and other", "/tf comes from /slam",
    ),
    "two parents elsewhere": (
        transforms(edge("map", "odom"), edge("odom", "base_link"), CAMERA, static("a", "arm"), static("b", "arm")),
        "note", "arm has 2 parents", "stop one of them",
    ),
    "loop": (
        transforms(edge("odom", "base_link"), edge("base_link", "odom"), CAMERA), "FAIL", "a loop", "view_frames",
    ),
    "slow": (
        transforms(edge("map", "odom", 6, period_ns=400_000_000), edge("odom", "base_link"), CAMERA), "note",
        "map -> odom comes at 2.5 Hz only", "above 10 Hz",
    ),
    "no frame": (
        lambda scene: with_topic(scene, "color/image", last=color_image(header=header(""))), "FAIL",
        "/camera/color/image has no header.frame_id", "name the optical frame",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_thing_is_named_with_what_mends_it(name):
    change, sign, said, mend = BROKEN[name]
    findings = wrong(judge_transforms(change(robot())))
    assert len(findings) == 1, [finding.message for finding in findings]
    assert findings[0].subject == "tf"
    assert findings[0].sign == sign
    assert said in findings[0].message
    assert mend in findings[0].mend


def test_a_transform_that_is_a_little_late_is_waited_for():
    late = edge("map", "odom", arrival_s=1.6)  # each comes 0.6 s after its stamp, within pose_timeout_s
    scene = transforms(late, edge("odom", "base_link"), CAMERA)(robot())
    assert not wrong(judge_transforms(scene))
    assert wrong(judge_transforms(with_setup(scene, pose_timeout_s=0.1)))


def with_odometry(frame="odom", child="base_link", parts=(CAMERA,)):
    message = SimpleNamespace(header=header(frame), child_frame_id=child)
    scene = with_setup(transforms(*parts)(robot()), pose_source="odometry", map_frame="odom")
    return replace(scene, topics=(*scene.topics, topic("odometry", message, "nav_msgs/msg/Odometry")))


def test_other_pose_sources_need_no_way_from_the_map():
    (finding,) = judge_transforms(with_odometry())
    assert finding.well
    assert finding.message == "poses of base_link in odom on /camera/odometry"


@pytest.mark.parametrize(
    ("scene", "said", "mend"),
    [
        (with_odometry(frame="map"), "are in 'map', lira maps in 'odom'", "map_frame:=map"),
        (
            with_odometry(child="wheels"),
            f"no way from wheels, whose poses /camera/odometry holds, to {OPTICAL}",
            "static",
        ),
    ],
)
def test_what_is_wrong_with_poses_from_a_topic_is_named(scene, said, mend):
    (finding,) = wrong(judge_transforms(scene))
    assert finding.sign == "FAIL"
    assert said in finding.message
    assert mend in finding.mend


def test_slashes_in_front_of_frames_are_those_of_ros_1():
    scene = transforms(edge("/map", "odom"), edge("odom", "/base_link"), CAMERA)(robot())
    assert not wrong(judge_transforms(scene))


def test_the_way_between_two_frames_goes_through_their_common_ancestor():
    tree = TransformTree((*static("base", "left"), *static("base", "right"), *static("right", "camera")))
    assert [str(item) for item in tree.way("left", "camera")] == ["base -> left", "base -> right", "right -> camera"]
    assert [str(item) for item in tree.way("base", "camera")] == ["base -> right", "right -> camera"]
    assert tree.connected("left", "camera")
    assert not tree.connected("left", "elsewhere")
