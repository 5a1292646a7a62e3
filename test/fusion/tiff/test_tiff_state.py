"""LIRA's fusion that was saved and loaded says the same, and goes on within the fragment that was open."""

import numpy as np
import pytest
from box_scene import walk
from saved_engine import assert_same_instances

pytest.importorskip("torch", reason="PyTorch is not installed here")

from test_tiff_fusion import SCENE, engine, fuse, said

from lira_ros.fusion.engine import Outcome
from lira_ros.state.columns import StateError


@pytest.fixture(scope="module")
def views():
    return walk(SCENE, 20, span=2 * np.pi)


def test_saved_and_loaded_it_goes_on_as_if_nothing_had_happened(views):
    fusion = fuse(engine(), views[:13])  # one fragment is fused, four keyframes are in the next
    data = fusion.export_state()
    other = engine()
    other.import_state(data)
    assert len(other.instances()) == 2
    assert_same_instances(fusion, other)
    assert other.export_state() == data
    # What waits for its keyframes is not fused without them.
    other.finish()
    assert other.statistics().fragments == fusion.statistics().fragments == 1
    other.import_state(data)
    for goes_on in (fusion, other):
        for key, ids in views[:13]:
            goes_on.add_keyframe(key)
            assert goes_on.add_candidates(said(key, ids)) is Outcome.REPEATED
        fuse(goes_on, views[13:])
        goes_on.finish()
    assert_same_instances(fusion, other)
    assert fusion.statistics().fragments == 3
    assert other.export_state() == fusion.export_state()


def test_a_state_of_another_engine_is_refused(views):
    from lira_ros.fusion.configuration import FusionConfiguration
    from lira_ros.fusion.instance_fusion import InstanceFusion

    fusion = fuse(engine(), views[:9])
    before = fusion.export_state()
    with pytest.raises(StateError, match="expected the state 'instances of fragments'"):
        fusion.import_state(InstanceFusion(FusionConfiguration()).export_state())
    assert fusion.export_state() == before
