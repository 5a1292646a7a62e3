import numpy as np
import pytest

from lira_ros.evaluation.matching import match_by_centroid, match_by_iou, voxel_iou


def cube(center, size=0.3, step=0.02):
    axis = np.arange(-size / 2, size / 2, step)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    return grid + np.asarray(center)


def test_voxel_iou_of_equal_disjoint_and_shifted_sets():
    a = cube((0, 0, 0))
    assert voxel_iou(a, a) == 1.0
    assert voxel_iou(a, cube((2, 0, 0))) == 0.0
    assert 0.2 < voxel_iou(a, cube((0.15, 0, 0))) < 0.5
    assert voxel_iou(a, np.zeros((0, 3))) == 0.0


def test_matching_is_one_to_one_and_counts_the_rest():
    truth = [(4, cube((0, 0, 0))), (7, cube((2, 0, 0)))]
    predictions = [cube((0.02, 0, 0)), cube((0.05, 0, 0)), cube((5, 5, 5))]
    for match in (match_by_iou(predictions, truth, 0.25), match_by_centroid(predictions, truth, 0.2)):
        assert match.found == ((0, 4),)
        assert match.missed == (7,)
        assert match.wrong == (1, 2)
        assert not match.right


def test_maximum_number_of_matches_wins_over_the_single_best_pair():
    truth = [(1, cube((0, 0, 0))), (2, cube((0.3, 0, 0)))]
    predictions = [cube((0.15, 0, 0)), cube((0.0, 0, 0))]
    match = match_by_centroid(predictions, truth, 0.2)
    assert sorted(match.found) == [(0, 2), (1, 1)]
    assert match.right


@pytest.mark.parametrize("matcher", [match_by_iou, match_by_centroid])
def test_nothing_expected_and_nothing_found_is_right(matcher):
    assert matcher([], [], 0.25).right
    assert matcher([cube((0, 0, 0))], [], 0.25).wrong == (0,)
    assert matcher([], [(1, cube((0, 0, 0)))], 0.25).missed == (1,)
