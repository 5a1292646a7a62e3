"""Compares prepared pictures with numbers of transformers 5.23.0 and torchvision 0.28.0, written down once.

torchvision is not installed with this package. The numbers are those of its processors for ``patterned``.
"""

import numpy as np


def patterned(height, width):
    """Return a (H, W, 3) uint8 picture with slopes, waves and jumps."""
    rows, columns, channels = np.mgrid[:height, :width, :3]
    return ((rows * 37 + columns**2 * 11 + channels * 89 + rows * columns % 61 * 4) % 256).astype(np.uint8)


def check_recorded(pixels, shape, numbers, mean, deviation):
    """Compare the shape, seven numbers at equal distances, and the mean and deviation of all."""
    found = pixels.double().flatten().numpy()
    assert tuple(pixels.shape) == shape
    np.testing.assert_allclose(found[:: len(found) // 7 + 1], numbers, rtol=0, atol=1e-5)
    np.testing.assert_allclose([found.mean(), found.std(ddof=1)], [mean, deviation], rtol=0, atol=1e-5)
