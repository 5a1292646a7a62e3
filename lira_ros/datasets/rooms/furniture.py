"""Furniture and small things of the generated room, each a list of parts around its own origin.

The origin is on the supporting surface, z up; the front of an object looks to -y. Sizes are those of common
products, so that what is measured in the map is what a person would measure in a real room.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from lira_ros.datasets.rooms.shapes import Shape, ball, box, cylinder, disc, joined, leaf, sheet, tube, turned

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    pattern: name in textures.PATTERNS. color: sRGB 0 to 1, multiplied with the pattern. tile_m: size of one tile
    along u and v, negative to mirror. origin: where the pattern starts, in tiles. gloss: 0 (matt) to 1 (polished).
    emission: 0, or how bright the surface shines by itself. outside: the pattern is the view behind a window.
    """

    pattern: str
    color: Color = (1.0, 1.0, 1.0)
    tile_m: tuple[float, float] = (0.5, 0.5)
    origin: tuple[float, float] = (0.0, 0.0)
    gloss: float = 0.0
    emission: float = 0.0
    outside: bool = False


@dataclass(frozen=True)
class Part:
    """One surface of an object. casts_shadow: False for what shines or lets light through."""

    shape: Shape
    material: Material
    casts_shadow: bool = True


OAK = Material("wood", (0.74, 0.54, 0.34), (0.6, 0.6), gloss=0.35)
WALNUT = Material("wood", (0.42, 0.27, 0.17), (0.6, 0.6), gloss=0.35)
BEECH = Material("wood", (0.86, 0.70, 0.50), (0.5, 0.5), gloss=0.3)
WHITE_LACQUER = Material("plain", (0.93, 0.93, 0.91), (0.7, 0.7), gloss=0.5)
STEEL = Material("plain", (0.62, 0.63, 0.65), (0.4, 0.4), gloss=0.8)
DARK_METAL = Material("plain", (0.16, 0.16, 0.17), (0.4, 0.4), gloss=0.6)
EARTH = Material("rind", (0.25, 0.18, 0.13), (0.12, 0.12))


def fabric(color: Color) -> Material:
    """Return woven cloth of a colour."""
    return Material("fabric", color, (0.30, 0.30))


def ceramic(color: Color) -> Material:
    """Return glazed ceramic of a colour."""
    return Material("plain", color, (0.3, 0.3), gloss=0.9)


def sofa(color: Color) -> list[Part]:
    """Return a three-seat sofa, 1.95 x 0.90 m, seat at 0.43 m, back at 0.82 m."""
    body: list[Shape] = []
    legs: list[Shape] = []
    body.append(box((1.90, 0.80, 0.17), (0, 0.02, 0.195), 0.03))
    body.append(box((1.93, 0.24, 0.60), (0, 0.33, 0.49), 0.07))
    for side in (-1, 1):
        body.append(box((0.19, 0.88, 0.50), (side * 0.88, 0.0, 0.36), 0.07))
        legs.extend(cylinder(0.025, 0.12).moved((side * 0.86, y, 0)) for y in (-0.36, 0.36))
    for index in range(3):
        x = (index - 1) * 0.523
        body.append(box((0.515, 0.64, 0.17), (x, -0.10, 0.35), 0.055))
        body.append(box((0.505, 0.20, 0.42), (0, 0, 0), 0.07).moved((x, 0.20, 0.60), 0, (-12, 0)))
    return [Part(joined(body), fabric(color)), Part(joined(legs), WALNUT)]


def armchair(color: Color) -> list[Part]:
    """Return an armchair, 0.80 x 0.80 m, seat at 0.42 m, back at 0.85 m."""
    body = [
        box((0.74, 0.72, 0.14), (0, 0.02, 0.22), 0.03),
        box((0.52, 0.58, 0.16), (0, -0.08, 0.34), 0.06),
        box((0.76, 0.18, 0.62), (0, 0, 0), 0.07).moved((0, 0.31, 0.54), 0, (-9, 0)),
    ]
    body.extend(box((0.13, 0.70, 0.36), (side * 0.335, -0.02, 0.38), 0.055) for side in (-1, 1))
    legs = [cylinder(0.02, 0.16).moved((x, y, 0)) for x in (-0.32, 0.32) for y in (-0.30, 0.32)]
    return [Part(joined(body), fabric(color)), Part(joined(legs), BEECH)]


def cushion(color: Color) -> list[Part]:
    """Return a square cushion of 0.42 m, leaning back against what is behind it."""
    body = box((0.42, 0.42, 0.14), (0, 0, 0), 0.069, 0.06)
    bulge = 1.0 - 0.55 * np.maximum(np.abs(body.vertices[:, 0]), np.abs(body.vertices[:, 1])) ** 2 / 0.21**2
    pillow = Shape(
        body.vertices * np.stack([np.ones_like(bulge)] * 2 + [bulge], -1), body.normals, body.uv, body.triangles
    )
    return [Part(pillow.moved((0, 0, 0.21), 0, (68, 0)), fabric(color))]


def chair(seat: Color) -> list[Part]:
    """Return a wooden dining chair with a coloured seat and back, seat at 0.46 m, back at 0.86 m."""
    wood = [cylinder(0.019, 0.44, segments=12).moved((x, -0.19, 0)) for x in (-0.19, 0.19)]
    for x in (-0.19, 0.19):
        heights = np.linspace(0, 0.84, 8)
        lean = 0.19 + 0.07 * np.clip((heights - 0.44) / 0.42, 0, 1) ** 1.2
        wood.append(tube(np.stack([np.full(8, x), lean, heights], -1), 0.018))
        wood.append(box((0.02, 0.36, 0.03), (x, 0, 0.30)))
    wood.append(box((0.38, 0.02, 0.05), (0, -0.19, 0.40)))
    wood.append(box((0.38, 0.02, 0.05), (0, 0.19, 0.40)))
    coloured = [box((0.44, 0.43, 0.045), (0, -0.005, 0.4425), 0.018)]
    coloured.append(box((0.40, 0.022, 0.20), (0, 0, 0), 0.01).moved((0, 0.245, 0.75), 0, (-9, 0)))
    return [Part(joined(wood), BEECH), Part(joined(coloured), Material("plain", seat, (0.4, 0.4), gloss=0.35))]


def dining_table() -> list[Part]:
    """Return a rectangular table, 1.50 x 0.85 m, 0.74 m high."""
    top = [box((1.50, 0.85, 0.035), (0, 0, 0.7225), 0.008)]
    frame = [box((0.065, 0.065, 0.705), (x, y, 0.3525), 0.006) for x in (-0.69, 0.69) for y in (-0.365, 0.365)]
    frame += [box((1.32, 0.022, 0.09), (0, y, 0.655)) for y in (-0.36, 0.36)]
    frame += [box((0.022, 0.67, 0.09), (x, 0, 0.655)) for x in (-0.69, 0.69)]
    return [Part(joined(top), OAK), Part(joined(frame), OAK)]


def round_table() -> list[Part]:
    """Return a round coffee table, 0.76 m across, 0.46 m high."""
    rim = turned([(0.372, 0.43), (0.38, 0.436), (0.38, 0.454), (0.372, 0.46)], 48)
    top = [rim, disc(0.372, 0.46, 6, 48), disc(0.372, 0.43, 2, 48, up=False)]
    legs = []
    for index in range(3):
        angle = 2 * math.pi * index / 3 + 0.5
        foot, head = np.array([0.30 * math.cos(angle), 0.30 * math.sin(angle), 0.0]), np.array([0.0, 0.0, 0.43])
        head[:2] = 0.55 * foot[:2]
        legs.append(tube(np.linspace(foot, head, 5), 0.019))
    return [Part(joined(top), WHITE_LACQUER), Part(joined(legs), BEECH)]


def sideboard() -> list[Part]:
    """Return a sideboard with three doors, 1.50 x 0.42 m, 0.85 m high."""
    body = [box((1.50, 0.40, 0.74), (0, 0.01, 0.47))]
    top = [box((1.52, 0.43, 0.025), (0, -0.005, 0.8375), 0.006)]
    doors = [box((0.485, 0.018, 0.70), ((i - 1) * 0.495, -0.199, 0.47), 0.004) for i in range(3)]
    handles = [box((0.012, 0.022, 0.14), ((i - 1) * 0.495 + 0.19, -0.218, 0.60), 0.005) for i in range(3)]
    legs = [box((0.04, 0.04, 0.10), (x, y, 0.05)) for x in (-0.68, 0.68) for y in (-0.15, 0.16)]
    return [
        Part(joined([*body, *doors]), WHITE_LACQUER),
        Part(joined(top), OAK),
        Part(joined(handles), STEEL),
        Part(joined(legs), OAK),
    ]


BOOK_COLORS: tuple[Color, ...] = (
    (0.70, 0.17, 0.15),
    (0.16, 0.30, 0.52),
    (0.85, 0.68, 0.28),
    (0.20, 0.42, 0.30),
    (0.88, 0.85, 0.78),
    (0.30, 0.22, 0.36),
    (0.80, 0.42, 0.20),
    (0.22, 0.23, 0.25),
)


def bookshelf(random: np.random.Generator) -> list[Part]:
    """Return a bookshelf with five boards full of books, 0.90 x 0.30 m, 1.86 m high."""
    wood = [box((0.022, 0.30, 1.86), (x, 0, 0.93)) for x in (-0.439, 0.439)]
    boards = [0.07, 0.43, 0.78, 1.13, 1.48, 1.849]
    wood += [box((0.856, 0.29, 0.022), (0, 0.005, z)) for z in boards]
    wood.append(box((0.856, 0.008, 1.80), (0, 0.145, 0.95)))
    books: dict[int, list[Shape]] = {}
    for low, high in itertools.pairwise(boards):
        x = -0.42
        stop = 0.42 - random.choice([0.0, 0.14, 0.25])
        while x < stop - 0.06:
            width = random.uniform(0.018, 0.050)
            height = min(random.uniform(0.19, 0.30), high - low - 0.04)
            depth = random.uniform(0.15, 0.21)
            tilt = 0.0 if x < stop - 0.12 else random.uniform(0, 9)
            book = box((width - 0.002, depth, height), (0, 0, height / 2), step_m=0.3)
            shelf_top = low + 0.011
            books.setdefault(int(random.integers(len(BOOK_COLORS))), []).append(
                book.moved((x + width / 2, 0.13 - depth / 2 - random.uniform(0.02, 0.05), shelf_top), 0, (0, -tilt))
            )
            x += width
    return [
        Part(joined(wood), WALNUT),
        *(Part(joined(items), Material("fabric", BOOK_COLORS[i], (0.2, 0.2))) for i, items in books.items()),
    ]


def floor_lamp() -> list[Part]:
    """Return a lamp with a cloth shade, 1.55 m high."""
    shade = turned([(0.205, 1.27), (0.165, 1.54)], 32)
    metal = [cylinder(0.14, 0.022), cylinder(0.011, 1.28, 0.02, 12)]
    return [
        Part(joined(metal), DARK_METAL),
        Part(shade, Material("fabric", (1.0, 0.93, 0.78), (0.3, 0.3), emission=1.25), casts_shadow=False),
    ]


def potted_plant(random: np.random.Generator) -> list[Part]:
    """Return a plant with large leaves in a ceramic pot, about 1.15 m high."""
    pot = turned([(0.115, 0.0), (0.125, 0.01), (0.165, 0.29), (0.172, 0.31), (0.158, 0.315), (0.152, 0.27)], 32)
    stems, leaves = [], []
    for index in range(26):
        angle = index * 137.5 + random.uniform(-12, 12)
        level = index / 25
        height = 0.34 + 0.58 * level + random.uniform(-0.03, 0.03)
        out = 0.05 + 0.10 * (1 - level)
        direction = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
        s = np.linspace(0, 1, 5)
        path = np.stack([out * s**1.5 * direction[0], out * s**1.5 * direction[1], 0.27 + (height - 0.27) * s], -1)
        stems.append(tube(path, 0.006, 6))
        blade = leaf(0.34 - 0.10 * level, 0.125 - 0.03 * level, 28 + 34 * level, 0.42 - 0.20 * level)
        leaves.append(blade.moved((*(out * direction), height), angle))
    return [
        Part(joined([pot, disc(0.115, 0.001, 1, 24, up=False)]), ceramic((0.86, 0.84, 0.80))),
        Part(disc(0.154, 0.275, 2), EARTH),
        Part(joined(stems), Material("leaf", (0.30, 0.40, 0.16), (0.2, 0.2))),
        Part(joined(leaves), Material("leaf", (0.22, 0.50, 0.20), (0.12, 0.12), (0, 0.5), gloss=0.25)),
    ]


def mug(color: Color) -> list[Part]:
    """Return a mug with a handle, 8 cm across, 10 cm high."""
    wall = turned([(0.034, 0.0), (0.038, 0.004), (0.040, 0.02), (0.040, 0.10), (0.037, 0.10), (0.036, 0.012)], 28)
    angle = np.linspace(-1.75, 1.75, 14)
    handle = tube(np.stack([0.038 + 0.026 * np.cos(angle), 0 * angle, 0.052 + 0.030 * np.sin(angle)], -1), 0.0055, 8)
    inside = disc(0.036, 0.012, 2, 28)
    coffee = disc(0.0365, 0.082, 2, 28)
    return [
        Part(joined([wall, handle, inside, disc(0.034, 0.0, 1, 28, up=False)]), ceramic(color)),
        Part(coffee, Material("plain", (0.20, 0.12, 0.07), (0.3, 0.3), gloss=1.0)),
    ]


def cup(color: Color) -> list[Part]:
    """Return a cup on a saucer, 9 cm across and 8 cm high."""
    bowl = turned([(0.022, 0.012), (0.030, 0.016), (0.043, 0.045), (0.046, 0.08), (0.043, 0.08), (0.028, 0.02)], 28)
    saucer = turned([(0.04, 0.0), (0.072, 0.012), (0.074, 0.015), (0.04, 0.006), (0.0, 0.006)], 32)
    angle = np.linspace(-1.6, 1.6, 10)
    handle = tube(np.stack([0.043 + 0.018 * np.cos(angle), 0 * angle, 0.05 + 0.018 * np.sin(angle)], -1), 0.004, 8)
    return [Part(joined([bowl, disc(0.028, 0.02, 1, 28), saucer, handle]), ceramic(color))]


def fruit_bowl() -> list[Part]:
    """Return a wooden bowl of 28 cm with apples, oranges and a banana."""
    bowl = turned([(0.06, 0.0), (0.10, 0.02), (0.14, 0.085), (0.135, 0.088), (0.095, 0.03), (0.0, 0.016)], 40)
    parts = [Part(bowl, OAK)]
    fruit: list[tuple[float, float, float, float, Color]] = [
        (-0.055, 0.03, 0.075, 0.038, (0.78, 0.16, 0.12)),
        (0.035, 0.06, 0.075, 0.037, (0.95, 0.55, 0.12)),
        (0.06, -0.02, 0.078, 0.039, (0.50, 0.68, 0.20)),
        (-0.01, -0.06, 0.075, 0.037, (0.95, 0.55, 0.12)),
        (-0.07, -0.04, 0.078, 0.036, (0.74, 0.20, 0.14)),
        (0.0, 0.005, 0.115, 0.038, (0.95, 0.58, 0.14)),
    ]
    for x, y, z, radius, color in fruit:
        parts.append(Part(ball(radius, (x, y, z), 18), Material("rind", color, (0.12, 0.12), gloss=0.5)))
    angle = np.linspace(0.4, 2.7, 12)
    banana = tube(np.stack([0.085 * np.cos(angle), 0.02 + 0 * angle, 0.075 + 0.07 * np.sin(angle)], -1), 0.017, 10)
    parts.append(Part(banana.moved((0.0, 0.03, 0.02), 25), Material("rind", (0.95, 0.80, 0.22), (0.2, 0.2), gloss=0.3)))
    return parts


def paper_towels() -> list[Part]:
    """Return a roll of paper towels standing upright, 12 cm across, 24 cm high."""
    wall = turned([(0.06, 0.24 * i / 4) for i in range(5)], 32)
    ring = turned([(0.06, 0.24), (0.05, 0.24), (0.04, 0.24), (0.022, 0.24)], 32)
    core = turned([(0.022, 0.24), (0.0215, 0.12), (0.021, 0.0)], 20)
    return [
        Part(joined([wall, ring]), Material("paper", (0.96, 0.96, 0.95), (0.11, 0.11))),
        Part(core, Material("plain", (0.62, 0.48, 0.34))),
    ]


def laptop() -> list[Part]:
    """Return an open laptop, 32 x 22 cm, screen up to 0.21 m."""
    keys = Material("keys", (0.9, 0.9, 0.92), (0.32, 0.22), (0.5, 0.5), gloss=0.3)
    base = box((0.32, 0.22, 0.012), (0, 0, 0.008), 0.004)
    deck = sheet((-0.16, -0.11, 0.0145), (0.32, 0, 0), (0, 0.22, 0), 0.05)
    lid = box((0.32, 0.21, 0.007), (0, 0.105, 0), 0.003)
    glass = sheet((-0.152, 0.010, 0.0042), (0.304, 0, 0), (0, 0.19, 0), 0.05)
    hinge = (0.0, 0.108, 0.012)
    screen = Material("screen", (1, 1, 1), (0.304, -0.19), gloss=0.4, emission=0.85)
    metal = Material("plain", (0.66, 0.67, 0.70), (0.3, 0.3), gloss=0.5)
    return [
        Part(joined([base, lid.moved(hinge, 0, (72, 0))]), metal),
        Part(deck, Material("keys", keys.color, (0.32, -0.22), gloss=0.3)),
        Part(glass.moved(hinge, 0, (72, 0)), screen),
    ]


def backpack(color: Color) -> list[Part]:
    """Return a standing backpack, 0.32 x 0.22 m, 0.46 m high."""
    body = box((0.32, 0.18, 0.44), (0, 0.02, 0.22), 0.085, 0.05)
    narrow = 1.0 - 0.16 * np.clip(body.vertices[:, 2] / 0.44, 0, 1) ** 2
    body = Shape(
        body.vertices * np.stack([narrow, narrow, np.ones_like(narrow)], -1), body.normals, body.uv, body.triangles
    )
    pocket = box((0.25, 0.07, 0.21), (0, -0.085, 0.135), 0.033, 0.05)
    angle = np.linspace(0, math.pi, 9)
    loop = tube(np.stack([0.045 * np.cos(angle), 0.05 + 0 * angle, 0.43 + 0.04 * np.sin(angle)], -1), 0.008, 8)
    zips = [box((0.23, 0.006, 0.008), (0, -0.119, 0.215), 0.002), box((0.24, 0.006, 0.008), (0, -0.068, 0.33), 0.002)]
    return [
        Part(joined([body, pocket]), Material("fabric", color, (0.2, 0.2))),
        Part(joined([loop, *zips]), DARK_METAL),
    ]


def waste_bin(color: Color) -> list[Part]:
    """Return an open bin, 0.28 m across, 0.33 m high."""
    wall = turned(
        [(0.105, 0.0), (0.112, 0.11), (0.12, 0.22), (0.14, 0.325), (0.137, 0.33), (0.118, 0.21), (0.102, 0.012)], 32
    )
    return [Part(joined([wall, disc(0.102, 0.012, 2, 32)]), Material("plain", color, (0.3, 0.3), gloss=0.3))]


def toy_ball(color: Color) -> list[Part]:
    """Return a ball of 22 cm with a white stripe."""
    whole = ball(0.11, (0, 0, 0.11), 32)
    stripe = turned([(0.1095, -0.014), (0.1112, -0.012), (0.1118, 0.0), (0.1112, 0.012), (0.1095, 0.014)], 40)
    white = Material("plain", (0.95, 0.95, 0.95), (0.3, 0.3), gloss=0.5)
    return [
        Part(whole, Material("plain", color, (0.3, 0.3), gloss=0.5)),
        Part(stripe.moved((0, 0, 0.11), 0, (35, 20)), white),
    ]


def carton() -> list[Part]:
    """Return a closed cardboard box, 0.42 x 0.32 m, 0.28 m high."""
    body = box((0.42, 0.32, 0.28), (0, 0, 0.14), 0.004)
    return [Part(body, Material("cardboard", (0.70, 0.53, 0.36), (0.42, 0.42), (0.5, 0.5)))]


def storage_box(color: Color) -> list[Part]:
    """Return a lidded box, 0.26 x 0.18 m, 0.15 m high."""
    body = box((0.25, 0.17, 0.13), (0, 0, 0.065), 0.008)
    lid = box((0.26, 0.18, 0.03), (0, 0, 0.135), 0.008)
    return [Part(joined([body, lid]), Material("plain", color, (0.2, 0.2), gloss=0.25))]


def vase(color: Color, random: np.random.Generator) -> list[Part]:
    """Return a vase, 0.13 m across and 0.26 m high, with dry twigs."""
    outline = [(0.04, 0.0), (0.055, 0.02), (0.065, 0.09), (0.05, 0.17), (0.028, 0.22), (0.036, 0.26), (0.031, 0.26)]
    twigs = []
    for _ in range(7):
        angle, out = random.uniform(0, 2 * math.pi), random.uniform(0.04, 0.12)
        s = np.linspace(0, 1, 6)
        path = np.stack([out * s**2 * math.cos(angle), out * s**2 * math.sin(angle), 0.2 + 0.30 * s], -1)
        twigs.append(tube(path, 0.0025, 5))
        twigs.append(ball(0.011, path[-1], 8))
    return [
        Part(joined([turned(outline, 32), disc(0.04, 0.0, 1, 32, up=False)]), ceramic(color)),
        Part(joined(twigs), Material("rind", (0.80, 0.70, 0.55), (0.1, 0.1))),
    ]


def book_pile() -> list[Part]:
    """Return three books on top of each other, 0.24 x 0.17 m, 0.09 m high."""
    parts, height = [], 0.0
    for thickness, turn, color in ((0.035, 4, 1), (0.028, -9, 6), (0.024, 12, 3)):
        book = box((0.24, 0.17, thickness), (0, 0, thickness / 2), 0.003).moved((0, 0, height), turn)
        pages = box((0.232, 0.166, thickness - 0.008), (0.006, -0.004, thickness / 2)).moved((0, 0, height), turn)
        parts.append(Part(book, Material("fabric", BOOK_COLORS[color], (0.2, 0.2))))
        parts.append(Part(pages, Material("paper", (0.92, 0.90, 0.84), (0.2, 0.2))))
        height += thickness
    return parts


def picture(width: float, height: float) -> list[Part]:
    """Return a framed picture that hangs on a wall behind it (+y), centred on its origin."""
    frame = [box((width, 0.025, 0.03), (0, 0, side * (height / 2 - 0.015)), 0.005) for side in (-1, 1)]
    frame += [box((0.03, 0.025, height), (side * (width / 2 - 0.015), 0, 0), 0.005) for side in (-1, 1)]
    canvas = sheet((-width / 2 + 0.02, -0.002, -height / 2 + 0.02), (width - 0.04, 0, 0), (0, 0, height - 0.04))
    print_ = Material("painting", (1, 1, 1), (width - 0.04, -(height - 0.04)), gloss=0.15)
    return [Part(joined(frame), WALNUT), Part(canvas, print_)]


def rug(length: float, width: float) -> list[Part]:
    """Return a patterned rug, 8 mm thick."""
    pile = sheet((-length / 2, -width / 2, 0.008), (length, 0, 0), (0, width, 0))
    return [Part(pile, Material("rug", (1, 1, 1), (length, width)))]


def door() -> list[Part]:
    """Return a closed door with its frame, 0.98 m wide, 2.08 m high, flush with the wall behind it (+y)."""
    frame = [box((0.07, 0.03, 2.08), (side * 0.455, 0, 1.04), 0.005) for side in (-1, 1)]
    frame.append(box((0.98, 0.03, 0.07), (0, 0, 2.045), 0.005))
    leaf_ = [box((0.86, 0.014, 2.01), (0, 0.008, 1.005))]
    leaf_ += [box((0.60, 0.012, h), (0, -0.002, z), 0.005) for z, h in ((0.55, 0.75), (1.45, 0.85))]
    knob = [
        cylinder(0.026, 0.008).moved((0.36, 0, 1.02), 0, (90, 0)),
        box((0.12, 0.018, 0.018), (0.31, -0.05, 1.02), 0.008),
    ]
    knob.append(box((0.016, 0.05, 0.016), (0.36, -0.03, 1.02), 0.005))
    return [Part(joined([*frame, *leaf_]), WHITE_LACQUER), Part(joined(knob), STEEL)]


def window(width: float, height: float) -> list[Part]:
    """Return a window with frame, bar and sill around its centre, flush with the wall behind it (+y)."""
    frame = [box((width + 0.12, 0.06, 0.06), (0, 0, side * (height / 2 + 0.03)), 0.006) for side in (-1, 1)]
    frame += [box((0.06, 0.06, height), (side * (width / 2 + 0.03), 0, 0), 0.006) for side in (-1, 1)]
    frame.append(box((0.05, 0.05, height), (0, 0.0, 0), 0.006))
    sill = box((width + 0.24, 0.17, 0.03), (0, -0.06, -height / 2 - 0.075), 0.008)
    pane = sheet((-width / 2, 0.02, -height / 2), (width, 0, 0), (0, 0, height), 0.4)
    return [
        Part(joined([*frame, sill]), WHITE_LACQUER),
        Part(pane, Material("outside", (1, 1, 1), (7.0, -3.6), emission=1.0, outside=True), casts_shadow=False),
    ]
