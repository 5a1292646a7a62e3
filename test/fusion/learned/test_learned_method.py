"""What the method makes of what a network says; the network here says simple things on purpose."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from box_scene import Box, answer, true_masks, walk  # noqa: E402

from lira_ros.fusion.configuration import FusionConfiguration  # noqa: E402
from lira_ros.fusion.instance_fusion import InstanceFusion  # noqa: E402
from lira_ros.fusion.learned.method import Learned  # noqa: E402
from lira_ros.fusion.learned.network import Comparison, InstanceNetwork, NetworkShape  # noqa: E402

CRATE = Box(1, (-0.5, -0.2, 0.0), (-0.1, 0.2, 0.4))
PARCEL = Box(2, (0.15, -0.15, 0.0), (0.45, 0.15, 0.25))
# Places of features, see lira_ros/fusion/learned/features.py.
OVERLAP, SAID, BOTH_CANDIDATES = 3, 13, 16
INSIDE = 2


class PlainNetwork(InstanceNetwork):
    """Two are one when they overlap, or when they are candidates of one name; a voxel belongs where the mask is."""

    def __init__(self, valid=4.0, joins=False, voxel=4.0):
        super().__init__(NetworkShape(0, 0, 8, 1, 1, 4, 4))
        self.said = (valid, joins, voxel)

    def forward(self, batch):
        valid, joins, _ = self.said
        same = torch.where(batch.pairs[..., OVERLAP] > 0.3, 5.0, -5.0)
        if joins:
            alike = (batch.pairs[..., BOTH_CANDIDATES] > 0) & (batch.pairs[..., SAID] > 0)
            same = torch.where(alike, 5.0, same)
        batch_size, count = batch.present.shape
        logits = torch.full((batch_size, count), valid)
        pairs = torch.zeros(batch_size, count, count, self.shape.pair_width)
        return Comparison(torch.zeros(batch_size, count, self.shape.width), pairs, same, logits, logits)

    def voxel_logits(self, candidate, instance, pair, features):
        return torch.where(features[..., INSIDE] > 0, self.said[2], -abs(self.said[2]))


def fusion_of(network):
    configuration = FusionConfiguration()
    return InstanceFusion(configuration, lambda association: Learned(configuration, association, network, None))


@pytest.fixture(scope="module")
def room():
    torch.set_num_threads(1)
    return walk([CRATE, PARCEL], 4)


def fuse(room, network, change=lambda answered: answered):
    fusion = fusion_of(network)
    for key, ids in room:
        fusion.add_keyframe(key)
        fusion.add_candidates(change(answer(key, true_masks(ids))))
    return fusion


def test_things_are_found_where_they_are(room):
    instances = fuse(room, PlainNetwork()).instances()
    assert len(instances) == 2
    for box in (CRATE, PARCEL):
        middle = (np.array(box.low) + np.array(box.high)) / 2
        nearest = min(instances, key=lambda item: np.linalg.norm(item.box.T_map_box[:3, 3] - middle))
        np.testing.assert_allclose(nearest.box.T_map_box[:3, 3], middle, atol=0.05)


def test_what_is_likely_nothing_begins_no_instance(room):
    fusion = fuse(room, PlainNetwork(valid=-3.0))
    assert fusion.instances() == ()
    assert fusion.statistics().candidates_doubtful > 0


def cut_in_two(answered):
    pieces = []
    for candidate in answered.candidates:
        columns = np.flatnonzero(candidate.mask.any(axis=0))
        middle = (columns[0] + columns[-1]) // 2
        left, right = candidate.mask.copy(), candidate.mask.copy()
        left[:, middle:] = False
        right[:, :middle] = False
        for number, mask in enumerate((left, right)):
            name = f"thing {candidate.id}"
            new = {"id": 10 * candidate.id + number, "mask": mask, "label": name, "label_confidence": 1.0}
            pieces.append(dataclasses.replace(candidate, **new))
    return dataclasses.replace(answered, candidates=tuple(pieces))


def test_pieces_of_one_thing_in_one_picture_are_joined_when_the_network_says_so(room):
    assert len(fuse(room, PlainNetwork(joins=True), cut_in_two).instances()) == 2
    assert len(fuse(room, PlainNetwork(joins=False), cut_in_two).instances()) > 2


def test_a_voxel_keeps_what_the_views_say_and_no_single_view_says_everything(room):
    certain = fuse(room, PlainNetwork(voxel=50.0))
    for evidence in certain._evidence.values():
        # Three log-odds a view at most, in units of two.
        assert evidence.voxels.hits.max() <= 1.5 * len(room) + 1e-5
    nothing = fuse(room, PlainNetwork(voxel=-4.0))
    assert nothing.instances() == ()


def test_random_weights_break_nothing(room):
    torch.manual_seed(1)
    fusion = fuse(room, InstanceNetwork(NetworkShape(0, 192, 16, 2, 2, 8, 8)))
    for item in fusion.instances():
        assert np.isfinite(item.existence)
        assert np.isfinite(item.points).all()
