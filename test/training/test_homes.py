"""Homes to learn from: the keyframes of the mapper, exact files, and none of the homes that are for tests."""

from dataclasses import replace

import numpy as np
import pytest

from lira_ros.configuration import ConfigurationError
from lira_ros.datasets.rooms.sequence import RoomSequence
from lira_ros.geometry.pose import motion_between
from lira_ros.training import homes
from lira_ros.training.homes import HomeRecording, HomeStore, check_seed, pose_errors_of, record_home


@pytest.fixture(scope="module")
def drawn():
    """Return the first keyframes of one home, small, and the sequence that drew them."""
    sequences = []

    class Short(RoomSequence):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            sequences.append(self)

        def __len__(self):
            return 6

    patch = pytest.MonkeyPatch()
    patch.setattr(homes, "RoomSequence", Short)
    try:
        return record_home(2, "noise", width_px=32), sequences[0]
    finally:
        patch.undo()


@pytest.fixture(scope="module")
def recording(drawn):
    return drawn[0]


def assert_same(one: HomeRecording, other: HomeRecording) -> None:
    assert (one.seed, one.pose_errors, one.objects) == (other.seed, other.pose_errors, other.objects)
    np.testing.assert_array_equal(one.instance_images, other.instance_images, strict=True)
    assert len(one.keyframes) == len(other.keyframes)
    for a, b in zip(one.keyframes, other.keyframes, strict=True):
        assert (a.id, a.floor_height_m, a.frame.stamp_ns) == (b.id, b.floor_height_m, b.frame.stamp_ns)
        assert a.frame.camera == b.frame.camera
        for name in ("color", "depth_m"):
            np.testing.assert_array_equal(getattr(a.frame, name), getattr(b.frame, name), strict=True)
        # Every frame makes its rotation orthonormal again, which may turn the last bit.
        np.testing.assert_allclose(a.frame.T_map_camera, b.frame.T_map_camera, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(a.up, b.up)


def test_keyframes_are_those_of_the_mapper_with_the_reported_poses_and_the_truth(drawn):
    recording, sequence = drawn
    assert [keyframe.id for keyframe in recording.keyframes] == list(range(1, len(recording.keyframes) + 1))
    assert len(recording.keyframes) >= 3
    for keyframe, ids in zip(recording.keyframes, recording.instance_images, strict=True):
        index = sequence.index_at(keyframe.frame.stamp_ns)
        np.testing.assert_allclose(keyframe.frame.T_map_camera, sequence.reported_pose(index), atol=1e-12)
        np.testing.assert_array_equal(ids, sequence.instance_image(index))
        assert keyframe.floor_height_m == pytest.approx(0.0, abs=0.01)
    for before, after in zip(recording.keyframes[:-1], recording.keyframes[1:], strict=True):
        angle_deg, distance_m = motion_between(before.frame.T_map_camera, after.frame.T_map_camera)
        assert angle_deg > 15.0 or distance_m > 0.1
    known = {item.id for item in recording.objects}
    assert set(np.unique(recording.instance_images)) - {0} <= known
    assert all(item.attributes["color"] for item in recording.objects)


@pytest.mark.parametrize("sensor", ["kinect", "exact"])
def test_a_file_gives_back_every_bit(recording, tmp_path, sensor):
    if sensor == "exact":  # depth that is no whole number of millimetres
        keyframes = tuple(
            replace(item, frame=replace(item.frame, depth_m=item.frame.depth_m * np.float32(1.0001)))
            for item in recording.keyframes
        )
        recording = replace(recording, keyframes=keyframes)
    homes._write(tmp_path / "home.npz", recording)
    assert_same(homes._read(tmp_path / "home.npz"), recording)
    assert [path.name for path in tmp_path.iterdir()] == ["home.npz"]


def test_a_home_is_drawn_once(recording, tmp_path, monkeypatch):
    drawn = []

    def draw(seed, pose_errors, sensor, width_px):
        drawn.append((seed, pose_errors, sensor, width_px))
        return replace(recording, seed=seed, pose_errors=pose_errors)

    monkeypatch.setattr(homes, "record_home", draw)
    store = HomeStore(tmp_path / "new", width_px=32)
    store.prepare([3, 4, 3])
    assert drawn == [(3, "none", "kinect", 32), (4, "noise", "kinect", 32)]
    assert_same(store.get(4), replace(recording, seed=4, pose_errors="noise"))
    assert store.get(3).pose_errors == pose_errors_of(3) == "none"
    assert len(drawn) == 2
    assert store.get(3, "drift").pose_errors == "drift"
    assert len(drawn) == 3


def test_a_process_draws_what_is_missing(tmp_path, monkeypatch):
    # The child imports the real module, so this is a real home, in pictures of 16 pixels.
    store = HomeStore(tmp_path, width_px=16)
    store.prepare([1], jobs=2)
    monkeypatch.setattr(homes, "record_home", lambda *arguments: pytest.fail("drawn again"))
    home = store.get(1)
    assert (home.seed, home.pose_errors) == (1, "none")
    assert len(home.keyframes) > 50
    assert home.instance_images.shape == (len(home.keyframes), 12, 16)


@pytest.mark.parametrize(("seed", "word"), [(2000, "test"), (3000, "open"), (0, "showroom"), (-1, "negative")])
def test_homes_for_tests_are_refused(tmp_path, seed, word):
    store = HomeStore(tmp_path)
    for refused in (record_home, store.get, lambda seed: store.prepare([1, seed])):
        with pytest.raises(ConfigurationError, match=f"home {seed} .*{word}.*train or validation"):
            refused(seed)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match=r"home 1000 .*validation.*expected a seed of train "):
        check_seed(1000, ("train",))


@pytest.mark.parametrize("damage", ["text", "cut", "format", "missing"])
def test_a_file_that_is_none_is_named(recording, tmp_path, damage):
    store = HomeStore(tmp_path, width_px=32)
    path = store.path(2)
    homes._write(path, recording)
    if damage == "text":
        path.write_text("a home")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        with np.load(path) as file:
            arrays = dict(file)
        if damage == "missing":
            del arrays["poses"]
        else:
            arrays["description"] = np.frombuffer(b'{"format": 99}', dtype=np.uint8)
        np.savez_compressed(path, **arrays)
    with pytest.raises(ConfigurationError, match=path.name):
        store.get(2)


def test_impossible_settings_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="sensor: expected kinect"):
        HomeStore(tmp_path, sensor="lidar")
    with pytest.raises(ConfigurationError, match="pose_errors: expected none"):
        HomeStore(tmp_path).get(1, "wobble")
    with pytest.raises(ConfigurationError, match="jobs: expected at least 1, got 0"):
        HomeStore(tmp_path).prepare([1], jobs=0)
