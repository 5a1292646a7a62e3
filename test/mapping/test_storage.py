import json
import math
import os
import struct
import zlib
from dataclasses import fields, replace

import numpy as np
import pytest
from analytic_scene import walk
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.packed_keyframe import PackedKeyframe
from lira_ros.mapping import storage
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.storage import MapFileError, MapState

CONFIGURATION = MappingConfiguration(voxel_size_m=0.08, mesh_weight=0.1, max_depth_m=5.0, fragment_keyframes=3)


@pytest.fixture(scope="module")
def mapped():
    mapper = Mapper(CONFIGURATION)
    for frame in walk(5):
        mapper.add_frame(frame)
    return mapper


@pytest.fixture
def path(mapped, tmp_path):
    file = tmp_path / "room.lira"
    assert mapped.save(file) == 2
    return file


def test_a_loaded_map_is_the_saved_one_and_goes_on(mapped, path):
    assert len(mapped.fragments()) == 1  # saving does not close the open fragment
    loaded = Mapper(CONFIGURATION)
    fragments = loaded.load(path)
    assert [f.keyframe_ids for f in fragments] == [(1, 2, 3), (4, 5)]
    a, b = mapped.mesh(), loaded.mesh()
    assert a.triangles.shape == b.triangles.shape
    np.testing.assert_allclose(np.sort(a.vertices, axis=0), np.sort(b.vertices, axis=0), atol=1e-4)
    np.testing.assert_array_equal(loaded.up, mapped.up)
    np.testing.assert_equal(loaded.floor_height_m, mapped.floor_height_m)
    original = mapped.fragments()[0]
    for name in ("tsdf", "weight", "color", "block_coordinates", "T_map_fragment"):
        np.testing.assert_array_equal(getattr(fragments[0], name), getattr(original, name))
    # A robot that loads a map later may have a clock that starts anew.
    update = loaded.add_frame(walk(5)[1])
    assert update.keyframe.id == 6
    assert [fragment.id for fragment in loaded.flush()] == [3]


def test_the_trailing_fragment_without_keyframes_is_saved_with_the_last(tmp_path):
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.08, max_depth_m=5.0, fragment_keyframes=1))
    frame = walk(5)[0]
    mapper.add_frame(frame)
    mapper.add_frame(frame)
    assert mapper.save(tmp_path / "map") == 1
    loaded = Mapper(mapper.configuration)
    assert loaded.load(tmp_path / "map")[0].revision == 2


def test_an_empty_map_can_be_saved_and_loaded(tmp_path):
    mapper = Mapper(CONFIGURATION)
    assert mapper.save(tmp_path / "nothing") == 0
    assert mapper.load(tmp_path / "nothing") == ()


def some_fragment(number, blocks, labelled=False, seed=0):
    rng = np.random.default_rng((seed, number))
    T_map_fragment = np.eye(4)
    T_map_fragment[:3, :3] = Rotation.random(random_state=number).as_matrix()
    T_map_fragment[:3, 3] = rng.normal(size=3)
    size = (blocks, 512)
    evidence = ()
    if labelled:
        evidence = (rng.integers(0, 65536, size).astype(np.uint16), rng.uniform(0, 9, size).astype(np.float32))
    return Fragment(
        number,
        3,
        -5 - number,
        T_map_fragment,
        0.02,
        0.08,
        (number, number + 1),
        np.stack(np.unravel_index(rng.permutation(1000)[:blocks], (10, 10, 10)), axis=1).astype(np.int32) - 5,
        rng.uniform(-1, 1, size).astype(np.float32),
        rng.uniform(0, 128, size).astype(np.float32),
        rng.integers(0, 256, (*size, 3)).astype(np.uint8),
        *evidence,
    )


def some_state(blocks=(2, 0, 1)):
    up = np.array([0.6, 0.0, 0.8])
    poses = {7: some_fragment(7, 0).T_map_fragment, 9: some_fragment(9, 0).T_map_fragment}
    fragments = [some_fragment(1 + 2 * i, count, labelled=i == 2) for i, count in enumerate(blocks)]
    stamps = {7: 10**18, 9: 10**18 + 1}
    return MapState(tuple(fragments), 9, up, -1.25, poses, stamps, some_keyframes(), {"instances": b"of others"})


def some_keyframes():
    color, depth_m = np.full((4, 6, 3), 90, np.uint8), np.full((4, 6), 1.5, np.float32)
    frame = Frame(10**18, color, depth_m, Camera(6, 4, 5.0, 5.0, 2.5, 1.5), np.eye(4))
    return tuple(
        PackedKeyframe.of(Keyframe(number, frame, np.array([0.0, 0.0, 1.0]), floor), 0)
        for number, floor in ((7, math.nan), (9, -1.25))
    )


def assert_same_bits(a, b):
    for item in fields(Fragment):
        one, other = getattr(a, item.name), getattr(b, item.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes(), item.name
        else:
            assert one == other, item.name


def test_what_comes_back_is_bit_equal_labels_and_keyframes_included(tmp_path):
    state = some_state()
    assert storage.save(tmp_path / "map", iter_once(state)) == 3
    loaded = storage.load(tmp_path / "map")
    for a, b in zip(state.fragments, loaded.fragments, strict=True):
        assert_same_bits(a, b)
    assert loaded.fragments[0].label is None
    assert loaded.last_keyframe_id == 9
    assert loaded.keyframe_stamps_ns == state.keyframe_stamps_ns
    assert list(loaded.keyframe_poses) == [7, 9]
    for number, pose in state.keyframe_poses.items():
        assert loaded.keyframe_poses[number].tobytes() == pose.tobytes()
    np.testing.assert_array_equal(loaded.up, state.up)
    assert loaded.floor_height_m == -1.25


def test_keyframes_and_what_others_know_come_back(tmp_path):
    storage.save(tmp_path / "map", some_state())
    loaded = storage.load(tmp_path / "map")
    assert {name: bytes(data) for name, data in loaded.parts.items()} == {"instances": b"of others"}
    for a, b in zip(some_keyframes(), loaded.keyframes, strict=True):
        assert (a.id, a.stamp_ns, a.camera, repr(a.floor_height_m)) == (
            b.id,
            b.stamp_ns,
            b.camera,
            repr(b.floor_height_m),
        )
        assert (bytes(a.color), bytes(a.depth)) == (bytes(b.color), bytes(b.depth))
        np.testing.assert_array_equal(b.unpack().frame.depth_m, a.unpack().frame.depth_m)


def test_a_map_of_version_2_is_still_read(tmp_path):
    storage.save(tmp_path / "map", replace(some_state(), keyframes=(), parts={}))

    def without(directory):
        del directory["kept_keyframes"], directory["parts"]

    (tmp_path / "old").write_bytes(with_directory((tmp_path / "map").read_bytes(), without, version=2))
    loaded = storage.load(tmp_path / "old")
    assert len(loaded.fragments) == 3
    assert (loaded.keyframes, dict(loaded.parts)) == ((), {})
    with_four = with_directory((tmp_path / "map").read_bytes(), lambda d: None, version=4)
    assert "map file of version 4, this program reads version 2 and 3" in refused(tmp_path / "map", with_four)


def first_map(path, change=lambda arrays: None, write=np.savez):
    """Write a map as the very first version of this program did."""
    arrays = {
        "format": np.array("lira_map"),
        "version": np.array(1),
        "fragment_count": np.array(2),
        "last_keyframe_id": np.array(9),
        "up": np.array([0.6, 0.0, 0.8]),
        "floor_height_m": np.array(-1.25),
    }
    for number in range(2):
        fragment = some_fragment(number + 1, 2)
        prefix = f"fragment_{number}/"
        arrays[prefix + "identity"] = np.array([number + 1, 3, fragment.stamp_ns], dtype=np.int64)
        arrays[prefix + "size_m"] = np.array([0.02, 0.08])
        arrays[prefix + "T_map_fragment"] = fragment.T_map_fragment
        arrays[prefix + "keyframe_ids"] = np.array(fragment.keyframe_ids, dtype=np.int64)
        for name in ("block_coordinates", "tsdf", "weight", "color"):
            arrays[prefix + name] = getattr(fragment, name)
    change(arrays)
    with path.open("wb") as file:
        write(file, **arrays)
    return path


def test_a_map_of_version_1_is_still_read(tmp_path):
    loaded = storage.load(first_map(tmp_path / "first"))
    assert [fragment.id for fragment in loaded.fragments] == [1, 2]
    np.testing.assert_array_equal(loaded.fragments[1].tsdf, some_fragment(2, 2).tsdf)
    assert (loaded.last_keyframe_id, loaded.floor_height_m) == (9, -1.25)


@pytest.mark.parametrize(
    ("write", "change", "reason"),
    [
        (np.savez_compressed, lambda a: None, "without compression"),
        (np.savez, lambda a: a.update(version=np.array(7)), "expected a zip of lira_map 1"),
        (np.savez, lambda a: a.update(up=np.array([object()] * 3)), "pickle"),
        (np.savez, lambda a: a.pop("fragment_1/tsdf"), "fragment_1/tsdf"),
        (np.savez, lambda a: a.update({"fragment_0/tsdf": np.full((2, 512), np.nan, np.float32)}), "distances from -1"),
    ],
)
def test_a_broken_map_of_version_1_is_refused(tmp_path, write, change, reason):
    path = first_map(tmp_path / "first", change, write)
    with pytest.raises(MapFileError, match=reason):
        storage.load(path)


def test_altered_voxels_of_version_1_are_found(tmp_path):
    altered = bytearray(first_map(tmp_path / "first").read_bytes())
    altered[altered.find(some_fragment(2, 2).tsdf.tobytes()) + 99] ^= 1
    assert "altered" in refused(tmp_path / "first", altered)


def iter_once(state):
    # Fragments that are partly on disk are given one by one.
    return replace(state, fragments=iter(state.fragments))


def test_an_unknown_floor_stays_unknown(tmp_path):
    storage.save(tmp_path / "map", replace(some_state(), floor_height_m=math.nan))
    assert math.isnan(storage.load(tmp_path / "map").floor_height_m)


def test_voxels_are_mapped_and_survive_that_the_file_is_replaced(tmp_path):
    path = tmp_path / "map"
    state = some_state()
    storage.save(path, state)
    loaded = storage.load(path)
    tsdf = loaded.fragments[0].tsdf
    assert not tsdf.flags.owndata
    assert not tsdf.flags.writeable
    storage.save(path, replace(loaded, fragments=loaded.fragments[:1]))  # onto itself
    path.unlink()
    np.testing.assert_array_equal(tsdf, state.fragments[0].tsdf)


def test_arrays_lie_aligned(tmp_path):
    storage.save(tmp_path / "map", some_state())
    for fragment in storage.load(tmp_path / "map").fragments:
        for array in (fragment.tsdf, fragment.weight, fragment.color):
            assert array.ctypes.data % 64 == 0


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "map"
    storage.save(path, some_state())
    before = path.read_bytes()

    def broken():
        yield some_fragment(1, 2)
        raise MapFileError("page 2: altered")

    with pytest.raises(MapFileError, match="page 2: altered"):
        storage.save(path, replace(some_state(), fragments=broken()))
    with pytest.raises(ValueError, match="ascend"):
        storage.save(path, replace(some_state(), fragments=(some_fragment(2, 1), some_fragment(1, 1))))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["map"]


def test_a_link_keeps_pointing_at_the_file_that_is_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "map")
    storage.save(tmp_path / "link", some_state())
    assert (tmp_path / "link").is_symlink()
    assert len(storage.load(tmp_path / "map").fragments) == 3


# --- broken files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "map"
    storage.save(path, some_state((1, 0, 1)))
    return path, path.read_bytes()


def refused(path, data):
    path.with_name("broken").write_bytes(data)
    with pytest.raises(MapFileError, match="broken") as caught:
        storage.load(path.with_name("broken"))
    return str(caught.value)


@settings(deadline=None, max_examples=150)
@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@example(share=0.0, flip=1)
@example(share=0.999999, flip=1)
def test_any_altered_byte_is_found(intact, share, flip):
    path, data = intact
    altered = bytearray(data)
    altered[int(share * len(data))] ^= flip
    refused(path, altered)


def test_every_altered_byte_of_the_prologue_and_the_directory_is_found(intact):
    path, data = intact
    directory = struct.unpack_from("<Q", data, 24)[0]
    for position in [*range(64), *range(directory, len(data), 7)]:
        altered = bytearray(data)
        altered[position] ^= 0x10
        refused(path, altered)


@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
@example(share=0.0)
def test_any_truncated_file_is_refused(intact, share):
    path, data = intact
    refused(path, data[: int(share * len(data))])


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=300))
def test_any_foreign_file_is_refused(intact, data):
    refused(intact[0], data)
    refused(intact[0], b"LIRA_MAP" + data)


def with_directory(data, change, version=storage.VERSION):
    """Return the file with another directory and checksums that fit: what a forger or another program would write."""
    offset, length = struct.unpack_from("<QQ", data, 24)
    directory = json.loads(data[offset : offset + length])
    changed = change(directory)
    text = changed if isinstance(changed, bytes) else json.dumps(directory if changed is None else changed).encode()
    head = [b"LIRA_MAP", version, 0, offset + len(text), offset, len(text), zlib.crc32(text)]
    pack = struct.Struct("<8sIIQQQI20x").pack
    head[2] = zlib.crc32(pack(*head))
    return pack(*head) + data[64:offset] + text


def test_a_directory_that_is_written_again_is_accepted(intact):
    path, data = intact
    path.with_name("again").write_bytes(with_directory(data, lambda d: None))
    assert len(storage.load(path.with_name("again")).fragments) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(max_size=4), child, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@settings(deadline=None, max_examples=150)
@given(choice=st.integers(0, 10**6), value=JSON)
def test_a_forged_directory_is_refused_or_gives_a_sound_map(intact, choice, value):
    path, data = intact

    def change(directory):
        every = list(places(directory))
        *parents, last = every[1 + choice % (len(every) - 1)]
        for key in parents:
            directory = directory[key]
        directory[last] = value

    path.with_name("forged").write_bytes(with_directory(data, change))
    try:
        loaded = storage.load(path.with_name("forged"))
    except MapFileError:
        return
    # Every number may be another one; the voxels are those of the file.
    assert sum(len(f.tsdf) for f in loaded.fragments) == 2


def set_section(name, array):
    """Return a change that puts other voxels of the same size into the first fragment, with the right checksum."""

    def change(data):
        place = {}

        def note(directory):
            entry = directory["fragments"][0]["sections"][name]
            place.update(entry)
            padded = array.tobytes() + bytes(-array.nbytes % 64)
            entry["crc32"] = zlib.crc32(padded)

        result = bytearray(with_directory(data, note))
        result[place["offset"] : place["offset"] + array.nbytes] = array.tobytes()
        return bytes(result)

    return change


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("tsdf", np.full((1, 512), np.nan, np.float32), "fragment 1/tsdf: values must be finite"),
        ("tsdf", np.full((1, 512), -3, np.float32), "expected values from -1 to 1, found -3"),
        ("weight", np.full((1, 512), -1, np.float32), "at least 0, found -1"),
        ("block_coordinates", np.full((1, 3), 2**30, np.int32), "fragment 1: block coordinates beyond"),
    ],
)
def test_impossible_voxels_are_refused(intact, name, array, reason):
    assert reason in refused(intact[0], set_section(name, array)(intact[1]))


def set_value(*keys_and_value):
    def change(directory):
        *keys, last, value = keys_and_value
        for key in keys:
            directory = directory[key]
        directory[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: b"{", "directory"),
        (lambda d: b"[" * 100_000, "directory"),
        (lambda d: [], "expected a dict, found list"),
        (set_value("up", [0, 0, 2]), "unit vector"),
        (set_value("up", [0, 0, math.nan]), "NaN is not a number"),
        (set_value("floor_height_m", "high"), "floor_height_m: expected a number"),
        (set_value("fragments", 1, "id", 1), "ids must ascend, got"),
        (set_value("fragments", 0, "T_map_fragment", [0.0] * 16), "fragment 1: T_map_fragment"),
        (set_value("fragments", 0, "T_map_fragment", [0.0] * 15), "needs 16 numbers, found 15"),
        (set_value("fragments", 0, "voxel_size_m", 0), "voxel_size_m and truncation_m must be positive"),
        (set_value("fragments", 0, "blocks", 2), "section fragment 1/block_coordinates: expected <i4 [2, 3]"),
        (set_value("fragments", 0, "sections", "tsdf", "offset", 64), "expected at byte"),
        (set_value("fragments", 0, "sections", "tsdf", "dtype", "|O"), "expected <f4 [1, 512], found |O"),
        (set_value("fragments", 0, "sections", "tsdf", "crc32", 1), "section fragment 1/tsdf was altered: expected"),
        (set_value("fragments", 0, "sections", {}), "block_coordinates"),
        (set_value("kept_keyframes", 1, "id", 7), "ids of kept keyframes must ascend"),
        (set_value("kept_keyframes", 0, "camera", "width_px", 0.5), "keyframe 7: width_px: expected a whole number"),
        (set_value("kept_keyframes", 0, "sections", "color", "shape", [1]), "expected at byte"),
        (set_value("parts", "../x", {}), "part: expected a word"),
        (set_value("parts", "instances", "offset", 1), "expected at byte"),
    ],
)
def test_the_reason_says_what_is_wrong(intact, change, reason):
    assert reason in refused(intact[0], with_directory(intact[1], change))


def test_a_fragment_with_a_block_twice_is_refused(tmp_path):
    fragment = some_fragment(1, 2)
    fragment.block_coordinates[1] = fragment.block_coordinates[0]
    storage.save(tmp_path / "map", replace(some_state(), fragments=(fragment,)))
    with pytest.raises(MapFileError, match="fragment 1: has a block twice"):
        storage.load(tmp_path / "map")


def test_what_is_not_a_map_file_is_refused_with_its_kind(tmp_path):
    with pytest.raises(MapFileError, match="no such map file"):
        storage.load(tmp_path / "nowhere")
    with pytest.raises(MapFileError, match="a folder or a device"):
        storage.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MapFileError, match="a folder or a device"):  # and does not wait for a writer
        storage.load(tmp_path / "pipe")
    np.savez(tmp_path / "old.npz", version=np.array(1))
    with pytest.raises(MapFileError, match=r"old\.npz: .*not as it should be: 'format is not a file"):
        storage.load(tmp_path / "old.npz")
    with pytest.raises(MapFileError, match="cannot write"):
        storage.save(tmp_path / "no" / "folder", some_state())


def test_other_versions_lengths_and_beginnings_are_named(intact):
    path, data = intact
    assert "version 99, this program reads version 2" in refused(path, data[:8] + b"\x63\0\0\0" + data[12:])
    assert f"truncated: expected {len(data)} bytes, found 1000" in refused(path, data[:1000])
    assert f"appended: expected {len(data)} bytes, found {len(data) + 1}" in refused(path, data + b"x")
    assert "prologue was altered" in refused(path, data[:40] + b"\1" + data[41:])
    assert "directory was altered" in refused(path, data[:-1] + b" ")
    assert "not a map file" in refused(path, b"this is not a map")


# --- through the mapper -----------------------------------------------------------------------------------------------


def test_a_broken_file_is_refused_and_the_map_stays(mapped, path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    before = mapped.mesh().vertices
    with pytest.raises(MapFileError, match=r"room\.lira: section fragment .* was altered"):
        mapped.load(path)
    np.testing.assert_array_equal(mapped.mesh().vertices, before)


def test_a_map_of_other_voxels_is_refused(path):
    with pytest.raises(MapFileError, match="voxel_size_m"):
        Mapper(MappingConfiguration(voxel_size_m=0.05)).load(path)
