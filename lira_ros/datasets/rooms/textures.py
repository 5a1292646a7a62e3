"""Patterns of the generated room: wood, fabric, paint, rug, pictures, the view outside. All tile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Edge of every pattern in pixels, a power of two for the smaller copies.
SIZE_PX = 256

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Atlas:
    """All patterns with their smaller copies, one after another.

    pixels: (N, 3) uint8. starts: (patterns, levels) first pixel of each level; level l has SIZE_PX >> l columns.
    """

    names: tuple[str, ...]
    pixels: NDArray[np.uint8]
    starts: NDArray[np.int64]


def _noise(random: np.random.Generator, scale_x: float, scale_y: float) -> NDArray[np.float64]:
    """Return periodic noise of mean 0 and deviation 1 with features of about the given size in pixels."""
    frequencies_x = np.fft.fftfreq(SIZE_PX)[None, :] * scale_x
    frequencies_y = np.fft.fftfreq(SIZE_PX)[:, None] * scale_y
    weight = np.exp(-2.0 * (frequencies_x**2 + frequencies_y**2))
    values = np.fft.ifft2(np.fft.fft2(random.standard_normal((SIZE_PX, SIZE_PX))) * weight).real
    return (values - values.mean()) / values.std()


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.meshgrid(np.arange(SIZE_PX) + 0.5, np.arange(SIZE_PX) + 0.5)
    return x / SIZE_PX, y / SIZE_PX


def _tinted(values: NDArray[np.float64], color: tuple[float, float, float]) -> Image:
    return np.clip(values[..., None] * np.asarray(color), 0, 1)


def _plain(random: np.random.Generator) -> Image:
    return _tinted(0.97 + 0.005 * _noise(random, 30, 30) + 0.008 * _noise(random, 2, 2), (1, 1, 1))


def _fabric(random: np.random.Generator) -> Image:
    x, y = _grid()
    weave = np.sin(2 * math.pi * 64 * x) * np.sin(2 * math.pi * 64 * y)
    return _tinted(0.90 + 0.05 * weave + 0.035 * _noise(random, 4, 4) + 0.02 * _noise(random, 40, 40), (1, 1, 1))


def _grain(random: np.random.Generator) -> NDArray[np.float64]:
    x, y = _grid()
    wave = 0.035 * _noise(random, 140, 30)
    rings = np.sin(2 * math.pi * (7 * (y + wave) + 0.4 * np.sin(2 * math.pi * x)))
    return 0.6 * rings + 0.7 * _noise(random, 60, 2.5) + 0.35 * _noise(random, 20, 1.2)


def _wood(random: np.random.Generator) -> Image:
    grain = _grain(random)
    return np.clip(np.array([0.95, 0.93, 0.90]) + grain[..., None] * np.array([0.040, 0.050, 0.055]), 0, 1)


def _planks(random: np.random.Generator) -> Image:
    """Eight boards of 1/8 of the height, each in two pieces with joints at other places."""
    image = np.zeros((SIZE_PX, SIZE_PX, 3))
    board = SIZE_PX // 8
    grain = _grain(random)
    for index in range(8):
        rows = slice(index * board, (index + 1) * board)
        joint = int(random.integers(0, SIZE_PX))
        for piece in range(2):
            columns = (np.arange(SIZE_PX // 2) + joint + piece * SIZE_PX // 2) % SIZE_PX
            tone = 0.86 + 0.075 * random.standard_normal()
            shift = int(random.integers(0, SIZE_PX))
            part = np.roll(grain, (shift, 3 * shift), axis=(0, 1))[rows][:, columns]
            color = tone * np.array([1.0, 0.97, 0.93]) + part[..., None] * np.array([0.035, 0.04, 0.04])
            color[:, :1] *= 0.6
            image[rows, columns] = color
        image[index * board] *= 0.55
    return np.clip(image, 0, 1)


def _wallpaper(random: np.random.Generator) -> Image:
    x, y = _grid()
    stripes = 0.5 + 0.5 * np.tanh(12 * np.sin(2 * math.pi * 2 * x))
    sprig = np.exp(-(((x * 4) % 1 - 0.5) ** 2 + ((y * 4 + 0.5 * np.floor(x * 4)) % 1 - 0.5) ** 2) * 60)
    return _tinted(0.95 - 0.035 * stripes - 0.10 * sprig + 0.008 * _noise(random, 2, 2), (1.0, 1.0, 1.0))


def _rug(random: np.random.Generator) -> Image:
    x, y = _grid()
    u, v = np.abs(x - 0.5) * 2, np.abs(y - 0.5) * 2
    edge = np.maximum(u, v)
    red, cream, blue = np.array([0.55, 0.16, 0.14]), np.array([0.86, 0.78, 0.62]), np.array([0.17, 0.24, 0.38])
    diamonds = np.sin(2 * math.pi * 4 * (x + y)) * np.sin(2 * math.pi * 4 * (x - y))
    image = np.where(diamonds[..., None] > 0.25, cream, red)
    image = np.where((diamonds[..., None] > 0.55), blue, image)
    ring = np.abs(u + v - 0.55) < 0.07
    image = np.where(ring[..., None], cream, image)
    border = edge > 0.80
    pattern = np.where((np.sin(2 * math.pi * 12 * x) * np.sin(2 * math.pi * 12 * y) > 0)[..., None], blue, red)
    image = np.where(border[..., None], pattern, image)
    image = np.where(((edge > 0.78) & (edge < 0.82))[..., None] | (edge > 0.96)[..., None], cream, image)
    return np.clip(image * (1.0 + 0.06 * _noise(random, 2, 2) + 0.03 * _noise(random, 30, 30))[..., None], 0, 1)


def _hills(random: np.random.Generator, base: float, height: float) -> NDArray[np.float64]:
    x = np.arange(SIZE_PX) / SIZE_PX
    line = np.full(SIZE_PX, base)
    for octave in (1, 2, 3, 5, 9):
        line += height / octave * np.sin(2 * math.pi * octave * x + random.uniform(0, 6.28))
    return line


def _painting(random: np.random.Generator) -> Image:
    """Return a sunset over hills in flat colours, framed by a mat."""
    x, y = _grid()
    up = 1 - y
    sky = np.array([0.95, 0.62, 0.36]) * (1 - up[..., None]) + np.array([0.28, 0.42, 0.62]) * up[..., None]
    sun = (x - 0.62) ** 2 + (up - 0.60) ** 2 < 0.009
    image = np.where(sun[..., None], np.array([1.0, 0.90, 0.62]), sky)
    for base, color in ((0.48, (0.45, 0.36, 0.48)), (0.36, (0.25, 0.33, 0.38)), (0.22, (0.16, 0.25, 0.20))):
        line = _hills(random, base, 0.05)
        image = np.where((up < line[None, :])[..., None], np.array(color), image)
    image = image * (1 + 0.05 * _noise(random, 5, 3))[..., None]
    edge = np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) * 2
    return np.clip(np.where((edge > 0.84)[..., None], 0.93, image), 0, 1)


def _outside(random: np.random.Generator) -> Image:
    """Return sky, clouds, far houses and trees in front; the lower edge is below the ground."""
    x, y = _grid()
    up = 1 - y
    sky = np.array([0.95, 0.97, 1.0]) * (1 - up[..., None]) + np.array([0.58, 0.77, 1.0]) * up[..., None]
    cloud = np.clip(0.5 * _noise(random, 60, 24) + 0.35 * _noise(random, 22, 12) - 0.25, 0, 1)[..., None]
    image = sky * (1 - 0.85 * cloud) + 0.85 * cloud
    for index in range(5):
        left, width, top = 0.02 + 0.2 * index, random.uniform(0.10, 0.17), random.uniform(0.36, 0.46)
        house = (x > left) & (x < left + width) & (up < top)
        roof = (np.abs(x - left - width / 2) < (top + 0.09 - up) * 0.9) & (up >= top) & (up < top + 0.09)
        tone = random.uniform(0.75, 0.95)
        image = np.where(house[..., None], np.array([tone, tone * 0.92, tone * 0.80]), image)
        image = np.where(roof[..., None], np.array([0.66, 0.33, 0.25]), image)
        panes = house & (((x - left) * 28 % 1) > 0.45) & ((up * 20 % 1) > 0.45) & (up < top - 0.02)
        image = np.where(panes[..., None], np.array([0.42, 0.50, 0.58]), image)
    bush = _hills(random, 0.27, 0.035)[None, :] + 0.022 * _noise(random, 8, 8)
    leaves = np.array([0.36, 0.56, 0.24]) * (1 + 0.16 * _noise(random, 4, 4))[..., None]
    image = np.where((up < bush)[..., None], leaves, image)
    return np.clip(image, 0, 1)


def _screen(random: np.random.Generator) -> Image:
    """Return a desktop with a window of text and a small chart."""
    x, y = _grid()
    image = np.array([0.10, 0.22, 0.42]) + 0.25 * y[..., None] * np.array([0.6, 0.8, 1.0])
    paper = (x > 0.08) & (x < 0.62) & (y > 0.12) & (y < 0.9)
    image = np.where(paper[..., None], 0.96, image)
    bar = paper & (y < 0.18)
    image = np.where(bar[..., None], np.array([0.30, 0.50, 0.80]), image)
    line = np.floor((y - 0.2) * 26)
    ends = 0.2 + 0.4 * np.random.default_rng(int(random.integers(1000))).random(64)
    text = paper & (y > 0.22) & (((y - 0.2) * 26 % 1) < 0.45) & (x < ends[line.astype(int) % 64]) & (x > 0.11)
    image = np.where(text[..., None], 0.25, image)
    chart = (x > 0.67) & (x < 0.95) & (y > 0.2) & (y < 0.6)
    image = np.where(chart[..., None], 0.93, image)
    heights = random.uniform(0.1, 0.35, 7)
    column = np.clip(((x - 0.67) / 0.04).astype(int), 0, 6)
    bars = chart & (y > 0.6 - heights[column]) & (((x - 0.67) / 0.04 % 1) > 0.25)
    return np.clip(np.where(bars[..., None], np.array([0.95, 0.55, 0.20]), image), 0, 1)


def _keys(random: np.random.Generator) -> Image:
    x, y = _grid()
    key = ((x * 14 % 1) > 0.14) & ((y * 6 % 1) > 0.14) & (np.abs(x - 0.5) < 0.46) & (y > 0.06) & (y < 0.64)
    pad = (np.abs(x - 0.5) < 0.17) & (y > 0.70) & (y < 0.96)
    image = np.full((SIZE_PX, SIZE_PX, 3), 0.70) * (1 + 0.004 * _noise(random, 2, 2))[..., None]
    image = np.where(key[..., None], 0.10, image)
    return np.where(pad[..., None], 0.62, image)


def _cardboard(random: np.random.Generator) -> Image:
    x, y = _grid()
    ribs = 0.012 * np.sin(2 * math.pi * 60 * x)
    image = _tinted(0.95 + ribs + 0.02 * _noise(random, 12, 12), (1, 1, 1))
    tape = np.abs(y - 0.5) < 0.08
    return np.where(tape[..., None], image * np.array([1.18, 1.16, 1.05]), image).clip(0, 1)


def _leaf(random: np.random.Generator) -> Image:
    x, y = _grid()
    veins = 0.10 * (np.abs(np.sin(2 * math.pi * 8 * (x + np.abs(y - 0.5)))) < 0.12)
    return _tinted(0.88 + veins + 0.05 * _noise(random, 14, 14), (1, 1, 1))


def _paper(random: np.random.Generator) -> Image:
    x, y = _grid()
    dots = np.sin(2 * math.pi * 32 * x) * np.sin(2 * math.pi * 32 * y)
    return _tinted(0.955 + 0.03 * dots + 0.01 * _noise(random, 3, 3), (1, 1, 1))


def _rind(random: np.random.Generator) -> Image:
    return _tinted(0.92 + 0.045 * _noise(random, 3, 3) + 0.05 * _noise(random, 50, 50), (1, 1, 1))


PATTERNS: dict[str, Callable[[np.random.Generator], Image]] = {
    "plain": _plain,
    "fabric": _fabric,
    "wood": _wood,
    "planks": _planks,
    "wallpaper": _wallpaper,
    "rug": _rug,
    "painting": _painting,
    "outside": _outside,
    "screen": _screen,
    "keys": _keys,
    "cardboard": _cardboard,
    "leaf": _leaf,
    "paper": _paper,
    "rind": _rind,
}


def build_atlas(seed: int) -> Atlas:
    """Draw all patterns and their smaller copies (averages of 2 x 2 pixels); the same seed gives the same pixels."""
    levels = SIZE_PX.bit_length()
    blocks: list[NDArray[np.uint8]] = []
    starts = np.zeros((len(PATTERNS), levels), dtype=np.int64)
    position = 0
    for index, (name, draw) in enumerate(PATTERNS.items()):
        image = draw(np.random.default_rng([seed, *name.encode()]))
        for level in range(levels):
            starts[index, level] = position
            blocks.append(np.rint(image * 255).astype(np.uint8).reshape(-1, 3))
            position += len(blocks[-1])
            if level + 1 < levels:
                size = SIZE_PX >> (level + 1)
                image = image.reshape(size, 2, size, 2, 3).mean(axis=(1, 3))
    return Atlas(tuple(PATTERNS), np.concatenate(blocks), starts)
