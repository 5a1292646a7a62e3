"""gIoU, cIoU, N-acc and BLEU of 2D reasoning segmentation, free-running and teacher-forced.

Sources: lira-method specification, section 6.3 (per mask, teacher-forced, and N-acc and BLEU); LISA (Lai et al., CVPR
2024) and GRES (Liu et al., CVPR 2023) for the mean per sample; Papineni et al., "BLEU", ACL 2002; Chen and Cherry, "A
Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU", WMT 2014 (method 1).

Teacher-forced, a model is given the reference answer, so that it draws as many masks as there are, in their order:
what it would have missed or made up is not measured. Free-running it decides itself, and both count.

Masks are COCO run lengths, as pycocotools takes them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco
from scipy.optimize import linear_sum_assignment

RunLengths = dict[str, Any]

# From here on a mask counts as found (PASCAL VOC; Everingham et al., IJCV 2010).
MATCH_IOU = 0.5

# Longest phrase that counts for BLEU (specification, 6.3), and what method 1 of Chen and Cherry adds to a count of 0.
BLEU_WORDS = 3
BLEU_EPSILON = 0.1


def run_lengths(mask: NDArray[np.bool_]) -> RunLengths:
    """Return the run lengths of a (H, W) bool mask; raises ValueError for any other array."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask: expected a (H, W) bool array, got shape {mask.shape} {mask.dtype}")
    return dict(coco.encode(np.asfortranarray(mask.astype(np.uint8))))


@dataclass(frozen=True)
class ImageAnswer:
    """The masks of one picture and instruction: those that are right and those that a model drew.

    Raises ValueError when they are not of one size.
    """

    truth: tuple[RunLengths, ...]
    predicted: tuple[RunLengths, ...]

    def __post_init__(self) -> None:
        """Check that all masks are of one size; run lengths of others would be compared without an error."""
        sizes = {tuple(mask["size"]) for mask in (*self.truth, *self.predicted)}
        if len(sizes) > 1:
            raise ValueError(f"masks: expected one size for a picture, got {sorted(sizes)}")


@dataclass(frozen=True)
class SegmentationScores:
    """2D scores in [0, 1]; None where nothing is counted.

    g_iou_per_mask: mean IoU over the masks of samples that have some (LIRA). g_iou_per_sample: mean over the samples
    of the IoU of all masks together, 1 for an empty answer where there is none (LISA, GRES). c_iou: all intersections
    by all unions, over the masks. n_acc: share of the samples without a mask whose answer has none; never measured
    teacher-forced. c_iou_per_sample: all intersections by all unions, of all masks of a sample together (LISA).
    precision_50, recall_50: share of the drawn and of the right masks that have a partner with IoU 0.5 or more.
    """

    samples: int
    empty_samples: int
    g_iou_per_mask: float | None
    g_iou_per_sample: float | None
    c_iou: float | None
    n_acc: float | None
    c_iou_per_sample: float | None = None
    precision_50: float | None = None
    recall_50: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the inverse of from_dict()."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> SegmentationScores:
        """Build from what to_dict() returned."""
        return SegmentationScores(**values)


def _intersection(a: RunLengths, b: RunLengths) -> int:
    return int(coco.area(coco.merge([a, b], intersect=True)))


def _intersection_and_union(a: RunLengths, b: RunLengths) -> tuple[int, int]:
    shared = _intersection(a, b)
    return shared, int(coco.area(a)) + int(coco.area(b)) - shared


def _ratio(intersection: int, union: int) -> float:
    # Two empty masks agree, as in the published code.
    return intersection / union if union else 1.0


def _sample_terms(answer: ImageAnswer) -> tuple[int, int]:
    """Return intersection and union of all masks of a sample together."""
    if not answer.truth or not answer.predicted:
        masks = [*answer.truth, *answer.predicted]
        return 0, int(coco.area(coco.merge(masks))) if masks else 0
    return _intersection_and_union(coco.merge(list(answer.truth)), coco.merge(list(answer.predicted)))


def _sample_iou(answer: ImageAnswer) -> float:
    if not answer.truth:
        return float(not answer.predicted)
    return _ratio(*_sample_terms(answer)) if answer.predicted else 0.0


def _free_terms(answer: ImageAnswer) -> list[tuple[int, int]]:
    """Return intersection and union of the best one-to-one matches, and of every mask that is left over."""
    truth, predicted = list(answer.truth), list(answer.predicted)
    terms: list[tuple[int, int]] = []
    if truth and predicted:
        iou = np.asarray(coco.iou(predicted, truth, [0] * len(truth)))
        # Of several assignments with the same sum the one with more matches, whatever the order of the masks.
        rows, columns = linear_sum_assignment(iou + 1e-9 * (iou > 0), maximize=True)
        # Masks that do not touch are no match, but one missed and one made up.
        pairs = [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if iou[r, c] > 0]
        terms = [_intersection_and_union(predicted[r], truth[c]) for r, c in pairs]
        predicted = [mask for r, mask in enumerate(predicted) if r not in {row for row, _ in pairs}]
        truth = [mask for c, mask in enumerate(truth) if c not in {column for _, column in pairs}]
    # At least one pixel of union: an empty mask that is left over is wrong, too.
    return terms + [(0, max(1, int(coco.area(mask)))) for mask in (*truth, *predicted)]


@dataclass(frozen=True)
class SegmentationCounts:
    """Sums over samples, to be added up over runs before they are divided.

    sample_iou: sum of the IoU of all masks of a sample together. empty_right: samples without a mask whose answer has
    none; None teacher-forced, where nobody asked. masks, mask_iou: terms of the mean over masks and their sum.
    sample_intersection, sample_union: of all masks of a sample together. drawn, wanted, matched: masks that a model
    drew, those that are right, and pairs of them with an IoU of MATCH_IOU or more; all 0 teacher-forced.
    """

    samples: int = 0
    sample_iou: float = 0.0
    empty_samples: int = 0
    empty_right: int | None = 0
    masks: int = 0
    mask_iou: float = 0.0
    intersection: int = 0
    union: int = 0
    sample_intersection: int = 0
    sample_union: int = 0
    drawn: int = 0
    wanted: int = 0
    matched: int = 0

    def __add__(self, other: SegmentationCounts) -> SegmentationCounts:
        """Add up; teacher-forced sums stay so."""
        forced = self.empty_right is None or other.empty_right is None
        return SegmentationCounts(
            self.samples + other.samples,
            self.sample_iou + other.sample_iou,
            self.empty_samples + other.empty_samples,
            None if forced else (self.empty_right or 0) + (other.empty_right or 0),
            self.masks + other.masks,
            self.mask_iou + other.mask_iou,
            self.intersection + other.intersection,
            self.union + other.union,
            self.sample_intersection + other.sample_intersection,
            self.sample_union + other.sample_union,
            self.drawn + other.drawn,
            self.wanted + other.wanted,
            self.matched + other.matched,
        )

    def scores(self) -> SegmentationScores:
        """Divide the sums; None where nothing was counted."""
        return SegmentationScores(
            self.samples,
            self.empty_samples,
            self.mask_iou / self.masks if self.masks else None,
            self.sample_iou / self.samples if self.samples else None,
            self.intersection / self.union if self.union else None,
            self.empty_right / self.empty_samples if self.empty_samples and self.empty_right is not None else None,
            self.sample_intersection / self.sample_union if self.sample_union else None,
            self.matched / self.drawn if self.drawn else None,
            self.matched / self.wanted if self.wanted else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the inverse of from_dict()."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> SegmentationCounts:
        """Build from what to_dict() returned."""
        return SegmentationCounts(**values)


def _counts(answer: ImageAnswer, terms: Sequence[tuple[int, int]], empty_right: int | None) -> SegmentationCounts:
    return SegmentationCounts(
        1,
        _sample_iou(answer),
        int(not answer.truth),
        empty_right,
        len(terms) if answer.truth else 0,
        sum(_ratio(i, u) for i, u in terms) if answer.truth else 0.0,
        sum(i for i, _ in terms),
        sum(u for _, u in terms),
        *_sample_terms(answer),
    )


def free_running_counts(answers: Iterable[ImageAnswer]) -> SegmentationCounts:
    """Count what a model drew by itself: masks in any order and number.

    Masks are matched one to one with the largest sum of IoU. A mask that was missed and one that was made up are terms
    of their own with IoU 0, so that the mean over masks is one over what is there or was drawn; in samples without a
    mask those made up count for n_acc and in the unions of c_iou.
    """
    total = SegmentationCounts()
    for answer in answers:
        terms = _free_terms(answer)
        counts = _counts(answer, terms, int(not answer.truth and not answer.predicted))
        # Masks that are left over have an intersection of 0, so every term that is this good is a pair.
        matched = sum(i > 0 and _ratio(i, u) >= MATCH_IOU for i, u in terms)
        total += replace(counts, drawn=len(answer.predicted), wanted=len(answer.truth), matched=matched)
    return total


def teacher_forced_counts(answers: Iterable[ImageAnswer]) -> SegmentationCounts:
    """Count masks that were drawn for the reference answer, in its order: for comparison with published numbers only.

    Samples without a mask count for nothing. Raises ValueError for a sample whose masks are not as many as the truth.
    """
    total = SegmentationCounts(empty_right=None)
    for answer in answers:
        if not answer.truth:
            continue
        if len(answer.truth) != len(answer.predicted):
            raise ValueError(
                f"teacher-forced: expected as many masks as the truth has, {len(answer.truth)}, "
                f"got {len(answer.predicted)}"
            )
        pairs = zip(answer.predicted, answer.truth, strict=True)
        total += _counts(answer, [_intersection_and_union(p, t) for p, t in pairs], None)
    return total


def free_running_scores(answers: Iterable[ImageAnswer]) -> SegmentationScores:
    """Score what a model drew by itself; see free_running_counts()."""
    return free_running_counts(answers).scores()


def teacher_forced_scores(answers: Iterable[ImageAnswer]) -> SegmentationScores:
    """Score masks that were drawn for the reference answer; see teacher_forced_counts()."""
    return teacher_forced_counts(answers).scores()


def _phrases(words: Sequence[str], length: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + length]) for i in range(len(words) - length + 1))


def sentence_bleu(answer: str, reference: str) -> float:
    """Return the BLEU of one answer against one reference, in [0, 1].

    Words are split at white space; phrases of 1 to min(words of the answer, words of the reference, 3) words weigh the
    same; a phrase length without a match counts 0.1 matches, but without any common word the score is 0, as it is for
    an empty sentence. Answers shorter than the reference are penalised by exp(1 - reference / answer).
    """
    words, wanted = answer.split(), reference.split()
    longest = min(len(words), len(wanted), BLEU_WORDS)
    if longest == 0:
        return 0.0
    total = 0.0
    for length in range(1, longest + 1):
        found = _phrases(words, length)
        matched = (found & _phrases(wanted, length)).total()
        if matched == 0 and length == 1:
            return 0.0
        total += math.log((matched or BLEU_EPSILON) / found.total()) / longest
    brevity = 1.0 if len(words) > len(wanted) else math.exp(1.0 - len(wanted) / len(words))
    return brevity * math.exp(total)


def mean_bleu(answers: Iterable[tuple[str, str]]) -> float | None:
    """Return the mean sentence BLEU of (answer, reference) pairs, None without any."""
    values = [sentence_bleu(answer, reference) for answer, reference in answers]
    return float(np.mean(values)) if values else None
