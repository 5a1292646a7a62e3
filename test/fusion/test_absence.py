import numpy as np
import pytest
from box_scene import Box, answer, true_masks, walk

from lira_ros.fusion.absence import SEEN_THROUGH_VOXELS, free_space_log_odds, shows_another_surface
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.evidence import SEEN_THROUGH_LOG_ODDS, VoxelEvidence
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.lifting import OCCLUDED, ON_SURFACE, OUT_OF_VIEW, SEEN_THROUGH, StoredKeyframe, lift, look_up

TABLE = Box(2, (-0.6, -0.4, 0.0), (0.6, 0.4, 0.4))
# Two centimetres thick: thinner than the room for pose errors, so no ray ever passes through where it was.
BOOK = Box(1, (-0.2, -0.15, 0.4), (0.2, 0.15, 0.42))
BOOK_LIKE_TABLE = Box(9, BOOK.low, BOOK.high)  # of the colour of the table


def fuse(fusion, views):
    for key, ids in views:
        fusion.add_keyframe(key)
        masks = true_masks(ids)
        fusion.add_candidates(answer(key, masks, ["thing"] * len(masks)))


@pytest.mark.parametrize(("book", "stays"), [(BOOK, False), (BOOK_LIKE_TABLE, True)])
def test_a_flat_thing_is_gone_when_the_surface_beneath_shows(book, stays):
    fusion = InstanceFusion(FusionConfiguration())
    fuse(fusion, walk((TABLE, book), 4, span=2.0))
    known = {instance.id for instance in fusion.instances()}
    assert len(known) == 2
    fuse(fusion, walk((TABLE,), 4, first_id=5, span=2.0))
    left = [instance.id for instance in fusion.instances()]
    # Where nothing tells the two surfaces apart, the mask of the table may have swallowed the book.
    assert (len(left) == 2) == stays


def test_free_space_counts_when_most_of_what_is_told_is_free():
    relation = np.array([SEEN_THROUGH] * 12 + [ON_SURFACE] * 4 + [OCCLUDED] * 50 + [OUT_OF_VIEW] * 9, dtype=np.uint8)
    assert free_space_log_odds(relation) == SEEN_THROUGH_LOG_ODDS
    assert free_space_log_odds(relation[8:]) == 0.0  # 4 through, 4 there
    assert free_space_log_odds(relation[relation == OCCLUDED]) == 0.0


@pytest.mark.parametrize(("shift", "differs"), [(0, False), (25, False), (110, True)])
def test_exposure_is_no_other_surface(shift, differs):
    ((key, ids),) = walk((TABLE,), 1)
    stored = StoredKeyframe(key)
    keys, colors = lift(ids == TABLE.id, stored, 0.02)
    one = np.ones(len(keys), np.float32)
    voxels = VoxelEvidence()
    voxels.add(keys, one, one, colors, one, np.ones(len(keys), np.int32))
    relation, pixel, _ = look_up(keys, stored, 0.02, 0.05)
    stored.color = np.clip(stored.color + np.array([shift, shift, 0]), 0, 255).astype(np.uint8)
    visible = relation == ON_SURFACE
    assert visible.sum() > 10 * SEEN_THROUGH_VOXELS
    assert shows_another_surface(voxels, visible, pixel, stored) == differs
    few = np.zeros_like(visible)
    few[np.flatnonzero(visible)[: SEEN_THROUGH_VOXELS - 1]] = True
    assert not shows_another_surface(voxels, few, pixel, stored)
