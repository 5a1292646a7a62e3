"""The colours of instances and verdicts: the same in RViz, in clouds, in the viewer and in pictures, for ever."""

from __future__ import annotations

from lira_ros.fusion.contracts import Conformity

Color = tuple[float, float, float]

# The palette that colour-blind people tell apart (Okabe and Ito, "Color Universal Design", 2008) without black, in an
# order in which neighbours differ in lightness too.
_PALETTE: tuple[Color, ...] = (
    (0.902, 0.624, 0.0),  # orange
    (0.337, 0.706, 0.914),  # sky blue
    (0.0, 0.620, 0.451),  # bluish green
    (0.941, 0.894, 0.259),  # yellow
    (0.0, 0.447, 0.698),  # blue
    (0.800, 0.475, 0.655),  # reddish purple
    (0.835, 0.369, 0.0),  # vermilion
)
# Ids beyond the palette take its colours again: as they are, mixed with white, mixed with black.
_SHADES = ((0.0, 0.0), (0.45, 1.0), (0.35, 0.0))

# The orange in which pictures of a reasoner show what is asked for, the blue of what is still open, and a grey that
# steps back.
_VERDICT_COLORS: dict[Conformity, Color] = {
    Conformity.CONFORMS: (1.0, 0.588, 0.078),
    Conformity.UNDECIDED: (0.275, 0.706, 1.0),
    Conformity.REJECTED: (0.60, 0.60, 0.60),
}


def display_color(instance_id: int) -> Color:
    """Return the colour of an instance as (r, g, b) in [0, 1]; 21 consecutive ids have different ones."""
    red, green, blue = _PALETTE[(instance_id - 1) % len(_PALETTE)]
    share, target = _SHADES[(instance_id - 1) // len(_PALETTE) % len(_SHADES)]
    return (red + share * (target - red), green + share * (target - green), blue + share * (target - blue))


def verdict_color(conformity: Conformity) -> Color:
    """Return the colour of a verdict as (r, g, b) in [0, 1]."""
    return _VERDICT_COLORS[conformity]
