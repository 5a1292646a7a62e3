"""The colour in which an instance is shown: the same in RViz, in clouds and in pictures, for ever."""

from __future__ import annotations

import colorsys

# Hues of consecutive ids stand far apart when stepped by the golden ratio.
GOLDEN_RATIO = 0.6180339887498949


def display_color(instance_id: int) -> tuple[float, float, float]:
    """Return the colour of an instance as (r, g, b) in [0, 1]."""
    return colorsys.hsv_to_rgb((instance_id * GOLDEN_RATIO) % 1.0, 0.85, 0.95)
