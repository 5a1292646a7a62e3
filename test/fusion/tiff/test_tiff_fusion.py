"""LIRA's fusion as an engine: fragments, late answers, ids, corrections, other frames."""

import dataclasses

import numpy as np
import pytest
from box_scene import Box, answer, keyframe, true_masks, walk

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.configuration import FusionConfiguration, TiffConfiguration  # noqa: E402
from lira_ros.fusion.contracts import InstanceState  # noqa: E402
from lira_ros.fusion.engine import FusionError, Outcome, Refusal  # noqa: E402
from lira_ros.fusion.lifting import pack, unpack  # noqa: E402
from lira_ros.fusion.tiff.lifted_fragment import SURFACE_FEATURES  # noqa: E402
from lira_ros.fusion.tiff.network import CandidateEmbeddings, Tiff, candidate_boxes  # noqa: E402
from lira_ros.fusion.tiff.tiff_fusion import TiffFusion, onto_grid  # noqa: E402
from lira_ros.geometry.frame import Keyframe  # noqa: E402
from lira_ros.geometry.pose import inverse  # noqa: E402

CRATE = Box(1, (-0.6, -0.2, 0.0), (-0.2, 0.2, 0.4))
PARCEL = Box(2, (0.2, -0.2, 0.0), (0.6, 0.2, 0.36))
SCENE = (CRATE, PARCEL)
LABELS = ["crate", "parcel"]


class ByPlace(torch.nn.Module):
    """Stands for a network: candidates are alike when they lie on the same side of x = 0, or all when ``together``."""

    text_length, feature_length = 8, SURFACE_FEATURES

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.together = False
        self.logits = 3.0
        self.asked = []

    def forward(self, fragment):
        self.asked.append(fragment)
        side = (candidate_boxes(fragment)[:, 0] > 0).long() if len(fragment.masks) else torch.zeros(0, dtype=torch.long)
        embeddings = torch.eye(128)[side]
        if self.together:
            embeddings = torch.ones(len(side), 1) * (torch.eye(128)[0] + torch.eye(128)[1])
        return CandidateEmbeddings(embeddings, torch.full((len(side),), self.logits))


def encode(text):
    return np.array([len(text), 1.0], dtype=np.float32)


def engine(network=None, **settings):
    return TiffFusion(FusionConfiguration(method="tiff", **settings), network or ByPlace(), encode)


def said(key, ids, **changes):
    masks = true_masks(ids)
    return answer(key, masks, [LABELS[i - 1] for i in np.unique(ids) if i and (ids == i).sum() >= 20], **changes)


def fuse(fusion, views):
    for key, ids in views:
        fusion.add_keyframe(key)
        fusion.add_candidates(said(key, ids))
    return fusion


@pytest.fixture(scope="module")
def views():
    return walk(SCENE, 12, span=2 * np.pi)


@pytest.fixture(scope="module")
def fused(views):
    fusion = fuse(engine(), views)
    fusion.finish()
    return fusion


def check_box(instance, box):
    low, high = instance.points.min(axis=0), instance.points.max(axis=0)
    # Lifted voxels lie less than one voxel of 4 cm off the surface, and reach half of one farther. What stands on the
    # floor is seen on all sides but that.
    np.testing.assert_allclose(low[:2], box.low[:2], atol=0.065)
    np.testing.assert_allclose(high, box.high, atol=0.065)


def test_a_full_and_answered_fragment_becomes_instances_and_the_rest_at_the_end(views):
    fusion = engine()
    for count, (key, ids) in enumerate(views, start=1):
        fusion.add_keyframe(key)
        assert fusion.add_candidates(said(key, ids)) is Outcome.FUSED
        assert bool(fusion.instances()) == (count >= 9)
    assert fusion.statistics().fragments == 1
    before = {item.id: item for item in fusion.instances()}
    fusion.finish()
    crate, parcel = fusion.instances()
    assert (crate.id, crate.label, parcel.id, parcel.label) == (1, "crate", 2, "parcel")
    check_box(crate, CRATE)
    check_box(parcel, PARCEL)
    assert crate.observations == 12 > before[1].observations == 9
    assert crate.voxel_size_m == 0.02
    assert crate.existence == pytest.approx(torch.sigmoid(torch.tensor(3.0)).item())
    assert (crate.first_seen_ns, crate.last_seen_ns) == (views[0][0].frame.stamp_ns, views[-1][0].frame.stamp_ns)
    assert crate.state is InstanceState.CONFIRMED
    assert crate.names == {"crate": 1.0}
    assert (np.median(crate.voxel_colors, axis=0) == (200, 30, 30)).all()
    assert (crate.attributes.supported_by, crate.attributes.color) == ("floor", "red")
    assert fusion.statistics().fragments == 2
    assert fusion.finish() is None
    assert fusion.statistics().fragments == 2


def test_what_does_not_change_stays_the_same_object_and_the_same_revision(fused, views):
    revision, first = fused.revision, fused.instances()
    key, _ = views[0]
    fused.add_keyframe(key)
    assert fused.revision == revision
    assert all(a is b for a, b in zip(first, fused.instances(), strict=True))


def test_a_fragment_waits_for_its_answers_until_the_next_is_full_and_late_ones_still_count(views):
    fusion = engine()
    more = walk(SCENE, 9, first_id=13, span=np.pi)
    for key, ids in views[:9]:
        fusion.add_keyframe(key)
        if key.id < 9:
            fusion.add_candidates(said(key, ids))
    assert not fusion.instances()
    for key, _ in more:
        fusion.add_keyframe(key)
    crate, parcel = fusion.instances()
    assert (crate.observations, parcel.observations) == (8, 8)
    key, ids = views[8]
    assert fusion.add_candidates(said(key, ids)) is Outcome.FUSED
    assert [item.observations for item in fusion.instances()] == [9, 9]
    assert [item.id for item in fusion.instances()] == [1, 2]
    # Answers that come before their keyframe wait for it.
    key, ids = keyframe(40, SCENE, (1.5, 0.2, 1.2))
    assert fusion.add_candidates(said(key, ids)) is Outcome.WAITING
    assert fusion.add_keyframe(key) == (Outcome.FUSED,)


def test_the_same_masks_for_another_instruction_are_the_same_candidates(views):
    fusion = engine()
    for key, ids in views[:9]:
        fusion.add_keyframe(key)
        fusion.add_candidates(said(key, ids))
        second = said(key, ids, instruction_id="i2", model="reader/1")
        wanted = tuple(
            dataclasses.replace(item, target_confidence=float(item.label == "crate")) for item in second.candidates
        )
        assert fusion.add_candidates(dataclasses.replace(second, candidates=wanted)) is Outcome.FUSED
        assert fusion.add_candidates(second) is Outcome.REPEATED
    crate, parcel = fusion.instances()
    assert (crate.observations, parcel.observations) == (9, 9)
    assert crate.opinions["i2"].confidence > 0.9 > 0.1 > parcel.opinions["i2"].confidence
    assert "i1" not in crate.opinions
    assert sum(len(fragment.masks) for fragment in fusion._network.asked) == 18
    fusion.forget_answers("i2")
    assert not fusion.instances()[0].opinions
    assert fusion.add_candidates(said(*views[0], instruction_id="i2")) is Outcome.FUSED


def test_unsure_and_small_candidates_take_no_part(views):
    network = ByPlace()
    network.logits = 0.0
    fusion = fuse(engine(network), views[:9])
    assert not fusion.instances()
    assert fusion.statistics().candidates_doubtful == 18
    lenient = fuse(engine(network, tiff=TiffConfiguration(min_confidence=0.5)), views[:9])
    assert len(lenient.instances()) == 2
    key, ids = views[0]
    spot = np.zeros_like(ids, dtype=bool)
    spot[60:63, 80:83] = True
    tiny = engine()
    tiny.add_keyframe(key)
    tiny.add_candidates(answer(key, [spot]))
    tiny.finish()
    assert tiny.statistics().candidates_too_small == 1
    assert not tiny.instances()


def test_an_instance_whose_voxels_another_one_took_is_that_one(views):
    network = ByPlace()
    fusion = fuse(engine(network), views[:9])
    assert len(fusion.instances()) == 2
    network.together = True
    for key, ids in walk(SCENE, 9, first_id=21, span=2 * np.pi):
        fusion.add_keyframe(key)
        fusion.add_candidates(said(key, ids))
    # One mask of both cannot be one component, so the clean-up leaves the larger half.
    (both,) = fusion.instances()
    assert both.id == 1
    assert both.merged_from == (2,)
    assert fusion.merged_into() == {2: 1}
    assert fusion.statistics().instances_merged == 1


def test_corrected_poses_take_the_voxels_of_their_keyframes_along(views):
    fusion = fuse(engine(), views)
    fusion.finish()
    before = fusion.instances()
    revision = fusion.revision
    shift = np.eye(4)
    shift[:3, 3] = (0.4, -0.2, 0.0)
    moved = fusion.correct_poses({key.id: shift @ key.frame.T_map_camera for key, _ in views}, {})
    assert moved == 2
    assert fusion.revision > revision
    for old, new in zip(before, fusion.instances(), strict=True):
        assert (old.id, old.observations) == (new.id, new.observations)
        np.testing.assert_array_equal(np.unique(new.voxels, axis=0), old.voxels + np.array([20, -10, 0]))
        np.testing.assert_array_equal(new.voxel_colors, old.voxel_colors)
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    fusion.correct_poses({key.id: turn @ shift @ key.frame.T_map_camera for key, _ in views}, {})
    for old, new in zip(before, fusion.instances(), strict=True):
        np.testing.assert_allclose(new.centroid, turn[:3, :3] @ (old.centroid + np.array([0.4, -0.2, 0.0])), atol=0.02)
        assert len(new.voxels) == pytest.approx(len(old.voxels), rel=0.1)
    # Less than a quarter of a voxel moves nothing.
    assert fusion.correct_poses({key.id: turn @ shift @ key.frame.T_map_camera for key, _ in views}, {}) == 0


def test_forgotten_places_take_their_instances_and_their_answers_along(views):
    fusion = fuse(engine(), views)
    fusion.finish()
    ids = [key.id for key, _ in views]
    assert fusion.forget_places(ids[:3], ()) == 0
    assert fusion.forget_places(ids, ()) == 2
    assert not fusion.instances()
    with pytest.raises(FusionError, match="cleared") as error:
        fusion.add_candidates(said(*views[0], instruction_id="i2"))
    assert error.value.refusal is Refusal.KEYFRAME_FORGOTTEN
    revision = fusion.revision
    fusion.reset()
    assert fusion.revision > revision
    assert fusion.statistics().fused == 0


@pytest.mark.parametrize("up", [(0.0, 1.0, 0.0), (0.0, -0.6, -0.8)])
def test_a_map_that_lies_on_its_side_or_above_another_floor_gives_the_same_instances(fused, views, up):
    up = np.array(up)
    z = np.array([0.0, 0.0, 1.0])
    axis = np.cross(z, up) / np.linalg.norm(np.cross(z, up))
    T_map_scene = np.eye(4)
    across = np.cross(up, axis)
    T_map_scene[:3, :3] = np.stack((axis, across, up), axis=1) @ np.stack((axis, np.cross(z, axis), z))
    T_map_scene[:3, 3] = 1.28 * up  # four steps of LIRA's grid
    network = ByPlace()
    fusion = engine(network)
    for key, ids in views:
        frame = dataclasses.replace(key.frame, T_map_camera=T_map_scene @ key.frame.T_map_camera)
        turned = Keyframe(key.id, frame, up, 1.28)
        fusion.add_keyframe(turned)
        fusion.add_candidates(said(turned, ids))
    fusion.finish()
    for expected, found in zip(fused.instances(), fusion.instances(), strict=True):
        assert expected.label == found.label
        assert len(found.voxels) == pytest.approx(len(expected.voxels), rel=0.15)
        back = found.points @ inverse(T_map_scene)[:3, :3].T + inverse(T_map_scene)[:3, 3]
        np.testing.assert_allclose(back.mean(axis=0), expected.centroid, atol=0.02)
        np.testing.assert_allclose(sorted(found.box.size_m), sorted(expected.box.size_m), atol=0.09)
    # The network is told heights above the floor.
    assert all(fragment.origin_voxels[2] == -8 for fragment in network.asked)


def test_what_does_not_belong_together_is_refused_by_name(views):
    key, ids = views[0]
    fusion = engine(max_waiting=1)
    with pytest.raises(FusionError, match="id of an instruction"):
        fusion.add_candidates(said(key, ids, instruction_id=""))
    with pytest.raises(FusionError, match="at least 1, got 0"):
        fusion.add_candidates(said(key, ids, keyframe_id=0))
    fusion.add_keyframe(key)
    with pytest.raises(FusionError, match=f"expected stamp {key.frame.stamp_ns} ns"):
        fusion.add_candidates(said(key, ids, stamp_ns=5))
    with pytest.raises(FusionError, match="160 x 120 pixels, got 80 x 60"):
        fusion.add_candidates(answer(key, [np.ones((60, 80), dtype=bool)]))
    with pytest.raises(FusionError, match="came again"):
        fusion.add_keyframe(dataclasses.replace(key, frame=dataclasses.replace(key.frame, stamp_ns=7)))
    for number in (50, 51):
        fusion.add_candidates(said(key, ids, keyframe_id=number))
    assert fusion.statistics().refused == {
        "missing instruction id": 1,
        "invalid keyframe id": 1,
        "stamp differs from the keyframe": 1,
        "mask size differs from the keyframe": 1,
        "keyframe id used twice": 1,
        "keyframe never came": 1,
    }
    assert "keyframe 50" in fusion.statistics().last_refusal


def test_old_keyframes_are_fused_before_they_are_forgotten(views):
    fusion = fuse(engine(max_keyframes=4), views)
    statistics = fusion.statistics()
    assert statistics.keyframes == 4
    assert len(fusion.instances()) == 2
    with pytest.raises(FusionError, match="those up to 8 are forgotten"):
        fusion.add_candidates(said(*views[0], instruction_id="i2"))


def test_a_network_of_random_weights_gives_a_map_without_failing(views):
    torch.manual_seed(4)
    network = Tiff(text_length=8, feature_length=16).eval()
    fusion = fuse(engine(network, tiff=TiffConfiguration(min_confidence=0.0)), views)
    fusion.finish()
    instances = fusion.instances()
    assert instances
    for item in instances:
        assert 0.0 <= item.existence <= 1.0
        assert np.isfinite(item.box.size_m).all()
        assert len(item.voxels) >= 100


@pytest.mark.parametrize("size_m", [0.02, 0.017, 0.04, 0.053])
@pytest.mark.parametrize("turned", [False, True])
def test_voxels_of_the_map_lie_in_the_voxel_whose_centre_is_nearest(size_m, turned):
    own = np.argwhere(np.ones((4, 3, 3))) - 2
    keys = np.sort(pack(own))
    T_upright_map = np.eye(4)
    if turned:
        T_upright_map[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    found, origin = onto_grid(keys, T_upright_map, size_m)
    every = np.stack(np.meshgrid(*[np.arange(-20, 21)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    places = np.floor(every @ T_upright_map[:3, :3].T / (0.04 / size_m) + 0.5).astype(np.int64)
    expected = {tuple(voxel): tuple(place) for voxel, place in zip(every, places, strict=True)}
    expected = {voxel: place for voxel, place in expected.items() if place in set(map(tuple, own.tolist()))}
    got = zip(unpack(found).tolist(), unpack(keys[origin]).tolist(), strict=True)
    assert {tuple(voxel): tuple(place) for voxel, place in got} == expected
    assert (np.diff(found) > 0).all()
