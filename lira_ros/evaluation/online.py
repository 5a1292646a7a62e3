"""How good an answer was while the robot was still looking: curves over time, delays, changes of identity, duplicates.

Everything is computed from moments: what was published at some times, compared with the truth of the whole scene
(lira_ros.evaluation.pair). Whoever passes the moments of one instruction scores its answer; whoever passes those of
compare_scene() scores the whole map.

Sources: the area under a curve over time is that of anytime algorithms (Zilberstein, "Using Anytime Algorithms in
Intelligent Systems", AI Magazine 17(3), 1996); switches of identity as in CLEAR MOT (Bernardin and Stiefelhagen,
EURASIP Journal on Image and Video Processing, 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_ros.evaluation.pair import PairComparison, Union
from lira_ros.evaluation.point_segmentation import pair_iou
from lira_ros.evaluation.strict_protocol import Counts, count_matches, matched, pair_values

# F1 and identities at the loose threshold of the benchmarks: while an object is half seen, no mask is better.
ONLINE_IOU = 0.25
# An object counts as seen from this many pixels on: LIRA lifts no mask with fewer valid pixels (specification, 11).
FIRST_SIGHT_PIXELS = 50
# An instance belongs to the object that holds more than this share of its vertices; no two objects can.
BELONGING_SHARE = 0.5


@dataclass(frozen=True)
class Moment:
    """What was published from a time on, in seconds of the recording, until the next moment."""

    time_s: float
    pair: PairComparison


class FirstSight:
    """Note when every object was in the picture for the first time."""

    def __init__(self, minimum_px: int = FIRST_SIGHT_PIXELS) -> None:
        self._minimum_px = minimum_px
        self.times_s: dict[int, float] = {}

    def add(self, time_s: float, instance_image: NDArray[np.uint16] | None) -> None:
        """Look at the (H, W) object ids of one frame, frames in order of time; None changes nothing."""
        if instance_image is None:
            return
        ids, counts = np.unique(instance_image, return_counts=True)
        for object_id in ids[counts >= self._minimum_px].tolist():
            if object_id and object_id not in self.times_s:
                self.times_s[object_id] = time_s


def f1(pair: PairComparison) -> float:
    """Return the strict F1 of a pair at IoU 0.25."""
    return count_matches(pair, ONLINE_IOU).f1


def _before(pair: PairComparison) -> PairComparison:
    return replace(pair, predictions=(), official_union=Union(0, 0), strict_union=Union(0, 0))


def curve(
    moments: Sequence[Moment], value: Callable[[PairComparison], float] = f1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the (N,) times [s] and values of a score that holds from each of them until the next.

    Raises ValueError when the times do not grow.
    """
    times = np.array([moment.time_s for moment in moments], dtype=np.float64)
    if (np.diff(times) < 0).any():
        raise ValueError("moments: expected growing times")
    return times, np.array([value(moment.pair) for moment in moments], dtype=np.float64)


def area_under_curve(
    times_s: NDArray[np.floating], values: NDArray[np.floating], start_s: float, end_s: float, before: float = 0.0
) -> float:
    """Return the mean over [start_s, end_s] of a value that holds from each time until the next.

    before: the value until the first time. Raises ValueError when the end is not after the start.
    """
    if not end_s > start_s:
        raise ValueError(f"end_s: expected more than start_s, {start_s}, got {end_s}")
    edges = np.clip(np.concatenate([[start_s], times_s, [end_s]]), start_s, end_s)
    return float(np.diff(edges) @ np.concatenate([[before], values]) / (end_s - start_s))


def area_of_first_sight(
    targets: Sequence[int], first_seen_s: Mapping[int, float], start_s: float, end_s: float
) -> float:
    """Return the area under F1 of an answer that has every target from its first sight on: nobody can have more.

    Targets that were never seen stay missed.
    """
    times = sorted(first_seen_s[i] for i in targets if i in first_seen_s)
    values = [Counts(found, 0, len(targets) - found).f1 for found in range(1, len(times) + 1)]
    return area_under_curve(np.array(times), np.array(values), start_s, end_s, Counts(0, 0, len(targets)).f1)


def belonging(pair: PairComparison) -> dict[int, int]:
    """Return, by instance, the object that it belongs to; instances that mostly lie on none or several are left out."""
    result: dict[int, int] = {}
    for prediction in pair.predictions:
        for object_id, shared in prediction.strict.on_objects.items():
            if shared > BELONGING_SHARE * prediction.strict.vertices:
                result[prediction.id] = object_id
    return result


def duplicates(pair: PairComparison) -> int:
    """Return how many instances are too many: every one beyond the first that belongs to the same object."""
    owners = list(belonging(pair).values())
    return len(owners) - len(set(owners))


def delays_s(
    moments: Sequence[Moment], first_seen_s: Mapping[int, float], given_s: float = 0.0
) -> dict[int, float | None]:
    """Return, by target that was seen, the time [s] from its first sight until an instance of it was published.

    An instruction that is given later starts the clock for what was seen before. None: no instance of the target was
    ever published. 0 for a target that was published before it counted as seen.
    """
    if not moments:
        return {}
    published: dict[int, float] = {}
    for moment in moments:
        for object_id in belonging(moment.pair).values():
            published.setdefault(object_id, moment.time_s)
    return {
        i: max(0.0, published[i] - max(first_seen_s[i], given_s)) if i in published else None
        for i in moments[-1].pair.targets
        if i in first_seen_s
    }


@dataclass(frozen=True)
class Identities:
    """How instances kept to their targets over the moments of one answer, or of a whole map.

    found: targets that had an instance at some moment. again: how often, over all moments, a target had an instance
    after it had had one at an earlier moment. switches: how many of those times it was another one than the last.
    """

    found: int
    again: int
    switches: int


def identities(moments: Sequence[Moment]) -> Identities:
    """Count how often a target went on under another id of an instance, also after a time without any.

    A target keeps its instance as long as their IoU stays above 0.25; otherwise the best assignment of the rest
    decides.
    """
    current: dict[int, int] = {}
    last: dict[int, int] = {}
    switches = again = 0
    for moment in moments:
        pair = moment.pair
        iou = pair.ious("strict")
        rows = {prediction.id: row for row, prediction in enumerate(pair.predictions)}
        columns = {target: column for column, target in enumerate(pair.targets)}
        kept = {
            target: instance
            for target, instance in current.items()
            if target in columns and instance in rows and iou[rows[instance], columns[target]] > ONLINE_IOU
        }
        free = iou.copy()
        free[[rows[instance] for instance in kept.values()], :] = 0.0
        free[:, [columns[target] for target in kept]] = 0.0
        new = {pair.targets[c]: pair.predictions[r].id for r, c in matched(free, ONLINE_IOU)}
        switches += sum(last.get(target, instance) != instance for target, instance in new.items())
        current = {**kept, **new}
        again += sum(target in last for target in current)
        last.update(current)
    return Identities(len(last), again, switches)


@dataclass(frozen=True)
class MapHistory:
    """How the instances of a whole map kept to the objects of the scene. seen: ids of the objects that were in sight.

    identities: over the moments at which the map was looked at.
    """

    seen: tuple[int, ...]
    identities: Identities

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the inverse of from_dict()."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> MapHistory:
        """Build from what to_dict() returned."""
        return MapHistory(tuple(int(i) for i in values["seen"]), Identities(**values["identities"]))


@dataclass(frozen=True)
class OnlineScores:
    """Online quality of one answer, or of a whole map.

    area_f1: mean of the strict F1 at IoU 0.25 from the start to the end. area_first_sight: what an answer that has
    every target from its first sight on would have. delays_s: by target that was seen, None if it never came. areas:
    the mean over the same time of every strict score, by the names of strict_protocol.pair_values(), and of the IoU
    over points as "iou".
    """

    area_f1: float
    area_first_sight: float
    delays_s: dict[int, float | None]
    identity_switches: int
    duplicates_at_end: int
    areas: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the inverse of from_dict()."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> OnlineScores:
        """Build from what to_dict() returned, also after JSON made strings of the ids."""
        return OnlineScores(**{**values, "delays_s": {int(k): v for k, v in values["delays_s"].items()}})


def online_scores(
    moments: Sequence[Moment], first_seen_s: Mapping[int, float], given_s: float, end_s: float
) -> OnlineScores:
    """Score an answer from the time at which its instruction was given to the end of the recording.

    moments: at least one, all of one instruction, in order of time. Raises ValueError without any.
    """
    if not moments:
        raise ValueError("moments: expected at least one, for the targets")
    last = moments[-1].pair
    times, _ = curve(moments)
    before = _values(_before(last))
    table = [_values(moment.pair) for moment in moments]
    areas = {
        name: area_under_curve(times, np.array([values[name] for values in table]), given_s, end_s, before[name])
        for name in before
    }
    return OnlineScores(
        areas[f"f1@{ONLINE_IOU}"],
        area_of_first_sight(last.targets, first_seen_s, given_s, end_s),
        delays_s(moments, first_seen_s, given_s),
        identities(moments).switches,
        duplicates(last),
        areas,
    )


def _values(pair: PairComparison) -> dict[str, float]:
    return {**pair_values(pair), "iou": pair_iou(pair)}
