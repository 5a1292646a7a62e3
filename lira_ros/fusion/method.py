"""The part of the fusion that can be chosen: what belongs together, and what a view says about voxels.

Keyframes, lifting, the assignment, existence, merging and publication are the same for every method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.association import TINY_EXTENT_M, Association, InstanceView, LiftedCandidate
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.embedding_agreement import EmbeddingAgreement
from lira_ros.fusion.evidence import HIT_LOG_ODDS, InstanceEvidence
from lira_ros.fusion.lifting import NEAR_SURFACE, ON_SURFACE, SEEN_THROUGH, StoredKeyframe
from lira_ros.mapping.voxel import contained_in
from lira_ros.state.columns import StateError, adopt, from_bytes, to_bytes

# Weights of the agreements besides overlap (in [0, 1]): enough to decide between equals, too little to override
# geometry.
EMBEDDING_WEIGHT = 0.2
LABEL_WEIGHT = 0.15
COLOR_WEIGHT = 0.1
# Votes of a view: for what is in the mask, against what is in the mask of something else, against what is in no
# mask (masks have gaps).
RIVAL_VOTE = 1.0
GAP_VOTE = 0.5
# A candidate of score 0 was still seen: its words weigh little, but they do not vanish.
SMALLEST_SCORE = 0.05
# A view from farther than this counts less, with the square of the distance, as the pixels on a surface do.
FULL_VOTE_DEPTH_M = 2.5


def view_weight(distance_m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weight of a view of (N,) voxels at distances along the optical axis [m], in (0, 1]."""
    ratio = np.float32(FULL_VOTE_DEPTH_M) / np.maximum(distance_m, np.float32(FULL_VOTE_DEPTH_M))
    return ratio * ratio


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """A keyframe's candidates and the instances that it can see, compared.

    overlaps: (M, C) in [0, 1], over what both could see. scores: (M, C)
    for the assignment, -inf where the two cannot be the same. confidence: (C,) in [0, 1], how well each mask is
    believed to show one whole thing. log_odds: (C,) what it says about the existence of what it shows. same:
    (C + M, C + M) probabilities that two are one thing, candidates first; None where a method does not know.

    A method may join candidates: ``lifted`` holds those that go on.
    """

    view: InstanceView
    lifted: list[LiftedCandidate]
    stored: StoredKeyframe
    overlaps: NDArray[np.float64]
    scores: NDArray[np.float64]
    confidence: NDArray[np.float64]
    log_odds: NDArray[np.float64]
    same: NDArray[np.float64] | None = None

    @cached_property
    def masked(self) -> NDArray[np.bool_]:
        """Return the (H * W,) pixels in any of the masks."""
        masked = np.zeros(self.stored.camera.width_px * self.stored.camera.height_px, dtype=np.bool_)
        for item in self.lifted:
            masked |= item.candidate.mask.ravel()
        return masked


Encode = Callable[[str], NDArray[np.float32]]


class FusionMethod(ABC):
    """How candidates meet instances, and what a view says about voxels.

    counts_against: whether views also vote against voxels; otherwise masks are united.
    """

    counts_against = True

    def __init__(self, configuration: FusionConfiguration, association: Association) -> None:
        self._configuration = configuration
        self._association = association

    def export_state(self) -> bytes:
        """Return what the method itself learned so far, as bytes; b"" for nothing."""
        return b""

    def import_state(self, data: bytes) -> None:
        """Take up what export_state() gave, in a method that saw nothing yet; raises StateError."""
        if data:
            raise StateError(f"fusion.method {self._configuration.method}: expected nothing, found {len(data)} bytes")

    def keyframe_returned(self, stored: StoredKeyframe) -> None:  # noqa: B027 - most methods keep nothing of keyframes
        """Take note that a keyframe is there again of which a state was taken up."""

    @abstractmethod
    def meet(self, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe) -> Meeting:
        """Compare the candidates of a keyframe with the instances that it can see."""

    @abstractmethod
    def votes_on_known(self, meeting: Meeting, m: int, c: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what a view of candidate c says about the (N,) voxels of instance m: hits and views to add."""

    @abstractmethod
    def votes_on_new(
        self,
        meeting: Meeting,
        evidence: InstanceEvidence,
        c: int,
        keys: NDArray[np.int64],
        distance_m: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return hits and views of the (K,) voxels that candidate c adds to an instance, which may be a new one."""


class Geometry(FusionMethod):
    """Overlap alone decides, masks are united: what LIRA does without its network (specification, 4.6)."""

    counts_against = False

    def meet(self, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe) -> Meeting:
        """Compare by overlap, by the distance of centres for tiny things."""
        overlaps = self._association.overlaps(view, lifted, stored)
        scores = np.full(overlaps.shape, -np.inf)
        for m, evidence in enumerate(view.instances):
            for c, item in enumerate(lifted):
                geometry = float(overlaps[m, c])
                if min(item.extent_m, evidence.extent_m) < TINY_EXTENT_M:
                    geometry = max(geometry, self._association.closeness(evidence, item))
                if geometry >= self._configuration.min_overlap:
                    scores[m, c] = geometry + self._agreement(evidence, item)
        confidence = np.array([item.candidate.score for item in lifted], dtype=np.float64)
        log_odds = HIT_LOG_ODDS * np.maximum(confidence, SMALLEST_SCORE)
        return Meeting(
            view=view,
            lifted=lifted,
            stored=stored,
            overlaps=overlaps,
            scores=scores,
            confidence=confidence,
            log_odds=log_odds,
        )

    def _agreement(self, evidence: InstanceEvidence, item: LiftedCandidate) -> float:
        return 0.0

    def votes_on_known(self, meeting: Meeting, m: int, c: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vote for what is in the mask."""
        hit, weight = self._hit(meeting, m, c)
        votes = np.where(hit, weight, np.float32(0.0))
        return votes, votes.copy()

    def _hit(self, meeting: Meeting, m: int, c: int) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        view, item, part = meeting.view, meeting.lifted[c], meeting.view.part(m)
        relation, pixel = view.relation[part], view.pixel[part]
        visible = relation == ON_SURFACE
        hit = np.zeros(len(relation), dtype=np.bool_)
        hit[visible] = item.candidate.mask.ravel()[pixel[visible]]
        hit |= contained_in(view.instances[m].voxels.keys, item.keys)
        return hit, view_weight(view.distance[part])

    def votes_on_new(
        self,
        meeting: Meeting,
        evidence: InstanceEvidence,
        c: int,
        keys: NDArray[np.int64],
        distance_m: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vote for all of them."""
        weight = view_weight(distance_m)
        return weight, weight.copy()


class Votes(Geometry):
    """Overlap, name, colour and meaning decide what belongs together, and every view votes on every voxel."""

    counts_against = True

    def __init__(self, configuration: FusionConfiguration, association: Association) -> None:
        super().__init__(configuration, association)
        self._embeddings = EmbeddingAgreement()

    def export_state(self) -> bytes:
        """Return what was learned about embeddings."""
        return to_bytes(self._embeddings, EmbeddingAgreement, "embeddings")

    def import_state(self, data: bytes) -> None:
        """Take up what was learned about embeddings."""
        adopt(self._embeddings, from_bytes(data, EmbeddingAgreement, "embeddings"))

    def meet(self, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe) -> Meeting:
        """Compare by overlap first; name, colour and meaning decide between equals."""
        self._embeddings.learn([item.candidate.embedding for item in lifted])
        return super().meet(view, lifted, stored)

    def _agreement(self, evidence: InstanceEvidence, item: LiftedCandidate) -> float:
        candidate = item.candidate
        label, confidence = evidence.label()
        score = EMBEDDING_WEIGHT * self._embeddings.between(evidence.unit_embedding(), candidate.embedding)
        if label and candidate.label:
            agreement = 1.0 if label == candidate.label else -1.0
            score += LABEL_WEIGHT * agreement * min(confidence, candidate.label_confidence)
        difference = float(np.abs(evidence.color - item.colors.mean(axis=0)).max()) / 255.0
        return score + COLOR_WEIGHT * (1.0 - difference)

    def votes_on_known(self, meeting: Meeting, m: int, c: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vote for what is in the mask, against what is beside it and what is seen through."""
        view, item, part = meeting.view, meeting.lifted[c], meeting.view.part(m)
        relation, pixel = view.relation[part], view.pixel[part]
        hit, weight = self._hit(meeting, m, c)
        hits = np.where(hit, weight, np.float32(0.0))
        views = hits.copy()
        near = (relation == ON_SURFACE) | (relation == NEAR_SURFACE)
        own = np.zeros(len(relation), dtype=np.bool_)
        own[near] = item.candidate.mask.ravel()[pixel[near]]
        other = np.zeros(len(relation), dtype=np.bool_)
        other[near] = meeting.masked[pixel[near]]
        against = near & ~own & ~contained_in(view.instances[m].voxels.keys, item.keys)
        views[against] += weight[against] * np.where(other[against], np.float32(RIVAL_VOTE), np.float32(GAP_VOTE))
        through = relation == SEEN_THROUGH
        views[through] += weight[through]
        return hits, views

    def votes_on_new(
        self,
        meeting: Meeting,
        evidence: InstanceEvidence,
        c: int,
        keys: NDArray[np.int64],
        distance_m: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vote for them, and let the earlier views of the instance say whether they saw them in its mask."""
        hits, views = super().votes_on_new(meeting, evidence, c, keys, distance_m)
        if evidence.claims and len(keys):
            inside, outside = self._association.ask_references(evidence, keys, meeting.stored.id)
            hits += inside
            views += inside + outside
        return hits, views


MakeMethod = Callable[[Association], FusionMethod]


def method_maker(configuration: FusionConfiguration, encode: Encode | None = None) -> MakeMethod:
    """Return what makes the method that ``configuration.method`` names; its network is loaded now, and once.

    encode: returns the (L,) unit vector of a label, for methods that compare labels by meaning. Raises
    FusionModelError for a network that cannot be loaded.
    """
    if configuration.method == "learned":
        from lira_ros.fusion.learned.method import Learned
        from lira_ros.fusion.learned.model_file import load_network

        network = load_network(configuration.learned)
        return lambda association: Learned(configuration, association, network, encode)
    if configuration.method == "label_free":
        from lira_ros.fusion.label_free import LabelFree

        return lambda association: LabelFree(configuration, association)
    methods = {"votes": Votes, "geometry": Geometry}
    return lambda association: methods[configuration.method](configuration, association)
