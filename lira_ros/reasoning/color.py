"""Basic colour names of measured points, and how alike two names are.

The names are the eleven basic colour terms of Berlin and Kay ("Basic Color Terms", 1969), beige, and the metals of
LIRA's fifteen colours. Regions of CIE L*C*h (from sRGB, D65) stand for the names; their borders are wide where indoor
light moves colours: warm light turns white and gray a little yellow, shade makes everything darker. Points give no
gloss, so silver, gold and copper are never seen, only understood: color_similarity() lets "silver" match gray.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

COLORS = (
    "black",
    "gray",
    "white",
    "red",
    "orange",
    "brown",
    "beige",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "silver",
    "gold",
    "copper",
)
_INDEX = {name: number for number, name in enumerate(COLORS)}

# More points than this do not change the statistics.
_SAMPLES = 2000

# Shade and highlights hide the colour of a thing: pixels darker than this L* or at the white end count less.
_DEEP_SHADE_L = 16.0
_HIGHLIGHT_L = 97.0
_UNRELIABLE_WEIGHT = 0.4
# A thing is called by its colour rather than black or gray when that colour covers this share: black pixels may be
# shade, gray ones worn or reflecting.
_COLOR_OVER_SHADE = {"black": 0.2, "gray": 0.35}

# What people accept for one another, [0, 1]; symmetric, absent = 0. Order of size as in the confusions of
# colour-naming studies (neighbouring categories of Berlin and Kay), the metals by their usual paraphrase.
_ALIKE = {
    ("silver", "gray"): 0.9,
    ("silver", "white"): 0.5,
    ("gold", "yellow"): 0.8,
    ("gold", "brown"): 0.5,
    ("gold", "orange"): 0.5,
    ("gold", "beige"): 0.4,
    ("copper", "brown"): 0.8,
    ("copper", "orange"): 0.7,
    ("copper", "red"): 0.3,
    ("copper", "gold"): 0.5,
    ("beige", "brown"): 0.6,
    ("beige", "white"): 0.4,
    ("beige", "gray"): 0.4,
    ("beige", "yellow"): 0.4,
    ("beige", "pink"): 0.2,
    ("beige", "orange"): 0.3,
    ("brown", "orange"): 0.5,
    ("brown", "red"): 0.3,
    ("brown", "black"): 0.2,
    ("brown", "yellow"): 0.2,
    ("gray", "black"): 0.4,
    ("gray", "white"): 0.4,
    ("red", "orange"): 0.4,
    ("red", "pink"): 0.4,
    ("orange", "yellow"): 0.4,
    ("yellow", "green"): 0.2,
    ("green", "blue"): 0.2,
    ("blue", "purple"): 0.4,
    ("blue", "gray"): 0.1,
    ("blue", "black"): 0.2,
    ("purple", "pink"): 0.4,
    ("purple", "red"): 0.2,
}


def color_similarity(first: str, second: str) -> float:
    """Return how well one colour name answers to another, in [0, 1]; unknown or empty names answer only themselves."""
    if first == second:
        return 1.0 if first else 0.0
    return _ALIKE.get((first, second), _ALIKE.get((second, first), 0.0))


def name_colors(colors: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Name every (N, 3) uint8 RGB colour; returns (N,) indices into COLORS."""
    return _classify(_lab(colors))


def color_shares(colors: NDArray[np.uint8]) -> dict[str, float]:
    """Return the share of each colour name among (N, 3) uint8 RGB colours, largest first; no points, no shares."""
    if len(colors) == 0:
        return {}
    if len(colors) > _SAMPLES:
        colors = colors[:: -(-len(colors) // _SAMPLES)]
    lab = _lab(colors)
    doubtful = (lab[:, 0] < _DEEP_SHADE_L) | (lab[:, 0] > _HIGHLIGHT_L)
    weight = np.where(doubtful, _UNRELIABLE_WEIGHT, 1.0)
    total = np.bincount(_classify(lab), weights=weight, minlength=len(COLORS))
    share = total / total.sum()
    return {COLORS[i]: float(share[i]) for i in np.argsort(-share, kind="stable") if share[i] > 0}


def color_deviation(colors: NDArray[np.uint8]) -> float:
    """Return the root mean square distance of (N, 3) uint8 RGB colours from their mean in CIELAB; NaN without any."""
    if len(colors) == 0:
        return float("nan")
    lab = _lab(colors[:: -(-len(colors) // _SAMPLES)])
    return float(np.sqrt(((lab - lab.mean(axis=0)) ** 2).sum(axis=1).mean()))


def color_name(colors: NDArray[np.uint8]) -> str:
    """Name the dominant colour of (N, 3) uint8 RGB colours; "" without points."""
    shares = color_shares(colors)
    if not shares:
        return ""
    # Neighbours support one another: half brown and half orange is brown or orange, not the black in between.
    support = {name: sum(share * color_similarity(name, other) for other, share in shares.items()) for name in shares}
    best = max(support, key=lambda name: support[name])
    if best in _COLOR_OVER_SHADE:
        chromatic = [name for name in shares if name not in ("black", "gray", "white")]
        if chromatic and shares[chromatic[0]] > _COLOR_OVER_SHADE[best]:
            return chromatic[0]
    return best


def _lab(colors: NDArray[np.uint8]) -> NDArray[np.float32]:
    if colors.ndim != 2 or colors.shape[1] != 3 or colors.dtype != np.uint8:
        raise ValueError(f"colors: expected (N, 3) uint8 RGB, got {colors.shape} {colors.dtype}")
    if len(colors) == 0:
        return np.zeros((0, 3), dtype=np.float32)
    image = np.ascontiguousarray(colors).reshape(-1, 1, 3).astype(np.float32) / np.float32(255)
    lab: NDArray[np.float32] = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    return lab


def _classify(lab: NDArray[np.float32]) -> NDArray[np.int64]:
    lightness = lab[:, 0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360.0
    warm = (hue > 30) & (hue < 110)
    # Warm light gives white and gray a chroma of up to about 8, more where it is bright.
    neutral = chroma < np.where(warm, 8.0 + 4.0 * (lightness > 82), 8.0)
    rosy = (hue < 20) | (hue >= 335)
    rules = [
        ("black", (lightness < 12) | ((lightness < 26) & (chroma < 10))),
        ("black", neutral & (lightness < 28)),
        ("white", neutral & (lightness > 76)),
        ("gray", neutral),
        ("pink", rosy & (lightness > 58) & ((chroma < 62) | (lightness > 66) | (hue > 300))),
        ("pink", (hue < 45) & (lightness > 68) & (chroma > 14)),
        ("pink", (hue > 318) & (lightness > 58)),
        ("beige", (hue > 45) & (hue < 108) & (lightness > 50) & (chroma < 22)),
        ("beige", (hue > 60) & (hue < 108) & (lightness > 70) & (chroma < 34)),
        ("gray", (chroma < 13) & (lightness > 30)),
        # Dark reds are as colourful as they are dark; browns are not.
        ("brown", (hue > 36) & (hue < 45) & (lightness < 48) & (chroma < 1.15 * lightness)),
        ("red", (hue < 45) & (chroma > 26)),
        ("brown", (hue < 80) & (lightness < 50) & (chroma < 52)),
        ("brown", (hue >= 45) & (hue < 82) & (chroma < 48) & (lightness < 72)),
        ("brown", (hue >= 80) & (hue < 100) & (lightness < 48)),
        ("brown", hue < 30),
        ("orange", hue < 76),
        ("yellow", hue < 108),
        ("green", hue < 195),
        ("blue", hue < 309),
        ("purple", hue < 345),
        ("red", hue >= 345),
    ]
    return np.select([where for _, where in rules], [_INDEX[name] for name, _ in rules], default=_INDEX["gray"])


# Bins of L*, a*, b*: colours shift with the light by less than a bin of a* and b*, lightness by more than that.
_BINS = (3, 8, 8)
# Length of the vectors of appearance().
APPEARANCE_LENGTH = 3 * 8 * 8


def appearance(colors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a (192,) float32 unit vector of the colours of (N, 3) uint8 RGB points; (0,) without points.

    The vector holds the square roots of a CIELAB histogram, so that the product of two vectors is their Bhattacharyya
    coefficient. It is the cue by which the fusion tells things apart that look different at one place.
    """
    if len(colors) == 0:
        return np.zeros(0, dtype=np.float32)
    lab = _lab(colors[:: -(-len(colors) // _SAMPLES)])
    lows, highs = np.array([0.0, -48.0, -48.0]), np.array([100.0, 80.0, 80.0])
    place = np.clip((lab - lows) / (highs - lows) * _BINS - 0.5, 0.0, np.array(_BINS) - 1.001)
    base = place.astype(np.int64)
    part = place - base
    histogram = np.zeros(_BINS)
    # Linear shares to the neighbouring bins: a small change of light makes a small change of the vector.
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(np.array(corner) == 1, part, 1.0 - part).prod(axis=1)
        cell = np.minimum(base + np.array(corner), np.array(_BINS) - 1)
        np.add.at(histogram, tuple(cell.T), weight)
    return np.sqrt(histogram / histogram.sum()).ravel().astype(np.float32)
