"""What is known of things in homes and offices: names, uses, affordances and what they measure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.contracts import Attributes
from lira_ros.reasoning.knowledge.classes import TABLE
from lira_ros.reasoning.language.lexicon import singular

# The mass that class_likelihoods gives to "none of the classes that I know".
UNKNOWN = "unknown"
# Sizes leave the range of a class softly: a quarter more or less is one standard deviation (in ln metres).
SIZE_SOFTNESS = 0.22
# Heights are measured against an estimated floor; 6 cm is its usual error plus a voxel [m].
HEIGHT_SOFTNESS_M = 0.06
# Sizes below this are voxel noise and compare as equal [m].
SMALLEST_SIZE_M = 0.02
# The span of sizes that "unknown" spreads over, in ln metres (2 cm to 5 m), and of heights [m].
UNKNOWN_LOG_SPAN = math.log(5.0 / SMALLEST_SIZE_M)
UNKNOWN_HEIGHT_SPAN_M = 2.5
# How common "something else" is beside the listed classes (their priors sum to about 110).
UNKNOWN_PRIOR = 40.0
# Length, width and height of a thing are not independent: their joint density is tempered by this exponent.
TEMPER = 0.6
# A chair or cabinet whose lowest visible point is higher than this stands on nothing [m]; softly.
STANDING_BOTTOM_M, STANDING_SOFTNESS_M = 0.35, 0.12
# What a fulfilled or violated hint is worth; hints are rules of thumb, never proof.
HINT_FACTOR = 2.5
# Tables at which people sit face to face are at most about this many times as long as wide; counters and sideboards
# are longer.
COMPACT_ELONGATION = 3.2
# A thing of one voxel row is hundreds of times as long as wide: beyond this the number says nothing more.
LARGEST_ELONGATION = 20.0
# At this many standard deviations a Gaussian is 0 in double precision.
FAR_OUTSIDE = 40.0
# Furniture stands on the floor: what a surface carries and what begins higher than this lies on furniture [m].
RAISED_BOTTOM_M = 0.25
# Below this likelihood relative to the unknown a class is not named at all.
NEGLIGIBLE = 0.004

# What an affordance is called in a reason.
AFFORDANCE_WORDS: dict[str, str] = {
    "sit": "to sit on",
    "sit_several": "for several people to sit on",
    "lie": "to lie on",
    "put": "to put things on",
    "write_at": "to write at",
}


@dataclass(frozen=True)
class KnownClass:
    """One class: its names, more general kinds, use, affordances and measures [m]."""

    name: str
    synonyms: tuple[str, ...]
    kinds: frozenset[str]
    length_m: tuple[float, float]
    width_m: tuple[float, float]
    height_m: tuple[float, float]
    top_m: tuple[float, float]
    support: str
    hints: frozenset[str]
    prior: float
    affordances: frozenset[str]
    colors: frozenset[str]
    use: str


@cache
def classes() -> dict[str, KnownClass]:
    """Return the known classes by name."""
    table: dict[str, KnownClass] = {}
    for line in TABLE.strip().splitlines():
        fields = [field.strip() for field in line.split("|")]
        names, kinds = _list(fields[0]), _list(fields[1])
        table[names[0]] = KnownClass(
            name=names[0],
            synonyms=names,
            kinds=frozenset(kinds),
            length_m=_range(fields[2]),
            width_m=_range(fields[3]),
            height_m=_range(fields[4]),
            top_m=_range(fields[5]),
            support=fields[6].replace("-", ""),
            hints=frozenset(_list(fields[7])),
            prior=float(fields[8]),
            affordances=frozenset(_list(fields[9])),
            colors=frozenset(_list(fields[10])),
            use=fields[11],
        )
    return table


@cache
def names_of_classes() -> dict[str, KnownClass]:
    """Return the class of every name, synonyms and singular forms included."""
    found: dict[str, KnownClass] = {}
    for known in classes().values():
        for name in known.synonyms:
            found.setdefault(name, known)
            found.setdefault(" ".join([*name.split()[:-1], singular(name.split()[-1])]), known)
    return found


@cache
def kinds() -> frozenset[str]:
    """Return every more general word ("furniture", "container", ...)."""
    return frozenset(kind for known in classes().values() for kind in known.kinds)


@cache
def vocabulary() -> frozenset[str]:
    """Return every single word of names and kinds."""
    return frozenset(word for name in (*names_of_classes(), *kinds()) for word in re.findall(r"[a-z]+", name))


@lru_cache(maxsize=4096)
def core_noun(label: str) -> str:
    """Return the noun phrase of a label without what follows it: "red crate with plastic bag" -> "red crate"."""
    text = re.split(r"[(\[,;:/]", label.lower())[0]
    text = re.split(r"\b(?:with|next|beside|near|on|under|in|from|that|which|at|behind|between|by|for)\b", text)[0]
    words = re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*", text)
    if "of" in words[1:]:
        words = words[: words.index("of")]
    return " ".join([*words[:-1], singular(words[-1])]) if words else ""


@lru_cache(maxsize=4096)
def find_class(label: str) -> KnownClass | None:
    """Return the class that a label or noun phrase names by its last words, or None.

    "fruit basket (yellow fruit)" is a fruit basket, "red crate" a crate, "foosball table" a foosball table.
    """
    whole = label.lower().strip()
    if whole in names_of_classes():
        return names_of_classes()[whole]
    words = core_noun(label).split()
    for start in range(len(words)):
        known = names_of_classes().get(" ".join(words[start:]))
        if known is not None:
            return known
    return None


def class_likelihoods(attributes: Attributes, *, partial: bool = False) -> dict[str, float]:
    """Return how likely each class is from measures alone; sums to 1 with the key "unknown".

    Each range is a soft box in ln metres, so that a narrow range that holds is worth more than a wide one.
    ``partial``: only a part may have been seen, sizes are lower bounds. Nothing measured: {"unknown": 1.0}.
    """
    if not any(math.isfinite(value) for value in attributes.size_m):
        return {UNKNOWN: 1.0}
    columns = _columns()
    density = np.ones(len(columns.names))
    unknown = 1.0
    for axis, value in enumerate(attributes.size_m):
        if math.isfinite(value):
            low, high = columns.log_low[axis], columns.log_high[axis]
            at = np.full(len(low), math.log(max(value, SMALLEST_SIZE_M)))
            if partial:
                at = np.maximum(at, low)
            outside = np.maximum(np.maximum(low - at, at - high), 0.0)
            density *= np.exp(-0.5 * (outside / SIZE_SOFTNESS) ** 2) / (high - low + 2.0 * SIZE_SOFTNESS)
            unknown /= UNKNOWN_LOG_SPAN
    top, bottom = attributes.top_height_m, attributes.bottom_height_m
    if math.isfinite(top):
        outside = np.maximum(np.maximum(columns.top_low - top, top - columns.top_high), 0.0)
        density *= np.exp(-0.5 * (outside / HEIGHT_SOFTNESS_M) ** 2)
        density /= np.maximum(columns.top_high - columns.top_low, 0.1)
        unknown /= UNKNOWN_HEIGHT_SPAN_M
    density, unknown = density**TEMPER, unknown**TEMPER
    if math.isfinite(bottom) and not partial:
        # Only tables, seen from above, may lack what is below their top.
        hanging = max(0.0, bottom - STANDING_BOTTOM_M)
        density *= np.where(columns.standing, math.exp(-0.5 * (hanging / STANDING_SOFTNESS_M) ** 2), 1.0)
    factors = [_hints(known, attributes) for known in classes().values()]
    weights = columns.prior * density * np.array(factors)
    total = float(weights.sum()) + UNKNOWN_PRIOR * unknown
    if total <= 0.0 or not math.isfinite(total):
        return {UNKNOWN: 1.0}
    kept = {
        name: float(weight) for name, weight in zip(columns.names, weights, strict=True) if weight >= NEGLIGIBLE * total
    }
    kept[UNKNOWN] = UNKNOWN_PRIOR * unknown
    scale = sum(kept.values())
    return {name: weight / scale for name, weight in sorted(kept.items(), key=lambda item: (-item[1], item[0]))}


def size_fit(known: KnownClass, attributes: Attributes) -> float:
    """Return in [0, 1] how well measured sizes and height fit a class, whatever else they fit."""
    fit = 1.0
    for value, (low, high) in zip(attributes.size_m, (known.length_m, known.width_m, known.height_m), strict=True):
        if math.isfinite(value):
            at, low, high = (math.log(max(length, SMALLEST_SIZE_M)) for length in (value, low, high))
            fit *= _soft_range(at, low, high, SIZE_SOFTNESS)
    if math.isfinite(attributes.top_height_m):
        fit *= _soft_range(attributes.top_height_m, *known.top_m, HEIGHT_SOFTNESS_M)
    if known.support and attributes.supported_by and known.support != attributes.supported_by:
        fit /= HINT_FACTOR
    return fit


@dataclass(frozen=True)
class _Columns:
    """The table of classes by column, each (number of classes,) but for the sizes with three rows."""

    names: tuple[str, ...]
    prior: NDArray[np.float64]
    log_low: NDArray[np.float64]
    log_high: NDArray[np.float64]
    top_low: NDArray[np.float64]
    top_high: NDArray[np.float64]
    standing: NDArray[np.bool_]


@cache
def _columns() -> _Columns:
    table = tuple(classes().values())
    ranges = np.array([[known.length_m, known.width_m, known.height_m] for known in table])
    logs = np.log(np.maximum(ranges, SMALLEST_SIZE_M))
    return _Columns(
        names=tuple(known.name for known in table),
        prior=np.array([known.prior for known in table]),
        log_low=logs[:, :, 0].T,
        log_high=logs[:, :, 1].T,
        top_low=np.array([known.top_m[0] for known in table]),
        top_high=np.array([known.top_m[1] for known in table]),
        standing=np.array([known.support == "floor" and "level" not in known.hints for known in table]),
    )


def affordance_likelihoods(attributes: Attributes) -> dict[str, float]:
    """Return what a thing may be used for by its measures alone, in [0, 1], whatever its class.

    Seat heights 0.35 to 0.55 m and table heights 0.65 to 0.80 m are those of furniture standards (EN 1335, EN 527);
    a person needs about 0.55 m of a bench and 1.7 m to lie down.
    """
    length, width, _ = attributes.size_m
    top, bottom = attributes.top_height_m, attributes.bottom_height_m
    if not (math.isfinite(length) and math.isfinite(width) and math.isfinite(top)):
        return {}
    level = _level_share(attributes)
    # What lies on furniture or hangs at a wall is no furniture itself.
    raised = attributes.supported_by == "surface" and (top > 0.9 or bottom > RAISED_BOTTOM_M)
    stands = attributes.supported_by != "wall" and not raised
    low_seat = level * _soft_range(top, 0.33, 0.56, HEIGHT_SOFTNESS_M)
    # With a back the top is higher and most of the surface is not level.
    backed = (1.0 - 0.7 * level) * _soft_range(top, 0.68, 1.15, HEIGHT_SOFTNESS_M)
    backed *= _soft_range(bottom if math.isfinite(bottom) else 0.1, -0.2, 0.4, 0.1)
    backed *= _soft_range(width, 0.42, 1.2, 0.06)
    # One upright plane is a panel, the front of a cabinet or a wall: a seat has a part to sit on.
    backed *= _soft_range(_upright_share(attributes), 0.0, 0.45, 0.1)
    seat = max(_soft_range(width, 0.3, 1.2, 0.06) * low_seat, 0.85 * backed) * (1.0 if stands else 0.1)
    broad = _soft_range(length, 0.33, 3.6, 0.06)
    surface = level * _soft_range(top, 0.3, 1.3, 0.1) * _soft_range(length, 0.35, 9.0, 0.06)
    surface *= _soft_range(width, 0.25, 9.0, 0.05)
    found = {
        "sit": seat * broad,
        "sit_several": seat * _soft_range(length, 1.15, 4.0, 0.1),
        "lie": seat * _soft_range(length, 1.6, 3.6, 0.12) * _soft_range(width, 0.55, 2.4, 0.06),
        "put": surface,
        "write_at": surface * _soft_range(top, 0.64, 0.82, 0.05) * _soft_range(length, 0.6, 9.0, 0.08),
    }
    found["sleep"] = 0.8 * found["lie"]
    found["work_at"] = found["write_at"]
    found["eat_at"] = found["write_at"]
    return {name: value for name, value in found.items() if value > 0.05}


def _hints(known: KnownClass, attributes: Attributes) -> float:
    """Return the factor of what is typical of a class: what it stands on, its colours, its shape."""
    factor = 1.0
    if known.support and attributes.supported_by:
        factor *= HINT_FACTOR if known.support == attributes.supported_by else 1.0 / HINT_FACTOR**2
    if known.colors and attributes.color:
        factor *= 1.4 if attributes.color in known.colors else 0.7
    return factor * _shape_hints(known.hints, attributes)


def _shape_hints(hints: frozenset[str], attributes: Attributes) -> float:
    factor = 1.0
    level = _level_share(attributes)
    if math.isfinite(level):
        if "level" in hints:
            factor *= HINT_FACTOR ** (4.0 * level - 2.2)
        elif "bumpy" in hints or "upright" in hints:
            factor *= HINT_FACTOR ** (1.2 - 3.0 * level)
    if math.isfinite(attributes.flatness) and math.isfinite(attributes.horizontality):
        upright = _upright_share(attributes)
        if "upright" in hints:
            factor *= HINT_FACTOR ** (2.0 * upright - 0.8)
        elif "bumpy" in hints and attributes.flatness > 0.85:
            factor /= HINT_FACTOR
    if "compact" in hints and attributes.elongation > COMPACT_ELONGATION:
        elongation = min(attributes.elongation, LARGEST_ELONGATION)
        factor /= HINT_FACTOR ** (2.0 * elongation / COMPACT_ELONGATION)
    if "round" in hints and math.isfinite(attributes.roundness):
        factor *= HINT_FACTOR ** (1.0 if attributes.roundness > 0.75 else -0.5)
    return factor


def _soft_range(value: float, low: float, high: float, softness: float) -> float:
    """Return 1 inside a range and a Gaussian flank outside it."""
    outside = max(low - value, value - high, 0.0)
    return math.exp(-0.5 * min(outside / softness, FAR_OUTSIDE) ** 2)


def _level_share(attributes: Attributes) -> float:
    """Return the share of the surface that is one level plane, NaN when it was not measured."""
    if attributes.horizontality < 0.9:
        return 0.0
    return attributes.flatness


def _upright_share(attributes: Attributes) -> float:
    """Return the share of the surface that is one upright plane, 0 when it was not measured."""
    upright = attributes.flatness * (1.0 - attributes.horizontality)
    return upright if math.isfinite(upright) else 0.0


def _list(field: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in field.split(",") if item.strip() not in {"", "-"})


def _range(field: str) -> tuple[float, float]:
    match = re.fullmatch(r"(-?[\d.]+)-(-?[\d.]+)", field)
    if match is None:
        raise ValueError(f"not a range: {field!r}")
    return float(match[1]), float(match[2])
