"""rosbag2 recordings: the real sample, and bags written here with what drivers do differently."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from lira_ros.datasets import SequenceError, open_sequence
from lira_ros.datasets.writer import write_hololens_folder
from lira_ros.geometry.pose import inverse, transform_points

SAMPLE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ros2_bag_sample"
needs_sample = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="needs ../shared/data/ros2_bag_sample beside the repository"
)
MCAP = SAMPLE / "hololens_as_realsense_mcap"
SQLITE = SAMPLE / "hololens_as_realsense_sqlite3"
WIDTH, HEIGHT = 16, 12
STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types


def _median_error(a, b) -> float:
    points = a.camera.unproject(a.depth_m)[a.depth_m > 0]
    pixels, z = b.camera.project(transform_points(inverse(b.T_map_camera) @ a.T_map_camera, points.astype(float)))
    columns, rows = np.rint(np.nan_to_num(pixels, nan=-1)).astype(int).T
    inside = (columns >= 0) & (columns < b.camera.width_px) & (rows >= 0) & (rows < b.camera.height_px)
    measured = b.depth_m[rows[inside], columns[inside]]
    return float(np.median(np.abs(measured - z[inside])[measured > 0]))


@needs_sample
def test_sample_agrees_with_its_description() -> None:
    sequence = open_sequence(MCAP)
    assert (len(sequence), sequence.skipped, sequence.up_axis) == (12, {}, "+z")
    assert sequence.rate_hz == pytest.approx(5.0)
    frames = list(sequence)
    assert frames[0].stamp_ns == 1_700_000_000_100_000_000
    # Back-projection with the messages alone, as measured in the description of the data.
    assert _median_error(frames[0], frames[1]) == pytest.approx(0.0063, abs=0.001)
    assert _median_error(frames[0], frames[3]) == pytest.approx(0.0084, abs=0.001)
    assert _median_error(frames[4], frames[6]) == pytest.approx(0.011, abs=0.001)


@needs_sample
def test_both_storages_and_single_files_give_the_same_frames() -> None:
    mcap = {frame.stamp_ns: frame for frame in open_sequence(next(MCAP.glob("*.mcap")))}
    sqlite = list(open_sequence(SQLITE))
    assert len(sqlite) == 3
    for frame in sqlite:
        assert frame.depth_m.shape == (360, 540)
    assert len(mcap) == 12
    assert len(open_sequence(next(SQLITE.glob("*.db3")))) == 3


@needs_sample
def test_sample_written_as_a_folder_gives_the_same_frames(tmp_path: Path) -> None:
    bag = open_sequence(SQLITE)
    write_hololens_folder(bag, tmp_path / "folder")
    folder = open_sequence(tmp_path / "folder")
    assert (len(folder), folder.camera, folder.up_axis) == (3, bag.camera, "+z")
    for frame, original in zip(folder, bag, strict=True):
        assert frame.stamp_ns == original.stamp_ns
        assert np.array_equal(frame.color, original.color)
        assert np.array_equal(frame.depth_m, original.depth_m)
        assert np.allclose(frame.T_map_camera, original.T_map_camera, atol=1e-12)


@needs_sample
def test_raw_messages_come_in_order_with_topics() -> None:
    sequence = open_sequence(MCAP)
    messages = list(sequence.messages())
    assert len(messages) == 73 == sum(topic.count for topic in sequence.topics())
    assert all(a.stamp_ns <= b.stamp_ns for a, b in itertools.pairwise(messages))
    assert {topic.name for topic in sequence.topics() if topic.latched} == {"/tf_static"}
    assert {message.topic for message in messages} == {topic.name for topic in sequence.topics()}


# --- bags written here ------------------------------------------------------------------------------


def _time(stamp_ns: int):
    return T["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


def _header(stamp_ns: int, frame: str):
    return T["std_msgs/msg/Header"](stamp=_time(stamp_ns), frame_id=frame)


def _image(stamp_ns: int, frame: str, encoding: str, pixels: np.ndarray):
    data = np.frombuffer(np.ascontiguousarray(pixels).tobytes(), np.uint8)
    return T["sensor_msgs/msg/Image"](
        _header(stamp_ns, frame), pixels.shape[0], pixels.shape[1], encoding, 0, len(data) // pixels.shape[0], data
    )


def _compressed(stamp_ns: int, frame: str, text: str, data: bytes):
    return T["sensor_msgs/msg/CompressedImage"](_header(stamp_ns, frame), text, np.frombuffer(data, np.uint8))


def _info(stamp_ns: int, fx: float = 20.0):
    region = T["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    k = np.array([fx, 0, 7.5, 0, fx, 5.5, 0, 0, 1.0])
    return T["sensor_msgs/msg/CameraInfo"](
        _header(stamp_ns, "optical"),
        HEIGHT,
        WIDTH,
        "plumb_bob",
        np.zeros(5),
        k,
        np.eye(3).reshape(9),
        np.zeros(12),
        0,
        0,
        region,
    )


def _tf(stamp_ns: int, parent: str, child: str, x: float):
    vector = T["geometry_msgs/msg/Vector3"](x, 0.0, 0.0)
    transform = T["geometry_msgs/msg/Transform"](vector, T["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0))
    stamped = T["geometry_msgs/msg/TransformStamped"](_header(stamp_ns, parent), child, transform)
    return T["tf2_msgs/msg/TFMessage"]([stamped])


def _write(path: Path, messages: list[tuple[str, int, object]], plugin: StoragePlugin = StoragePlugin.SQLITE3) -> Path:
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {}
        for topic, received, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], received, STORE.serialize_cdr(message, kind))
    return path


DEPTH_MM = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) + 500
COLOR = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
S = 10**9


def _walk(**changes: object) -> list[tuple[str, int, object]]:
    messages: list[tuple[str, int, object]] = [
        ("/tf_static", S, _tf(0, "base", "optical", 0.5)),
        ("/cam/rgb/camera_info", S, changes.get("info", _info(S))),
        ("/tf", S, _tf(S, "odom", "base", 1.0)),
    ]
    for index in (1, 2, 3):
        stamp = S + index * 100_000_000
        if index == 3:
            # Recorded before the last images: nothing is known of the pose after this.
            messages.append(("/tf", stamp, _tf(stamp - 50_000_000, "odom", "base", 2.0)))
        color = changes.get("color", lambda stamp: _image(stamp, "optical", "bgr8", COLOR[:, :, ::-1]))
        depth = changes.get("depth", lambda stamp: _image(stamp, "optical", "16UC1", DEPTH_MM))
        messages.append(("/cam/rgb/image", stamp, color(stamp)))
        messages.append(("/cam/depth/image", stamp + 1, depth(stamp + 12_000_000)))
    return messages


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_pairs_by_stamp_and_interpolates_the_pose(tmp_path: Path, plugin: StoragePlugin) -> None:
    sequence = open_sequence(_write(tmp_path / "bag", _walk(), plugin))
    assert (len(sequence), sequence.skipped, sequence.fixed_frame) == (2, {"no transform at that stamp": 1}, "odom")
    for index, stamp in enumerate((S + 100_000_000, S + 200_000_000)):
        frame = sequence.frame(index)
        assert frame.stamp_ns == stamp
        assert np.array_equal(frame.color, COLOR)
        assert np.allclose(frame.depth_m, DEPTH_MM / 1000, atol=1e-6)
        assert frame.T_map_camera[0, 3] == pytest.approx(1.5 + (stamp - S) / 250_000_000)


def test_reads_compressed_images(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".png", COLOR[:, :, ::-1])[1].tobytes()
    png = cv2.imencode(".png", DEPTH_MM)[1].tobytes()
    messages = _walk(
        color=lambda stamp: _compressed(stamp, "optical", "bgr8; png compressed bgr8", jpeg),
        depth=lambda stamp: _compressed(stamp, "optical", "16UC1; compressedDepth png", b"\0" * 12 + png),
    )
    names = {"/cam/rgb/image": "/cam/rgb/image/compressed", "/cam/depth/image": "/cam/depth/image/compressedDepth"}
    frame = open_sequence(_write(tmp_path / "bag", [(names.get(t, t), r, m) for t, r, m in messages])).frame(0)
    assert np.array_equal(frame.color, COLOR)
    assert np.allclose(frame.depth_m, DEPTH_MM / 1000, atol=1e-6)


def test_reads_float_depth_with_nan(tmp_path: Path) -> None:
    depth = (DEPTH_MM / 1000).astype(np.float32)
    depth[0, 0], depth[0, 1] = np.nan, np.inf
    bag = _write(tmp_path / "bag", _walk(depth=lambda stamp: _image(stamp, "optical", "32FC1", depth)))
    frame = open_sequence(bag).frame(0)
    assert frame.depth_m[0, 0] == frame.depth_m[0, 1] == 0.0
    assert np.allclose(frame.depth_m[1:], depth[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"info": _info(S, 0.0)}, r"/cam/rgb/camera_info: .*focal lengths"),
        ({"info": _info(S, float("nan"))}, r"/cam/rgb/camera_info: .*finite"),
        ({"depth": lambda stamp: _image(stamp, "depth", "16UC1", DEPTH_MM)}, r"expected depth registered to colour"),
        ({"depth": lambda stamp: _image(stamp + S, "optical", "16UC1", DEPTH_MM)}, r"within 20 ms.*3 without depth"),
    ],
)
def test_refuses_what_cannot_be_used(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        open_sequence(_write(tmp_path / "bag", _walk(**changes)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"depth": lambda stamp: _image(stamp, "optical", "16UC1", DEPTH_MM[:-1])},
            r"/cam/depth/image.*16 x 12.*16 x 11",
        ),
        ({"depth": lambda stamp: _image(stamp, "optical", "8UC1", COLOR[..., 0])}, r"/cam/depth/image.*'8UC1'"),
        ({"color": lambda stamp: _image(stamp, "optical", "yuv422", COLOR)}, r"/cam/rgb/image.*'yuv422'"),
    ],
)
def test_names_the_topic_of_a_broken_image(tmp_path: Path, changes: dict, message: str) -> None:
    sequence = open_sequence(_write(tmp_path / "bag", _walk(**changes)))
    with pytest.raises(SequenceError, match=message):
        sequence.frame(0)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("/cam/depth/image", r"no depth images .*depth_topic; recorded are .*/cam/rgb/image"),
        ("/cam/rgb/image", r"no color images .*color_topic"),
        ("/cam/rgb/camera_info", r"expected camera info on /cam/rgb/camera_info"),
        ("/tf", r"none of 3 colour images .*no transform|no transform leads"),
    ],
)
def test_names_a_missing_topic(tmp_path: Path, missing: str, message: str) -> None:
    messages = [item for item in _walk() if item[0] != missing]
    path = _write(tmp_path / "bag", messages)
    if missing == "/tf":
        # Without odom -> base the camera hangs from base, which does not move: that is a valid recording.
        assert open_sequence(path).fixed_frame == "base"
        path = _write(tmp_path / "bag2", [item for item in messages if item[0] != "/tf_static"])
        message = r"expected /tf with the pose"
    with pytest.raises(SequenceError, match=message):
        open_sequence(path)


def test_options_choose_topics_and_frame(tmp_path: Path) -> None:
    path = _write(tmp_path / "bag", _walk())
    assert open_sequence(path, fixed_frame="base").frame(0).T_map_camera[0, 3] == pytest.approx(0.5)
    with pytest.raises(SequenceError, match=r"fixed_frame 'mars' was not recorded; frames: base, odom, optical"):
        open_sequence(path, fixed_frame="mars")
    with pytest.raises(SequenceError, match=r"expected color images .* on /nothing"):
        open_sequence(path, color_topic="/nothing")


def test_refuses_files_that_are_no_bags(tmp_path: Path) -> None:
    (tmp_path / "broken.mcap").write_bytes(b"not a bag")
    with pytest.raises(SequenceError, match=r"broken.mcap: expected a rosbag2 recording"):
        open_sequence(tmp_path / "broken.mcap")
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "metadata.yaml").write_text("rosbag2_bagfile_information: {}")
    with pytest.raises(SequenceError, match="expected a rosbag2 recording"):
        open_sequence(tmp_path / "bag")


@needs_sample
def test_names_a_recording_that_ends_early(tmp_path: Path) -> None:
    whole = next(MCAP.glob("*.mcap")).read_bytes()
    (tmp_path / "cut.mcap").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SequenceError, match=r"cut.mcap"):
        list(open_sequence(tmp_path / "cut.mcap"))
