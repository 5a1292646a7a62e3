"""Measure what the levels of simulated candidate errors do to the masks and names of keyframes.

Usage: python benchmark/candidate_errors.py [--seeds 1-4] [--stride 3]

Homes are those of the train split, 320 pixels wide at 3 Hz, every n-th frame. A candidate is on an object when its IoU
with it is at least 0.25; an object is missed when no candidate is on it, and a candidate is false when it is on none.
Small objects are those below 32 x 32 of 640 x 480 pixels (COCO). AUC: how often the score of a mask with an IoU of 0.5
or more is above that of another mask, and the confidence of a right name above that of a wrong one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lira_ros.datasets.rooms.sequence import RoomSequence
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.mask import intersection_over_union
from lira_ros.reasoning.candidate_errors import LEVELS, SMALL_SHARE, CandidateCorruption, CandidateErrors
from lira_ros.reasoning.contracts import CandidateSet
from lira_ros.reasoning.oracle import annotated_candidates

ON_OBJECT_IOU = 0.25
GOOD_IOU = 0.5
UP = np.array([0.0, 0.0, 1.0])


@dataclass
class Tally:
    """What one level did, over all keyframes."""

    overlaps: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    missed: list[bool] = field(default_factory=list)
    small: list[bool] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, true: CandidateSet, answer: CandidateSet, seconds: float) -> None:
        """Compare the answer about one keyframe with the truth."""
        self.seconds.append(seconds)
        best = [0.0] * len(true.candidates)
        for item in answer.candidates:
            overlaps = [intersection_over_union(item.mask, other.mask) for other in true.candidates]
            place = int(np.argmax(overlaps)) if overlaps else -1
            overlap = overlaps[place] if overlaps else 0.0
            self.overlaps.append(overlap)
            self.scores.append(item.score)
            if overlap >= ON_OBJECT_IOU:
                best[place] = max(best[place], overlap)
                self.named.append(item.label == true.candidates[place].label)
                self.confidences.append(item.label_confidence)
        for item, overlap in zip(true.candidates, best, strict=True):
            self.missed.append(overlap < ON_OBJECT_IOU)
            self.small.append(np.count_nonzero(item.mask) < SMALL_SHARE * item.mask.size)

    def row(self) -> list[str]:
        """Return the figures as cells."""
        overlaps, scores = np.array(self.overlaps), np.array(self.scores)
        named, missed, small = np.array(self.named), np.array(self.missed), np.array(self.small)
        on_object = overlaps[overlaps >= ON_OBJECT_IOU]
        good = overlaps >= GOOD_IOU
        return [
            f"{on_object.mean():.3f} ({np.median(on_object):.3f})",
            f"{100 * missed.mean():.1f} ({100 * missed[small].mean():.0f} / {100 * missed[~small].mean():.0f})",
            f"{100 * (overlaps < ON_OBJECT_IOU).mean():.1f}",
            f"{100 * (1.0 - named.mean()):.1f}",
            f"{area(scores, good):.2f}",
            f"{area(np.array(self.confidences), named):.2f}",
            f"{1e3 * np.mean(self.seconds):.0f}",
        ]


def area(values: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Return how often a value of the right ones is above one of the others, NaN without either."""
    if right.all() or not right.any():
        return float("nan")
    return float(np.mean(values[right][:, None] > values[~right][None, :]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the homes, corrupt their candidates with every level and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-4", help="generated homes (default: 1-4, of the train split)")
    parser.add_argument("--stride", type=int, default=3, help="every n-th frame (default: 3)")
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("-")
    tallies = {level: Tally() for level in LEVELS}
    keyframes = objects = 0
    for seed in range(int(first), int(last or first) + 1):
        sequence = RoomSequence(seed, rate_hz=3.0, width_px=320)
        known = {item.id: item for item in sequence.objects()}
        labels = [item.label for item in known.values()]
        before = None
        for index in range(0, len(sequence), options.stride):
            if index:
                before = sequence.instance_image(index - 1)
            frame = sequence.frame(index)
            keyframe = Keyframe(index + 1, frame, UP, 0.0)
            image = sequence.instance_image(index)
            assert image is not None
            true = annotated_candidates(keyframe, image, known)
            keyframes += 1
            objects += len(true.candidates)
            for level, tally in tallies.items():
                corruption = CandidateCorruption(CandidateErrors(level), labels)
                began_s = time.process_time()
                answer = corruption.corrupt(true, keyframe, lambda stamp_ns, image=before: image)
                tally.add(true, answer, time.process_time() - began_s)
    print(f"{keyframes} keyframes with {objects / keyframes:.1f} objects each (homes {options.seeds})\n")
    titles = ("IoU on objects, mean (median)", "missed % (small / others)", "false %", "wrong names %")
    print("| level | " + " | ".join((*titles, "AUC of score", "AUC of name", "ms a keyframe")) + " |")
    print("|" + " --- |" * 8)
    for level, tally in tallies.items():
        print(f"| {level} | " + " | ".join(tally.row()) + " |")


if __name__ == "__main__":
    main()
