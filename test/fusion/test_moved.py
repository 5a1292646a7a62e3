import numpy as np
import pytest

from lira_ros.fusion.evidence import Claim, InstanceEvidence
from lira_ros.fusion.existence import Vote
from lira_ros.fusion.lifting import pack
from lira_ros.fusion.moved import Likeness, match_moved

UP = np.array([0.0, 0.0, 1.0])
SECOND = 1_000_000_000


def likeness(number, first_s, last_s, label="mug", color=(200, 30, 30), size=(6, 4, 5), at=(0, 0, 0), sure=1.0):
    evidence = InstanceEvidence(number)
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), axis=-1).reshape(-1, 3) + at
    keys = np.sort(pack(voxels))
    one = np.ones(len(keys), np.float32)
    evidence.voxels.add(keys, one, one, one[:, None] * np.float32(color), one, np.ones(len(keys), np.int32))
    for keyframe_id, second in enumerate((first_s, last_s), 1):
        vote = Vote(0.8, True, True, second * SECOND, (0.0, 0.0, 0.0))
        evidence.see(keyframe_id, vote, Claim.of(np.ones((2, 2), np.bool_)))
    evidence.names, evidence.name_weight = {label: sure}, 1.0
    evidence.measure(0.5, 0.02)
    return Likeness(evidence, UP, 0.5, 0.02)


def test_the_only_thing_that_it_can_be_is_it():
    gone, new = likeness(1, 1, 5), likeness(9, 8, 9, at=(90, 0, 40), size=(4, 6, 5))
    assert match_moved([gone], [new]) == {9: 1}
    assert match_moved([gone], []) == match_moved([], [new]) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"label": "cup"},
        {"label": ""},
        {"sure": 0.4},
        {"color": (30, 60, 200)},
        {"size": (12, 4, 5)},
        {"first_s": 4},  # it was seen here while the other was still seen there
    ],
)
def test_what_differs_is_another_thing(change):
    new = likeness(9, **{"first_s": 8, "last_s": 9, **change})
    assert match_moved([likeness(1, 1, 5)], [new]) == {}


def test_twins_stay_undecided():
    gone, new = likeness(1, 1, 5), likeness(9, 8, 9)
    assert match_moved([gone, likeness(2, 1, 5)], [new]) == {}
    assert match_moved([gone], [new, likeness(3, 1, 9)]) == {}
    assert match_moved([gone], [new, likeness(3, 1, 9, color=(30, 60, 200))]) == {9: 1}
