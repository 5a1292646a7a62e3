"""Candidates with the errors of a model, made from annotated ones: for evaluation, and for training the fusion.

The true masks of a keyframe are drawn as a segmenter of boxes or points draws them: a little too large or too small
with an uneven outline, shifted where colour and depth do not fit, cut in two, joined with a neighbour, not at all, or
where nothing is. Errors come back as those of models do: an object that is hard to see is missed from most sides, a
cabinet whose doors look like things of their own is cut again and again, a stain on the wall stays a stain. What is
measured of a candidate (sizes, colour, appearance) is measured on the wrong mask.

Every draw depends on the seed, the home (by the names in it), the stamp and the object, never on the order of calls.
Pose errors are not made here: they belong to the recording (``rooms:...?pose_errors=noise``).
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.configuration import parameter
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import transform_points
from lira_ros.reasoning.color import appearance
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Role
from lira_ros.reasoning.knowledge import find_class
from lira_ros.reasoning.measurement import describe_attributes, measure
from lira_ros.reasoning.sightings import MIN_PIXELS


@dataclass(frozen=True)
class ErrorRates:
    """How often and how far candidates are wrong.

    Lengths in the picture are counted in cells of 1/256 of its width, the grid on which SAM's decoder draws masks
    (Kirillov et al., Segment Anything, ICCV 2023): an outline is known to about one of them.

    offset_cells, ripple_cells: standard deviations of how far the outline lies outside or inside, for a whole mask and
    along it. shift_cells: standard deviation, per axis, of the shift of all masks of a picture (colour against depth,
    and the way of the camera between the two). late: share of pictures whose masks were drawn on an earlier one.
    split, merged: share of the sightings of a large object that are cut in two, and of the pairs of touching objects
    that become one. missed_large, missed_small: share missed of objects that fill the picture, and of tiny ones.
    stains: share of square metres of wall and floor that a model takes for a thing. parts: share of sightings of large
    objects in which a part is answered beside the whole. misnamed_object, misnamed_view: share of objects with a wrong
    name in most pictures, and of the other sightings with a wrong one. opinion_noise: standard deviation of score and
    name confidence about what they should be.
    """

    offset_cells: float
    ripple_cells: float
    shift_cells: float
    late: float
    split: float
    merged: float
    missed_large: float
    missed_small: float
    stains: float
    parts: float
    misnamed_object: float
    misnamed_view: float
    opinion_noise: float


# Three levels. Rates are our choice, so that what comes out is like what is published of models; what comes out
# (docs/results.md) is measured by benchmark/candidate_errors.py.
LEVELS: dict[str, ErrorRates] = {
    # A segmenter that is prompted well and knows the classes: outlines to half a cell, one name in twenty wrong. Masks
    # of SAM for boxes of the truth reach a mean IoU near 0.85 to 0.9.
    "light": ErrorRates(
        offset_cells=0.4,
        ripple_cells=0.4,
        shift_cells=0.2,
        late=0.01,
        split=0.02,
        merged=0.01,
        missed_large=0.02,
        missed_small=0.25,
        stains=0.01,
        parts=0.03,
        misnamed_object=0.03,
        misnamed_view=0.03,
        opinion_noise=0.08,
    ),
    # An open-vocabulary detector whose boxes prompt SAM, on small pictures: outlines to one cell of the decoder, a
    # tenth of large objects missed and more than half of those below 32 x 32 of 640 x 480 pixels (detectors find
    # small objects of COCO about half as often as large ones), one name in five wrong, as open vocabularies confuse
    # names that are near (desk and table).
    "middle": ErrorRates(
        offset_cells=0.9,
        ripple_cells=0.8,
        shift_cells=0.5,
        late=0.03,
        split=0.07,
        merged=0.04,
        missed_large=0.08,
        missed_small=0.60,
        stains=0.03,
        parts=0.10,
        misnamed_object=0.08,
        misnamed_view=0.08,
        opinion_noise=0.15,
    ),
    # A model that was made for other pictures: dark or blurred ones, another domain, a moving camera.
    "heavy": ErrorRates(
        offset_cells=1.8,
        ripple_cells=1.5,
        shift_cells=1.0,
        late=0.08,
        split=0.15,
        merged=0.10,
        missed_large=0.20,
        missed_small=0.80,
        stains=0.08,
        parts=0.20,
        misnamed_object=0.20,
        misnamed_view=0.20,
        opinion_noise=0.22,
    ),
}


@dataclass(frozen=True)
class CandidateErrors:
    """Which errors the annotated candidates are given."""

    level: str = parameter(
        "none",
        "Errors that the annotated masks and names are given, as of a model: none, light, middle or heavy. Errors of "
        "the poses belong to the recording (pose_errors=noise)",
        choices=("none", *LEVELS),
    )
    seed: int = parameter(0, "Seed of these errors", minimum=0, maximum=2**32 - 1)


# The grid of the outline: SAM's decoder draws 256 x 256 masks over the longer side.
CELLS_ACROSS = 256
# An outline wavers over about so many cells (our choice: the reach of a patch of 16 pixels of 1024 is 4 cells).
RIPPLE_LENGTH_CELLS = 6.0
# COCO counts objects below 32 x 32 of 640 x 480 pixels as small: there half of what is added for small ones is added.
SMALL_SHARE = 32 * 32 / (640 * 480)
# From here on an object shows parts that could be things (COCO: large is above 96 x 96 pixels).
LARGE_SHARE = 96 * 96 / (640 * 480)
# Depth cameras see less of what is farther than this [m]; detection falls by 1/e in so many metres more.
FAR_M, FAR_DECAY_M = 3.5, 6.0
# How much harder than others an object is from all sides: standard deviation in log-odds of being missed. With 1 an
# object at the 84th percentile of a class that is missed in 20 % is missed in 40 %.
DIFFICULTY = 1.0
# An error that an object invites shows in this share of the pictures of it, and one object in rate / this has it.
HABIT_SHARE = 0.5
# A stain that belongs to the wall shows in HABIT_SHARE of the pictures; a reflection is there once: a square metre has
# one in this share of the rate of stains.
FLEETING_SHARE = 0.1
STAIN_PITCH_M = 1.0
STAIN_RADIUS_M = (0.10, 0.35)
# A mask drawn before is this old, the time that a detector and a segmenter take on a small computer [ns].
LATENESS_NS = 250_000_000
# Two masks touch when they lie side by side along so many cells and their depth differs by less than this share.
TOUCHING_CELLS = 5.0
TOUCHING_DEPTH_RATIO = 0.05
# The smaller of two that were joined is seldom answered beside both.
JOINED_SHOWN_SHARE = 0.3
# A cut leaves at least so much of an object on either side.
CUT_SHARES = (0.3, 0.7)
# Of the two pieces of a cut object both are answered this often, else the larger one alone.
BOTH_PIECES_SHARE = 0.6
# An object with a wrong name has it in this share of the pictures.
MISNAMED_SHARE = 0.8
# A name of the same kind (desk and table are furniture to put things on) is so much likelier than another one.
SAME_KIND_WEIGHT = 6.0
# Confidence of a right and of a wrong name, and score of a mask that fits nothing and of a perfect one, before noise:
# scores of detectors lie in the upper half once a threshold was applied, and tell right from wrong only roughly.
RIGHT_NAME, WRONG_NAME = 0.75, 0.5
SCORE_OF_NOTHING, SCORE_OF_PERFECT = 0.45, 0.85
LOWEST_OPINION = 0.05

# Purposes of the draws: each has numbers of its own.
(_MISS, _MERGE, _SPLIT, _PART, _OUTLINE, _SHIFT, _LATE, _STAIN, _NAME, _OPINION, _CUT) = range(11)
# Cells of stains are counted from here, so that they are never negative: 1000 km of 1 m.
_CELL_ORIGIN = 1_000_000


@dataclass
class _Drawn:
    """A mask on its way: of which object (0 = none), its name, and the (H, W) bool pixels."""

    object_id: int
    label: str
    mask: NDArray[np.bool_]
    own_name: bool = True


class CandidateCorruption:
    """Gives the annotated candidates of keyframes the errors of a level.

    labels: the names of the objects of the home, with repetitions; wrong names are drawn from them. Holds no state:
    the same keyframe gets the same errors whenever it is asked for.
    """

    def __init__(self, errors: CandidateErrors, labels: Sequence[str]) -> None:
        self.errors = errors
        self._rates = LEVELS.get(errors.level)
        self._labels = tuple(sorted({label for label in labels if label}))
        # Objects of other homes have the same ids: without this object 3 would be misnamed in all of them.
        self._home = zlib.crc32("|".join(labels).encode())

    def corrupt(
        self,
        candidates: CandidateSet,
        keyframe: Keyframe,
        earlier_image: Callable[[int], NDArray[np.integer] | None] | None = None,
        measured: bool = True,
    ) -> CandidateSet:
        """Return what a model would have answered instead of the annotated candidates of a keyframe.

        candidates: what ``annotated_candidates`` returned; ids are those of objects. earlier_image: the (H, W) object
        ids of the last picture at or before a stamp [ns], None where there is none; asked for when masks are late, and
        without it none is. measured: whether attributes are measured on the wrong masks, as in
        ``annotated_candidates``. Masks of an object keep its id, others are numbered above all of them. Level none
        returns ``candidates``.
        """
        rates = self._rates
        if rates is None:
            return candidates
        frame = keyframe.frame
        view = _View(keyframe, {item.id: item.mask for item in candidates.candidates})
        drawn = [_Drawn(item.id, item.label, item.mask) for item in candidates.candidates]
        if earlier_image is not None and self._draws(_LATE, frame.stamp_ns).random() < rates.late:
            drawn = _late(drawn, earlier_image(frame.stamp_ns - LATENESS_NS))
        drawn = self._seen(drawn, view, rates)
        drawn = self._joined(drawn, view, rates)
        drawn = self._cut(drawn, view, rates) + self._stains(view, rates)
        shift = self._draws(_SHIFT, frame.stamp_ns).normal(0.0, rates.shift_cells * view.cell_px, 2)
        next_id = max((item.id for item in candidates.candidates), default=0) + 1
        used: set[int] = set()
        made: list[Candidate] = []
        for number, item in enumerate(drawn):
            if not item.mask.any():
                continue  # a stain or a piece beside the picture
            random = self._draws(_OUTLINE, frame.stamp_ns, item.object_id, number)
            mask = _redrawn(item.mask, shift, rates, view.cell_px, random)
            if np.count_nonzero(mask & view.measured) < MIN_PIXELS:
                continue
            identifier = item.object_id if item.object_id and item.object_id not in used else next_id
            next_id += identifier == next_id
            used.add(identifier)
            made.append(self._candidate(identifier, dataclasses.replace(item, mask=mask), view, rates, measured))
        return dataclasses.replace(candidates, candidates=tuple(made))

    def _draws(self, purpose: int, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.errors.seed, self._home, purpose, *key])

    def _shows(self, rate: float, purpose: int, view: _View, *key: int) -> bool:
        """Decide whether an error of a rate shows; some objects invite it, and show it again and again."""
        invited = self._draws(purpose, *key).random() < rate / HABIT_SHARE
        return invited and self._draws(purpose, view.stamp_ns, *key).random() < HABIT_SHARE

    def _seen(self, drawn: list[_Drawn], view: _View, rates: ErrorRates) -> list[_Drawn]:
        """Leave out what is missed: small, far and difficult objects more than others."""
        kept = []
        for item in drawn:
            small = 1.0 / (1.0 + np.count_nonzero(item.mask) / (SMALL_SHARE * item.mask.size))
            found = 1.0 - (rates.missed_large + (rates.missed_small - rates.missed_large) * small)
            found *= math.exp(-max(0.0, view.range_m(item.mask) - FAR_M) / FAR_DECAY_M)
            difficulty = DIFFICULTY * self._draws(_MISS, item.object_id).normal()
            missed = 1.0 / (1.0 + found / max(1.0 - found, 1e-6) * math.exp(-difficulty))
            if self._draws(_MISS, view.stamp_ns, item.object_id).random() >= missed:
                kept.append(item)
        return kept

    def _joined(self, drawn: list[_Drawn], view: _View, rates: ErrorRates) -> list[_Drawn]:
        """Join objects that touch in the picture; the name is that of the larger one."""
        by_id = {item.object_id: item for item in drawn}
        joined: set[int] = set()
        for first, second in view.touching(drawn):
            if joined & {first, second} or not self._shows(rates.merged, _MERGE, view, first, second):
                continue
            joined |= {first, second}
            small, large = sorted((by_id[first], by_id[second]), key=lambda item: int(np.count_nonzero(item.mask)))
            by_id[large.object_id] = dataclasses.replace(large, mask=large.mask | small.mask)
            if self._draws(_MERGE, view.stamp_ns, second, first).random() >= JOINED_SHOWN_SHARE:
                del by_id[small.object_id]
        return list(by_id.values())

    def _cut(self, drawn: list[_Drawn], view: _View, rates: ErrorRates) -> list[_Drawn]:
        """Cut objects in two, and answer parts beside the whole."""
        result: list[_Drawn] = []
        for item in drawn:
            large = min(1.0, np.count_nonzero(item.mask) / (LARGE_SHARE * item.mask.size))
            if self._shows(large * rates.split, _SPLIT, view, item.object_id):
                pieces = sorted(self._pieces(item, view), key=lambda piece: -int(np.count_nonzero(piece.mask)))
                both = self._draws(_CUT, view.stamp_ns, item.object_id).random() < BOTH_PIECES_SHARE
                result += pieces if both else pieces[:1]
                continue
            result.append(item)
            if self._shows(large * rates.parts, _PART, view, item.object_id):
                part = self._pieces(item, view)[0]
                # A drawer is called a drawer: by a name of its own, the same from all sides.
                label = self._another_name(item.label, self._draws(_PART, item.object_id, 0))
                result.append(dataclasses.replace(part, label=label, own_name=False))
        return result

    def _pieces(self, item: _Drawn, view: _View) -> list[_Drawn]:
        """Cut along a plane through the object, which is the same from all sides as far as the same is in sight."""
        random = self._draws(_CUT, item.object_id)
        normal = random.normal(size=3)
        share = random.uniform(*CUT_SHARES)
        points = view.points_of(item.mask)
        # Across what is flat the noise of the depth would cut.
        thinnest = np.linalg.eigh(np.cov(points.T))[1][:, 0]
        along = points @ (normal - (normal @ thinnest) * thinnest)
        beyond = np.zeros_like(item.mask)
        beyond[item.mask] = along > np.quantile(along, share)
        return [dataclasses.replace(item, mask=beyond), dataclasses.replace(item, mask=item.mask & ~beyond)]

    def _stains(self, view: _View, rates: ErrorRates) -> list[_Drawn]:
        """Take pieces of wall and floor for things; most of them stay where they are."""
        found = []
        for cell in view.background_cells():
            key = tuple(int(value) + _CELL_ORIGIN for value in cell)
            place = self._draws(_STAIN, *key)
            share = HABIT_SHARE if place.random() < rates.stains else FLEETING_SHARE * rates.stains
            if self._draws(_STAIN, view.stamp_ns, *key).random() >= share:
                continue
            centre = (cell + place.random(3)) * STAIN_PITCH_M
            mask = view.background_near(centre, place.uniform(*STAIN_RADIUS_M))
            if np.count_nonzero(mask) >= MIN_PIXELS:
                found.append(_Drawn(0, self._another_name("", place), mask))
        return found

    def _another_name(self, label: str, random: np.random.Generator) -> str:
        names = [name for name in self._labels if name != label]
        if not names:
            return label
        weights = np.array([SAME_KIND_WEIGHT if _same_kind(label, name) else 1.0 for name in names])
        return names[int(random.choice(len(names), p=weights / weights.sum()))]

    def _name(self, item: _Drawn, view: _View, rates: ErrorRates) -> tuple[str, bool]:
        """Return the name that is answered and whether it is right."""
        if not item.object_id or not item.own_name:
            return item.label, False
        always = self._draws(_NAME, item.object_id)
        once = self._draws(_NAME, view.stamp_ns, item.object_id)
        if always.random() < rates.misnamed_object and once.random() < MISNAMED_SHARE:
            name = self._another_name(item.label, always)
        elif once.random() < rates.misnamed_view:
            name = self._another_name(item.label, once)
        else:
            name = item.label
        return name, name == item.label

    def _candidate(self, identifier: int, item: _Drawn, view: _View, rates: ErrorRates, measured: bool) -> Candidate:
        frame = view.keyframe.frame
        known = item.mask & view.measured
        colors = frame.color[known]
        attributes = Attributes()
        if measured:
            attributes = measure(view.points[known], colors, view.keyframe.up, view.keyframe.floor_height_m)
        label, right = self._name(item, view, rates)
        noise = self._draws(_OPINION, view.stamp_ns, identifier).normal(0.0, rates.opinion_noise, 2)
        quality = view.quality(item.mask)
        score = SCORE_OF_NOTHING + (SCORE_OF_PERFECT - SCORE_OF_NOTHING) * quality + noise[0]
        confidence = (RIGHT_NAME if right else WRONG_NAME) + noise[1]
        return Candidate(
            id=identifier,
            mask=item.mask,
            label=label,
            label_confidence=float(np.clip(confidence, LOWEST_OPINION, 1.0)),
            score=float(np.clip(score, LOWEST_OPINION, 1.0)),
            role=Role.CONTEXT,
            attributes=attributes,
            reason=describe_attributes(attributes) if measured else "",
            embedding=appearance(colors),
        )


class _View:
    """A keyframe with what is asked of it more than once. truth: the (H, W) bool masks of the objects in it by id."""

    def __init__(self, keyframe: Keyframe, truth: dict[int, NDArray[np.bool_]]) -> None:
        frame = keyframe.frame
        self.keyframe = keyframe
        self.stamp_ns = frame.stamp_ns
        self.cell_px = frame.camera.width_px / CELLS_ACROSS
        self.measured = frame.depth_m > 0
        self.points = transform_points(frame.T_map_camera, frame.camera.unproject(frame.depth_m))
        self._truth = truth
        self._background = self.measured.copy()
        for mask in truth.values():
            self._background &= ~mask

    def range_m(self, mask: NDArray[np.bool_]) -> float:
        """Return the median depth of a mask [m], 0 without depth."""
        depth = self.keyframe.frame.depth_m[mask & self.measured]
        return float(np.median(depth)) if len(depth) else 0.0

    def points_of(self, mask: NDArray[np.bool_]) -> NDArray[np.floating]:
        """Return the (N, 3) map points [m] of all pixels of a mask; pixels without depth lie at that of the others."""
        frame = self.keyframe.frame
        if self.measured[mask].all():
            return self.points[mask]
        depth_m = np.where(self.measured, frame.depth_m, np.float32(self.range_m(mask)))
        rays = frame.camera.unproject(depth_m)[mask]
        return transform_points(frame.T_map_camera, rays)

    def quality(self, mask: NDArray[np.bool_]) -> float:
        """Return the largest IoU of a mask with an object."""
        best = 0.0
        for true in self._truth.values():
            shared = np.count_nonzero(mask & true)
            if shared:
                best = max(best, shared / np.count_nonzero(mask | true))
        return best

    def touching(self, drawn: Sequence[_Drawn]) -> list[tuple[int, int]]:
        """Return the pairs of ids of objects that lie side by side at one depth, the smaller id first."""
        ids = np.zeros(self.measured.shape, dtype=np.int64)
        for item in drawn:
            ids[item.mask] = item.object_id
        depth_m = self.keyframe.frame.depth_m
        step = max(1, round(self.cell_px))
        pairs = []
        for axis in (0, 1):
            one = np.moveaxis(ids, axis, 0)[:-step], np.moveaxis(depth_m, axis, 0)[:-step]
            other = np.moveaxis(ids, axis, 0)[step:], np.moveaxis(depth_m, axis, 0)[step:]
            near = np.abs(one[1] - other[1]) < TOUCHING_DEPTH_RATIO * one[1]
            border = (one[0] != other[0]) & (one[0] > 0) & (other[0] > 0) & near
            pairs.append(np.sort(np.stack([one[0][border], other[0][border]], axis=1), axis=1))
        found, counts = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
        enough = counts >= TOUCHING_CELLS * self.cell_px * step
        return [(int(first), int(second)) for first, second in found[enough]]

    def background_cells(self) -> NDArray[np.int64]:
        """Return the (N, 3) cells of STAIN_PITCH_M in which walls, floor or ceiling are in sight."""
        # Every fourth pixel: a cell that is worth a look has hundreds.
        points = self.points[::4, ::4][self._background[::4, ::4]]
        return np.unique(np.floor(points / STAIN_PITCH_M).astype(np.int64), axis=0)

    def background_near(self, centre: NDArray[np.floating], radius_m: float) -> NDArray[np.bool_]:
        """Return the (H, W) background within a radius of the point of it that is nearest to a place [m]."""
        distance = np.where(self._background, np.linalg.norm(self.points - centre, axis=-1), np.inf)
        nearest = self.points.reshape(-1, 3)[int(np.argmin(distance))]
        mask: NDArray[np.bool_] = self._background & (np.linalg.norm(self.points - nearest, axis=-1) < radius_m)
        return mask


def _late(drawn: list[_Drawn], image: NDArray[np.integer] | None) -> list[_Drawn]:
    """Return the masks of the same objects as an earlier picture shows them, all as they are without one."""
    if image is None:
        return drawn
    earlier = [dataclasses.replace(item, mask=image == item.object_id) for item in drawn]
    return [item for item in earlier if item.mask.any()]


def _redrawn(
    mask: NDArray[np.bool_],
    shift_px: NDArray[np.floating],
    rates: ErrorRates,
    cell_px: float,
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return a (H, W) mask with a shifted, displaced and rippled outline; what is thin may go altogether."""
    offset = random.normal(0.0, rates.offset_cells)
    reach = math.ceil(cell_px * (abs(offset) + 4.0 * rates.ripple_cells) + np.abs(shift_px).max()) + 2
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom = max(0, rows[0] - reach), min(mask.shape[0], rows[-1] + 1 + reach)
    left, right = max(0, columns[0] - reach), min(mask.shape[1], columns[-1] + 1 + reach)
    crop: NDArray[np.uint8] = mask[top:bottom, left:right].astype(np.uint8)
    moved = np.array([[1.0, 0.0, shift_px[0]], [0.0, 1.0, shift_px[1]]])
    size = (crop.shape[1], crop.shape[0])
    # What lies at the border of the picture goes on beyond it.
    crop = np.asarray(
        cv2.warpAffine(crop, moved, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    inside = cv2.distanceTransform(crop, cv2.DIST_L2, cv2.DIST_MASK_5)
    outside = cv2.distanceTransform(1 - crop, cv2.DIST_L2, cv2.DIST_MASK_5)
    pitch = RIPPLE_LENGTH_CELLS * cell_px
    knots = random.normal(size=(math.ceil(size[1] / pitch) + 1, math.ceil(size[0] / pitch) + 1)).astype(np.float32)
    ripple = cv2.resize(knots, size, interpolation=cv2.INTER_CUBIC)
    distance_cells = np.where(crop > 0, inside - 0.5, 0.5 - outside) / cell_px
    result = np.zeros_like(mask)
    result[top:bottom, left:right] = distance_cells + offset + rates.ripple_cells * ripple > 0.0
    return result


def _same_kind(first: str, second: str) -> bool:
    one, other = find_class(first), find_class(second)
    return one is not None and other is not None and (one.name == other.name or bool(one.kinds & other.kinds))
