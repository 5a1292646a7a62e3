"""What stays of instances at the end of a scan."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.tiff.clean_up import cleaned


def block(low, size):
    return np.argwhere(np.ones(size, dtype=bool)) + low


def test_only_the_largest_component_of_enough_voxels_stays():
    parts = [
        (block((0, 0, 0), (5, 5, 5)), 1),  # 125 voxels
        (block((5, 5, 5), (1, 1, 1)), 1),  # touches a corner
        (block((20, 0, 0), (4, 4, 4)), 1),  # apart
        (block((0, 20, 0), (11, 3, 3)), 2),  # 99 voxels
        (block((0, 40, 0), (10, 5, 2)), 3),  # exactly 100
        (block((0, 5, 0), (5, 1, 5)), 0),
    ]
    coordinates = np.concatenate([part for part, _ in parts]) - 7  # negative ones too
    labels = np.concatenate([np.full(len(part), label) for part, label in parts])
    order = np.random.default_rng(3).permutation(len(labels))
    result = np.empty_like(labels)
    result[order] = cleaned(coordinates[order], labels[order])
    expected = labels.copy()
    expected[126 : 126 + 64] = 0
    expected[labels == 2] = 0
    np.testing.assert_array_equal(result, expected)


def test_an_empty_map_stays_empty():
    assert len(cleaned(np.empty((0, 3), np.int64), np.empty(0, np.int64))) == 0
