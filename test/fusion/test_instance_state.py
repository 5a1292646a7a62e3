"""An engine that was saved and loaded says the same, and goes on as if nothing had happened."""

import contextlib
import copy
import io

import numpy as np
import pytest
from box_scene import Box, answer, true_masks, walk
from hypothesis import given, settings
from hypothesis import strategies as st
from saved_engine import assert_same_instances, assert_same_views

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.engine import Outcome, create_fusion
from lira_ros.fusion.instance_fusion import STATE_NAME
from lira_ros.mapping.fragment import Fragment
from lira_ros.state import columns, sections
from lira_ros.state.columns import StateError

CRATE, PARCEL, CAN = (
    Box(1, (-0.5, -0.2, 0.0), (-0.1, 0.2, 0.4)),
    Box(2, (0.2, -0.15, 0.0), (0.5, 0.15, 0.25)),
    Box(3, (-0.1, 0.4, 0.0), (0.1, 0.6, 0.2)),
)
LABELS = ["crate", "parcel", "can", "stool"]


@pytest.fixture(scope="module")
def views():
    return walk([CRATE, PARCEL, CAN], 14)


def engine(method="votes", **values):
    return create_fusion(FusionConfiguration(method=method, **values))


def embedding(number):
    vector = np.random.default_rng(number).normal(size=16)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def said(key, ids, instruction="find-1", wanted=True):
    numbers = [i for i in np.unique(ids) if i and (ids == i).sum() >= 20]
    result = answer(key, true_masks(ids), [LABELS[i - 1] for i in numbers], instruction_id=instruction)
    for number, candidate in zip(numbers, result.candidates, strict=True):
        object.__setattr__(candidate, "embedding", embedding(number))
        if wanted:
            object.__setattr__(candidate, "target_confidence", 0.9 if number == 1 else 0.2)
    return result


def fuse(fusion, views):
    for key, ids in views:
        fusion.add_keyframe(key)
        fusion.add_candidates(said(key, ids))
        fusion.add_candidates(said(key, ids, "find-2", wanted=False))
    return fusion


def fragment(number):
    """Return a slab of the floor and what stands in it, so that voxels are drawn to a surface."""
    rng = np.random.default_rng(number)
    blocks = np.array([[x, y, z] for x in range(-4, 4) for y in range(-3, 4) for z in range(3)], dtype=np.int32)
    shape = (len(blocks), 512)
    return Fragment(
        number, 1, 5, np.eye(4), 0.02, 0.08, (number,), blocks,
        rng.uniform(-0.2, 0.2, shape).astype(np.float32), np.full(shape, 5, np.float32),
        np.zeros((*shape, 3), np.uint8),
    )  # fmt: skip


def loaded(data, method="votes", **values):
    result = engine(method, **values)
    result.import_state(data)
    return result


@pytest.mark.parametrize("method", ["votes", "geometry", "label_free", "learned"])
def test_saved_and_loaded_it_goes_on_as_if_nothing_had_happened(views, method):
    if method == "learned":
        pytest.importorskip("torch", reason="PyTorch is not installed here")
    fusion = fuse(engine(method), views[:8])
    fusion.add_fragment(fragment(1))
    data = fusion.export_state()
    other = loaded(data, method)
    assert_same_instances(fusion, other)
    assert_same_views(fusion, other)
    assert other.export_state() == data
    revision = other.revision

    for goes_on in (fusion, other):
        for key, ids in views[:8]:  # the keyframes come back, and their answers are known
            assert goes_on.add_keyframe(key) == ()
            assert goes_on.add_candidates(said(key, ids)) is Outcome.REPEATED
        goes_on.add_fragment(fragment(1))
    assert other.revision == revision
    assert other.statistics().keyframes == 8
    for goes_on in (fusion, other):
        fuse(goes_on, views[8:])
    assert_same_instances(fusion, other)
    assert len(other.instances()) == 3
    assert other.export_state() == fusion.export_state()


def test_ids_are_not_used_again_and_a_thing_keeps_its_own(views):
    fusion = fuse(engine(), views[:5])
    ids = {item.label: item.id for item in fusion.instances()}
    other = loaded(fusion.export_state())
    fuse(other, views[5:9])  # the old keyframes never come back
    assert {item.label: item.id for item in other.instances()} == ids
    assert min(item.observations for item in other.instances()) > 5
    stool = Box(4, (0.3, 0.4, 0.0), (0.6, 0.7, 0.3))
    fuse(other, walk([CRATE, PARCEL, CAN, stool], 3, first_id=60))
    assert {item.label: item.id for item in other.instances()} == {**ids, "stool": max(ids.values()) + 1}


def test_pose_corrections_after_loading_move_what_was_loaded(views):
    fusion = fuse(engine(), views[:6])
    other = loaded(fusion.export_state())
    moved = {}
    for key, _ in views[:6]:
        pose = key.frame.T_map_camera.copy()
        pose[0, 3] += 0.2
        moved[key.id] = pose
    for each in (fusion, other):
        each.correct_poses(moved, {})
    assert other.instances()[0].centroid[0] == pytest.approx(fusion.instances()[0].centroid[0], abs=1e-9)


def test_what_came_back_with_another_pose_is_corrected(views):
    fusion = fuse(engine(), views[:6])
    other = loaded(fusion.export_state())
    before = {item.id: item.centroid[0] for item in other.instances()}
    for key, _ in views[:6]:
        frame = copy.copy(key.frame)
        pose = frame.T_map_camera.copy()
        pose[0, 3] += 0.1
        object.__setattr__(frame, "T_map_camera", pose)
        other.add_keyframe(type(key)(key.id, frame, key.up, key.floor_height_m))
    for item in other.instances():
        assert item.centroid[0] - before[item.id] == pytest.approx(0.1, abs=0.03)  # a voxel is 2 cm


def test_a_state_of_another_method_or_of_other_voxels_is_refused(views):
    data = fuse(engine(), views[:3]).export_state()
    for values, said_so in (
        ({"method": "geometry"}, "made with fusion.method votes, here it is geometry"),
        ({"voxel_size_m": 0.04}, "made with fusion.voxel_size_m 0.02, here it is 0.04"),
    ):
        other = fuse(create_fusion(FusionConfiguration(**values)), views[:2])
        before = other.export_state()
        with pytest.raises(StateError, match=said_so):
            other.import_state(data)
        assert other.export_state() == before


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 10**9), value=st.integers(1, 255), cut=st.booleans())
def test_altered_bytes_are_refused_and_change_nothing(place, value, cut):
    fusion = test_altered_bytes_are_refused_and_change_nothing.__dict__.setdefault(
        "fusion", fuse(engine(), walk([CRATE], 2))
    )
    data = bytearray(fusion.export_state())
    place %= len(data)
    if cut:
        del data[place:]
    else:
        data[place] ^= value
    with pytest.raises(StateError):
        fusion.import_state(bytes(data))
    assert len(fusion.instances()) == 1


def forged(data, choose, value):
    """Return a state with right checksums in which one value of one column is another."""
    found = columns._read_columns(data, STATE_NAME)
    names = sorted(name for name, column in found.items() if len(column))
    name = names[choose % len(names)]
    column = found[name].copy()
    place = choose % len(column)
    column[place] = np.array(value).astype(column.dtype)
    found[name] = column
    file = io.BytesIO()
    sections.begin(file)
    entries = {key: sections.write_section(file, item, item.dtype.str) for key, item in found.items()}
    sections.finish(file, columns.MAGIC, columns.VERSION, {"state": STATE_NAME, "columns": entries})
    return file.getvalue()


FORGERIES = (0, 1, -1, 7, 2**31, 2**62, -(2**63), 1e300)


@pytest.mark.filterwarnings("ignore:.*encountered in cast")
def test_forged_bytes_with_right_checksums_do_no_harm(saved_once, views):
    rng = np.random.default_rng(5)
    refused = 0
    for number in range(32):
        fusion = engine()
        try:
            fusion.import_state(forged(saved_once, int(rng.integers(10**6)), FORGERIES[number % len(FORGERIES)]))
        except StateError:
            assert fusion.instances() == ()
            refused += 1
            continue
        # Values that might be true are taken up, and nothing that comes later reads beyond what is there.
        for key, ids in views[2:4]:
            with contextlib.suppress(ValueError, KeyError, OverflowError):
                fusion.add_keyframe(key)
                fusion.add_candidates(said(key, ids, "find-9"))
                fusion.instances()
    assert 0 < refused < 32


@pytest.fixture(scope="module")
def saved_once(views):
    fusion = fuse(engine(), views[:3])
    fusion.add_fragment(fragment(1))
    return fusion.export_state()
