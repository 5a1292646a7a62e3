"""The generated room: what stands where, as one mesh with object ids; the same seed gives the same room."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.datasets.rooms import furniture
from lira_ros.datasets.rooms.furniture import Color, Material, Part
from lira_ros.datasets.rooms.shapes import box, joined, sheet

DEFAULT_SEED = 0
# Inner size of the room [m]; the map origin is the middle of the floor.
LENGTH_X_M, LENGTH_Y_M, HEIGHT_M = 5.0, 4.0, 2.6
WINDOW_CENTER = (0.25, LENGTH_Y_M / 2, 1.52)
WINDOW_SIZE = (1.7, 1.25)
LAMP_BULB = (-2.18, 1.62, 1.40)


@dataclass(frozen=True)
class RoomObject:
    """One object of the room. id: value in instance images, from 1 on. position: of its origin [m] in the map.

    color: name of its main colour as a person would say it. supported_by: "floor", "wall" or the label of
    what it stands on.
    """

    id: int
    label: str
    color: str
    supported_by: str
    position: tuple[float, float, float]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class RoomMesh:
    """All surfaces of a room as one mesh.

    vertices (V, 3), normals (V, 3), uv (V, 2) [m]; triangles (T, 3); object_ids (T,), 0 for floor, walls and
    ceiling; material_ids (T,) into ``materials``; casts_shadow (T,).
    """

    vertices: NDArray[np.float64]
    normals: NDArray[np.float32]
    uv: NDArray[np.float32]
    triangles: NDArray[np.int32]
    object_ids: NDArray[np.uint16]
    material_ids: NDArray[np.int16]
    casts_shadow: NDArray[np.bool_]
    materials: tuple[Material, ...]


_NAMED_COLORS: dict[str, Color] = {
    "blue": (0.20, 0.36, 0.62),
    "dark blue": (0.14, 0.20, 0.38),
    "green": (0.22, 0.46, 0.28),
    "gray": (0.46, 0.47, 0.49),
    "yellow": (0.88, 0.70, 0.20),
    "orange": (0.92, 0.45, 0.12),
    "red": (0.75, 0.11, 0.10),
    "white": (0.95, 0.95, 0.93),
    "purple": (0.42, 0.22, 0.50),
    "turquoise": (0.16, 0.52, 0.55),
}


class Room:
    """A furnished room of 5 x 4 x 2.6 m. The seed moves and recolours things a little, seed 0 is the demo."""

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self.seed = seed
        self._random = np.random.default_rng([seed, 77])
        self.objects = self._furnish()
        self.mesh = self._assemble()

    def find(self, label: str, color: str = "") -> RoomObject:
        """Return the first object of a label and, if given, colour. Raises KeyError with what there is."""
        for item in self.objects:
            if item.label == label and color in ("", item.color):
                return item
        raise KeyError(f"no {color} {label} in the room; there are {', '.join(i.label for i in self.objects)}")

    def _pick(self, *names: str) -> str:
        # The room of the demo is the one that was looked at; other seeds draw.
        return names[0] if self.seed == DEFAULT_SEED else str(self._random.choice(names))

    def _shift(self, amount: float) -> float:
        return 0.0 if self.seed == DEFAULT_SEED else float(self._random.uniform(-amount, amount))

    def _furnish(self) -> tuple[RoomObject, ...]:
        random = self._random
        items: list[RoomObject] = []

        def add(
            label: str,
            color: str,
            parts: list[Part],
            position: tuple[float, float, float],
            yaw_deg: float = 0.0,
            on: str = "floor",
        ) -> None:
            moved = tuple(Part(p.shape.moved(position, yaw_deg), p.material, p.casts_shadow) for p in parts)
            items.append(RoomObject(len(items) + 1, label, color, on, position, moved))

        named = _NAMED_COLORS
        sofa_color = self._pick("gray", "turquoise", "dark blue")
        seat_colors = ("blue", "white") if self._pick("first", "second") == "first" else ("white", "blue")
        armchair_color = self._pick("green", "purple", "turquoise")
        mug_color = "red"
        sofa_y = 0.10 + self._shift(0.12)
        table = (0.95 + self._shift(0.08), -1.12 + self._shift(0.05))
        coffee = (-0.83 + self._shift(0.06), 0.22 + self._shift(0.15))
        board_y = -0.42 + self._shift(0.08)
        add("sofa", sofa_color, furniture.sofa(named[sofa_color]), (-2.03, sofa_y, 0), 90)
        add("armchair", armchair_color, furniture.armchair(named[armchair_color]), (0.22, 1.42, 0), self._shift(15) - 8)
        add("dining table", "brown", furniture.dining_table(), (*table, 0), 0)
        add(
            "chair",
            seat_colors[0],
            furniture.chair(named[seat_colors[0]]),
            (table[0] - 0.35, table[1] + 0.62, 0),
            -6 + self._shift(12),
        )
        add(
            "chair",
            seat_colors[1],
            furniture.chair(named[seat_colors[1]]),
            (table[0] - 1.0, table[1] - 0.05, 0),
            97 + self._shift(12),
        )
        add("round table", "white", furniture.round_table(), (*coffee, 0), self._shift(60))
        add("sideboard", "white", furniture.sideboard(), (2.27, board_y, 0), -90)
        add("bookshelf", "brown", furniture.bookshelf(random), (2.34, 1.28 + self._shift(0.1), 0), -90)
        add("floor lamp", "white", furniture.floor_lamp(), (LAMP_BULB[0], LAMP_BULB[1], 0))
        add("potted plant", "green", furniture.potted_plant(random), (1.38, 1.54, 0), self._shift(90))
        top = 0.74
        add(
            "mug",
            mug_color,
            furniture.mug(named[mug_color]),
            (table[0] - 0.38 + self._shift(0.06), table[1] + 0.10 + self._shift(0.08), top),
            200 + self._shift(60),
            "dining table",
        )
        add(
            "fruit bowl",
            "brown",
            furniture.fruit_bowl(),
            (table[0] + 0.05 + self._shift(0.05), table[1] - 0.02, top),
            self._shift(90),
            "dining table",
        )
        add(
            "laptop",
            "gray",
            furniture.laptop(),
            (table[0] + 0.46 + self._shift(0.04), table[1] - 0.10, top),
            168 + self._shift(20),
            "dining table",
        )
        add(
            "cup", "white", furniture.cup(named["white"]), (coffee[0] - 0.14, coffee[1] + 0.15, 0.46), 60, "round table"
        )
        add("books", "blue", furniture.book_pile(), (coffee[0] + 0.12, coffee[1] - 0.12, 0.46), 25, "round table")
        cupboard = 0.85
        add(
            "paper towels",
            "white",
            furniture.paper_towels(),
            (2.24, board_y - 0.52 + self._shift(0.05), cupboard),
            0,
            "sideboard",
        )
        add("box", "blue", furniture.storage_box(named["blue"]), (2.27, board_y - 0.05, cupboard), -84, "sideboard")
        add(
            "vase",
            "turquoise",
            furniture.vase(named["turquoise"], random),
            (2.27, board_y + 0.50, cupboard),
            0,
            "sideboard",
        )
        cushion_color = self._pick("yellow", "orange")
        add(
            "cushion", cushion_color, furniture.cushion(named[cushion_color]), (-1.94, sofa_y + 0.50, 0.415), 96, "sofa"
        )
        pack_color = "dark blue" if sofa_color != "dark blue" else "green"
        add("backpack", pack_color, furniture.backpack(named[pack_color]), (-1.83, -1.22 + self._shift(0.05), 0), 118)
        add("waste bin", "gray", furniture.waste_bin((0.20, 0.21, 0.23)), (2.25, 0.58, 0))
        add(
            "ball", "orange", furniture.toy_ball(named["orange"]), (-0.62 + self._shift(0.2), -1.62, 0), self._shift(90)
        )
        add("box", "brown", furniture.carton(), (-2.22, -1.76, 0), 7 + self._shift(5))
        add("rug", "red", furniture.rug(2.3, 1.6), (-0.80, 0.22, 0), 90)
        add("picture", "orange", furniture.picture(0.9, 0.62), (-LENGTH_X_M / 2 + 0.014, sofa_y, 1.52), 90, "wall")
        add("picture", "orange", furniture.picture(0.6, 0.8), (0.95, -LENGTH_Y_M / 2 + 0.014, 1.55), 180, "wall")
        add("door", "white", furniture.door(), (-1.25, -LENGTH_Y_M / 2 + 0.016, 0), 180, "wall")
        add(
            "window",
            "white",
            furniture.window(*WINDOW_SIZE),
            (WINDOW_CENTER[0], WINDOW_CENTER[1] - 0.03, WINDOW_CENTER[2]),
            0,
            "wall",
        )
        return tuple(items)

    def _shell(self) -> list[Part]:
        x, y, z = LENGTH_X_M / 2, LENGTH_Y_M / 2, HEIGHT_M
        paint = Material("plain", (0.90, 0.88, 0.83), (0.8, 0.8))
        accent = Material("wallpaper", (0.70, 0.77, 0.76), (0.55, 0.55))
        floor = sheet((-x, -y, 0), (2 * x, 0, 0), (0, 2 * y, 0))
        ceiling = sheet((-x, y, z), (2 * x, 0, 0), (0, -2 * y, 0), 0.2)
        others = [
            sheet((-x, y, 0), (2 * x, 0, 0), (0, 0, z)),
            sheet((x, -y, 0), (-2 * x, 0, 0), (0, 0, z)),
            sheet((x, y, 0), (0, -2 * y, 0), (0, 0, z)),
        ]
        skirting = [
            box((2 * x, 0.014, 0.08), (0, y - 0.007, 0.04)),
            box((0.014, 2 * y, 0.08), (x - 0.007, 0, 0.04)),
            box((0.014, 2 * y, 0.08), (-x + 0.007, 0, 0.04)),
            box((0.76, 0.014, 0.08), (-x + 0.38, -y + 0.007, 0.04)),
            box((3.26, 0.014, 0.08), (x - 1.63, -y + 0.007, 0.04)),
        ]
        return [
            Part(floor, Material("planks", (0.66, 0.50, 0.35), (1.12, 1.12), gloss=0.45), casts_shadow=False),
            Part(ceiling, Material("plain", (0.95, 0.95, 0.94), (1.0, 1.0)), casts_shadow=False),
            Part(joined(others), paint, casts_shadow=False),
            Part(sheet((-x, -y, 0), (0, 2 * y, 0), (0, 0, z)), accent, casts_shadow=False),
            Part(joined(skirting), furniture.WHITE_LACQUER, casts_shadow=False),
        ]

    def _assemble(self) -> RoomMesh:
        owned = [(0, part) for part in self._shell()]
        owned += [(item.id, part) for item in self.objects for part in item.parts]
        materials = tuple(dict.fromkeys(part.material for _, part in owned))
        counts = [len(part.shape.triangles) for _, part in owned]
        whole = joined([part.shape for _, part in owned])
        return RoomMesh(
            np.ascontiguousarray(whole.vertices),
            whole.normals.astype(np.float32),
            whole.uv.astype(np.float32),
            whole.triangles,
            np.repeat([identity for identity, _ in owned], counts).astype(np.uint16),
            np.repeat([materials.index(part.material) for _, part in owned], counts).astype(np.int16),
            np.repeat([part.casts_shadow for _, part in owned], counts),
            materials,
        )


def surface_samples(
    room: Room, identity: int, spacing_m: float = 0.015
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N, 3) points and normals spread evenly over an object, about one in ``spacing_m`` squared."""
    mesh = room.mesh
    triangles = mesh.triangles[mesh.object_ids == identity]
    corners = mesh.vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1) / 2
    random = np.random.default_rng([room.seed, identity])
    count = max(64, math.ceil(areas.sum() / spacing_m**2))
    chosen = random.choice(len(triangles), size=count, p=areas / areas.sum())
    u, v = random.random((2, count))
    over = u + v > 1
    u[over], v[over] = 1 - u[over], 1 - v[over]
    weights = np.stack([1 - u - v, u, v], axis=-1)
    points = np.einsum("nk,nkd->nd", weights, corners[chosen])
    smooth = np.einsum("nk,nkd->nd", weights, mesh.normals[triangles[chosen]].astype(np.float64))
    return points, smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-9)
