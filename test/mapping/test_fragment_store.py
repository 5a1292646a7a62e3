import gc
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.mapping import fragment_store, storage
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.fragment_store import FragmentStore
from lira_ros.mapping.storage import MapFileError

BLOCKS = 2
# tsdf, weight and colour of two blocks
NBYTES = BLOCKS * 512 * (4 + 4 + 3)


def fragment_at(number, x_m, seed=0, labelled=False):
    """Return two blocks of 0.8 m beside each other, from x_m to x_m + 1.6 m."""
    rng = np.random.default_rng((seed, number))
    T_map_fragment = np.eye(4)
    T_map_fragment[0, 3] = x_m + 0.05
    size = (BLOCKS, 512)
    evidence = (rng.integers(0, 9, size).astype(np.uint16), rng.uniform(0, 1, size).astype(np.float32))
    return Fragment(
        number,
        1,
        number,
        T_map_fragment,
        0.1,
        0.4,
        (number,),
        np.array([[0, 0, 0], [1, 0, 0]], dtype=np.int32),
        rng.uniform(-1, 1, size).astype(np.float32),
        rng.uniform(0, 9, size).astype(np.float32),
        rng.integers(0, 256, (*size, 3)).astype(np.uint8),
        *(evidence if labelled else ()),
    )


def assert_same(a, b):
    for item in fields(Fragment):
        one, other = getattr(a, item.name), getattr(b, item.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes(), item.name
        else:
            assert one == other, item.name


@pytest.fixture
def store(tmp_path):
    store = FragmentStore(2 * NBYTES, tmp_path)
    yield store
    store.close()


@pytest.fixture
def row(store):
    """Five fragments in a row, 2 m apart; the first three are on disk."""
    fragments = {number: fragment_at(number, 2.0 * number) for number in range(1, 6)}
    for fragment in fragments.values():
        store.put(fragment)
    assert store.settle(here(5), 1.5, finish=True) == ((1, 2, 3), ())
    return fragments


def here(number):
    return np.array([2.0 * number + 0.8, 0.3, 0.3])


def page_of(store, number):
    return store._entries[number].page.path


def test_without_a_budget_everything_stays_in_memory(tmp_path):
    store = FragmentStore(0, tmp_path)
    fragment = fragment_at(1, 0.0)
    store.put(fragment)
    assert store.get(1) is fragment
    assert store.settle(here(99), 0.0, finish=True) == ((), ())
    assert store.statistics() == {
        "resident_fragments": 1,
        "paged_fragments": 0,
        "resident_bytes": NBYTES,
        "paged_bytes": 0,
    }
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="maximum_bytes"):
        FragmentStore(-1)


def test_the_farthest_go_to_disk_and_are_read_where_they_lie(store, row):
    assert [store.is_resident(number) for number in store.ids()] == [False, False, False, True, True]
    assert store.statistics() == {
        "resident_fragments": 2,
        "paged_fragments": 3,
        "resident_bytes": 2 * NBYTES,
        "paged_bytes": 3 * NBYTES,
    }
    for number, fragment in row.items():
        assert_same(store.get(number), fragment)
        assert store.get(number).tsdf.flags.writeable == store.is_resident(number)
        np.testing.assert_array_equal(store.block_coordinates(number), fragment.block_coordinates)
    with pytest.raises(KeyError):
        store.get(6)


def test_a_page_is_a_map_file_of_one_fragment(store, row):
    (fragment,) = storage.load(page_of(store, 2)).fragments
    assert_same(fragment, row[2])


def test_what_comes_near_comes_back_and_makes_room(store, row):
    assert store.settle(here(1), 1.5, finish=True) == ((5, 4), (2, 1))
    assert [store.is_resident(number) for number in store.ids()] == [True, True, False, False, False]
    for number, fragment in row.items():
        assert_same(store.get(number), fragment)
    assert store.get(1).tsdf.flags.writeable
    # Out of reach nothing comes back, though there is room.
    store.remove([1, 2])
    assert store.settle(here(1), 0.0, finish=True) == ((), ())
    assert store.ids() == (3, 4, 5)
    assert not store.is_resident(3)


def test_what_was_on_disk_before_is_not_written_again(store, row, monkeypatch):
    store.settle(here(1), 1.5, finish=True)

    def refuse(*arguments):
        raise AssertionError("written again")

    monkeypatch.setattr(fragment_store, "write_fragment", refuse)
    assert store.settle(here(5), 1.5, finish=True) == ((1, 2), (5, 4))


def test_within_reach_the_oldest_go_first(store):
    for number in (3, 1, 4, 2):
        store.put(fragment_at(number, 0.0))
    assert store.settle(np.zeros(3), 5.0, finish=True) == ((1, 2), ())
    # They do not come back as long as there is no room, however near they are.
    assert store.settle(np.zeros(3), 5.0, finish=True) == ((), ())
    store.remove([4])
    assert store.settle(np.zeros(3), 5.0, finish=True) == ((), (2,))


def test_moving_does_not_touch_the_disk(store, row):
    shutil.rmtree(page_of(store, 1).parent)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    pose[:3, 3] = (10.0, 20.0, 30.0)
    moved = store.move(1, pose)
    assert moved.revision == 2
    np.testing.assert_array_equal(store.pose(1), pose)
    lower_m, upper_m = store.bounds_m(1)
    np.testing.assert_allclose(lower_m, (10.0 - 0.75, 20.0 - 0.05, 30.0 - 0.05))
    np.testing.assert_allclose(upper_m, (10.0 + 0.05, 20.0 + 1.55, 30.0 + 0.75))
    # What somebody maps stays readable without a name.
    assert_same(store.get(1), replace(row[1], T_map_fragment=pose, revision=2))
    with pytest.raises(ValueError, match="pose of fragment 1"):
        store.move(1, np.zeros((4, 4)))


def test_a_pose_given_on_disk_or_in_memory_survives_the_way_back(store, row):
    pose = np.eye(4)
    pose[0, 3] = 2.5
    store.move(1, pose)
    store.settle(here(1), 1.5, finish=True)
    assert store.is_resident(1)
    np.testing.assert_array_equal(store.get(1).T_map_fragment, pose)
    pose[0, 3] = 2.6
    store.move(1, pose)
    store.settle(here(5), 1.5, finish=True)
    assert not store.is_resident(1)
    assert_same(store.get(1), replace(row[1], T_map_fragment=pose, revision=3))


def test_a_newer_revision_replaces_what_is_on_disk(store, row):
    old = page_of(store, 1)
    newer = replace(fragment_at(1, 2.0, seed=1, labelled=True), revision=2)
    store.put(newer)
    assert store.is_resident(1)
    assert not old.exists()
    assert store.settle(here(5), 1.5, finish=True) == ((1,), ())
    assert_same(store.get(1), newer)


def test_a_newer_revision_while_the_older_one_is_written_wins(store, monkeypatch):
    monkeypatch.setattr(fragment_store, "_EXCESS_SHARE", 9.0)
    for number in range(1, 4):
        store.put(fragment_at(number, 2.0 * number))
    assert store.settle(here(3), 0.5) == ((), ())  # the write of 1 has begun
    newer = fragment_at(1, 2.0, seed=1)
    store.put(newer)
    store.settle(here(3), 0.5, finish=True)
    assert not store.is_resident(1)
    assert_same(store.get(1), newer)
    assert list(page_of(store, 1).parent.glob("*.lira")) == [page_of(store, 1)]


def test_settling_does_not_wait_for_the_disk_and_loses_nothing_meanwhile(store, monkeypatch):
    monkeypatch.setattr(fragment_store, "_EXCESS_SHARE", 9.0)
    fragments = {number: fragment_at(number, 2.0 * number) for number in range(1, 4)}
    for fragment in fragments.values():
        store.put(fragment)
    assert store.settle(here(3), 0.5) == ((), ())  # begun
    for number, fragment in fragments.items():
        assert_same(store.get(number), fragment)
    assert store.settle(here(3), 0.5, finish=True) == ((1,), ())  # done


def test_voxels_of_a_map_file_are_copied_as_far_as_the_budget_reaches(store, tmp_path):
    state = storage.MapState(
        tuple(fragment_at(number, 2.0 * number) for number in range(1, 6)), 0, np.array([0.0, 0.0, 1.0]), 0.0
    )
    storage.save(tmp_path / "map", state)
    for fragment in storage.load(tmp_path / "map").fragments:
        store.put(fragment)
    assert [store.is_resident(number) for number in store.ids()] == [True, True, False, False, False]
    (tmp_path / "map").write_bytes(b"")  # truncated where it lies: what was mapped from it would be gone
    for fragment in state.fragments:
        assert_same(store.get(fragment.id), fragment)


def test_a_map_that_is_partly_on_disk_is_saved_one_fragment_at_a_time(store, row, tmp_path):
    state = storage.MapState((store.get(number) for number in store.ids()), 5, np.array([0.0, 0.0, 1.0]), 0.0)
    assert storage.save(tmp_path / "map", state) == 5
    for fragment in storage.load(tmp_path / "map").fragments:
        assert_same(fragment, row[fragment.id])


def test_forgetting_removes_the_files(store, row, tmp_path):
    folder = page_of(store, 1).parent
    held = store.get(2)
    store.remove([1, 77])
    assert len(list(folder.glob("*.lira"))) == 2
    store.clear()
    assert list(folder.glob("*.lira")) == []
    assert store.ids() == ()
    store.close()
    assert list(tmp_path.iterdir()) == []
    assert_same(held, row[2])
    store.put(row[1])  # and it can be used again
    assert store.ids() == (1,)


def test_a_store_that_is_dropped_takes_its_folder_along(tmp_path):
    store = FragmentStore(1, tmp_path)
    store.put(fragment_at(1, 0.0))
    store.settle(np.zeros(3), 0.0, finish=True)
    assert len(list(tmp_path.iterdir())) == 1
    del store
    gc.collect()
    assert list(tmp_path.iterdir()) == []


# --- what can go wrong with a disk ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["altered", "truncated", "longer"])
def test_a_file_that_was_altered_is_named_and_the_others_stay(store, row, how):
    path = page_of(store, 1)
    data = bytearray(path.read_bytes())
    if how == "altered":
        data[len(data) // 2] ^= 1
        with path.open("r+b") as file:  # the same file, not another one of its name
            file.write(data)
    elif how == "truncated":
        with path.open("r+b") as file:
            file.truncate(5000)
    else:
        with path.open("ab") as file:
            file.write(b"x")
    for _ in range(2):
        with pytest.raises(MapFileError, match=path.name):
            store.get(1)
    with pytest.raises(MapFileError, match=rf"fragment 1 cannot come back.*{path.name}"):
        store.settle(here(1), 1.5, finish=True)
    assert_same(store.get(2), row[2])
    assert store.is_resident(2)
    store.move(1, np.eye(4))
    store.remove([1])
    assert store.ids() == (2, 3, 4, 5)


def test_a_file_that_was_only_touched_is_read(store, row):
    page_of(store, 1).touch()
    page_of(store, 1).chmod(0o644)
    assert_same(store.get(1), row[1])


def test_a_file_altered_while_its_fragment_is_in_memory_is_written_again(store, row):
    store.settle(here(1), 1.5, finish=True)
    with page_of(store, 1).open("r+b") as file:
        file.truncate(100)
    assert store.settle(here(5), 1.5, finish=True) == ((2, 1), (5, 4))
    assert_same(store.get(1), row[1])


def test_a_full_disk_leaves_the_fragment_in_memory_until_there_is_room(store, row, monkeypatch):
    monkeypatch.setattr(fragment_store, "_RETRY_S", 0.0)
    (page_of(store, 1).parent / "4.lira").symlink_to("/dev/full")
    store.put(fragment_at(6, 0.0))
    with pytest.raises(MapFileError, match=r"4\.lira: cannot write fragment 6.*No space left.*stays in memory"):
        store.settle(here(5), 1.5, finish=True)
    assert store.is_resident(6)
    assert_same(store.get(6), fragment_at(6, 0.0))
    assert store.settle(here(5), 1.5, finish=True) == ((6,), ())
    assert_same(store.get(6), fragment_at(6, 0.0))


def test_a_failing_disk_is_not_tried_again_with_each_frame(store, row):
    (page_of(store, 1).parent / "4.lira").symlink_to("/dev/full")
    store.put(fragment_at(6, 0.0))
    with pytest.raises(MapFileError):
        store.settle(here(5), 1.5, finish=True)
    assert store.settle(here(5), 1.5, finish=True) == ((), ())
    assert store.is_resident(6)


def test_a_removed_folder_is_made_again(store, row):
    folder = page_of(store, 1).parent
    shutil.rmtree(folder)
    store.put(fragment_at(6, 0.0))
    assert store.settle(here(5), 1.5, finish=True) == ((6,), ())
    assert page_of(store, 6).parent != folder
    for number in range(1, 6):
        assert_same(store.get(number), row[number])


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store = FragmentStore(1, tmp_path / "file")
    store.put(fragment_at(1, 0.0))
    with pytest.raises(MapFileError, match="file: cannot put fragments out of memory"):
        store.settle(np.zeros(3), 0.0)
    assert_same(store.get(1), fragment_at(1, 0.0))


# --- any order of things ----------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 5), st.integers(0, 3)),
        st.tuples(st.just("move"), st.integers(1, 5), st.floats(-9, 9)),
        st.tuples(st.just("settle"), st.floats(-1, 11), st.booleans()),
        st.tuples(st.just("remove"), st.integers(1, 5), st.none()),
        st.tuples(st.just("reload"), st.integers(1, 5), st.none()),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(steps=STEPS, budget=st.integers(1, 4))
def test_any_order_of_things_keeps_every_bit(tmp_path_factory, steps, budget):
    store = FragmentStore(budget * NBYTES, tmp_path_factory.mktemp("pages"))
    expected = {}
    for step, first, second in steps:
        if step == "put":
            expected[first] = fragment_at(first, 2.0 * first, seed=second, labelled=second == 3)
            store.put(expected[first])
        elif step == "move" and first in expected:
            pose = np.eye(4)
            pose[0, 3] = second
            expected[first] = replace(expected[first], T_map_fragment=pose, revision=expected[first].revision + 1)
            assert_same(store.move(first, pose), expected[first])
        elif step == "settle":
            store.settle(np.array([first, 0.0, 0.0]), 1.0, finish=second)
            if second:
                assert store.statistics()["resident_bytes"] <= store.maximum_bytes
        elif step == "remove":
            store.remove([first])
            expected.pop(first, None)
        elif step == "reload" and first in expected:
            store.put(store.get(first))
    assert store.ids() == tuple(sorted(expected))
    for number, fragment in expected.items():
        assert_same(store.get(number), fragment)
    store.close()
