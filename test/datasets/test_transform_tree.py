"""Transforms over time: interpolation, chains, and what cannot be answered."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.datasets.transform_tree import TransformError, TransformTree


def _transform(angle_deg: float, x: float) -> np.ndarray:
    result = np.eye(4)
    result[:3, :3] = Rotation.from_euler("z", angle_deg, degrees=True).as_matrix()
    result[0, 3] = x
    return result


@given(part=st.floats(0, 1), angle=st.floats(-170, 170), x=st.floats(-5, 5))
def test_interpolates_position_and_rotation(part: float, angle: float, x: float) -> None:
    tree = TransformTree()
    tree.add("map", "base", _transform(0, 0), 0, static=False)
    tree.add("map", "base", _transform(angle, x), 1_000_000, static=False)
    stamp = round(part * 1_000_000)
    expected = _transform(angle * stamp / 1_000_000, x * stamp / 1_000_000)
    assert np.allclose(tree.lookup("map", "base", stamp), expected, atol=1e-9)


def test_looks_up_across_branches_and_in_any_order_of_arrival() -> None:
    tree = TransformTree()
    tree.add("base", "camera", _transform(90, 1), 0, static=True)
    tree.add("/base", "/arm", _transform(0, -2), 0, static=True)
    tree.add("map", "base", _transform(0, 4), 20, static=False)
    tree.add("map", "base", _transform(0, 2), 10, static=False)
    assert np.allclose(tree.lookup("arm", "camera", 5), _transform(90, 3))
    assert np.allclose(tree.lookup("map", "camera", 15), _transform(90, 4))
    assert np.allclose(tree.lookup("camera", "camera", 0), np.eye(4))
    assert tree.ancestors_of("camera") == ("base", "map")


def test_names_what_is_missing() -> None:
    tree = TransformTree()
    tree.add("map", "base", _transform(0, 4), 20, static=False)
    tree.add("map", "base", _transform(0, 4), 30, static=False)
    tree.add("world", "tripod", _transform(0, 4), 0, static=True)
    with pytest.raises(TransformError, match=r"no transform from base to tripod; recorded frames: base, map"):
        tree.lookup("tripod", "base", 20)
    with pytest.raises(TransformError, match=r"at 31 ns; recorded from 20 to 30 ns"):
        tree.lookup("map", "base", 31)
    tree.add("base", "map", _transform(0, 4), 20, static=True)
    with pytest.raises(TransformError, match="loop"):
        tree.ancestors_of("base")
