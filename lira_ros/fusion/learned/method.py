"""The learned fusion as a method: the network compares, an optimal assignment decides, voxels gather log-odds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from lira_ros.fusion.association import Association, InstanceView, LiftedCandidate
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.embedding_agreement import EmbeddingAgreement
from lira_ros.fusion.evidence import HIT_LOG_ODDS, InstanceEvidence
from lira_ros.fusion.learned.features import FeatureMaker, KeyframeFeatures
from lira_ros.fusion.learned.network import Comparison, InstanceNetwork, stack
from lira_ros.fusion.lifting import NEAR_SURFACE, ON_SURFACE, SEEN_THROUGH, StoredKeyframe
from lira_ros.fusion.method import Encode, FusionMethod, Meeting, view_weight
from lira_ros.state.columns import adopt, from_bytes, to_bytes

# What is as likely the same as not is not joined.
SAME_PROBABILITY = 0.5
# Joining two masks of one picture cannot be taken back, so it needs more.
JOIN_PROBABILITY = 0.8
# Nothing farther apart than this is the same thing in one moment [m], whatever the network says; drift is corrected
# elsewhere, and a tracker's jitter is millimetres.
FARTHEST_M = 0.5
# Voxels beyond a mask are judged up to here [cells of the comparison grid]: outlines of segmenters waver by about three
# (SAM draws 256 cells across a picture; the grid has 320).
RIM_CELLS = 4
# One view says at most this about a voxel (log-odds; 0.95): what is wrong once must be outvoted by few.
LARGEST_VIEW_LOG_ODDS = 3.0
# A vote of one view among the others is worth this much log-odds (0.88), so that hits count views as elsewhere.
LOG_ODDS_PER_VIEW = 2.0


@dataclass(frozen=True, kw_only=True)
class LearnedMeeting(Meeting):
    """A meeting with what the network said; embeddings and pairs are those of one keyframe, candidates first."""

    same: NDArray[np.float64]
    features: KeyframeFeatures
    comparison: Comparison


class Learned(FusionMethod):
    """A trained network compares candidates and instances, and says of every voxel of a view whose it is."""

    def __init__(
        self,
        configuration: FusionConfiguration,
        association: Association,
        network: InstanceNetwork,
        encode: Encode | None,
    ) -> None:
        super().__init__(configuration, association)
        self._network = network.eval()
        self._device = next(network.parameters()).device
        self._features = FeatureMaker(association, configuration.voxel_size_m, configuration.margin_m, encode)

    def export_state(self) -> bytes:
        """Return what was learned about embeddings."""
        return to_bytes(self._features.agreement, EmbeddingAgreement, "embeddings")

    def import_state(self, data: bytes) -> None:
        """Take up what was learned about embeddings."""
        adopt(self._features.agreement, from_bytes(data, EmbeddingAgreement, "embeddings"))

    def meet(self, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe) -> Meeting:
        """Compare by the network; pieces of one thing are joined first."""
        meeting = self._meet(view, lifted, stored)
        groups = self._pieces(meeting)
        if len(groups) < len(lifted):
            pieces = [self._association.joined([lifted[c] for c in group]) for group in groups]
            meeting = self._meet(self._association.draw(view, pieces, stored), pieces, stored)
        # What the network compared were the masks; what it judges now reaches beyond them, as masks are too small too.
        liftable = stored.liftable(self._configuration.max_depth_m)
        wider = [self._association.widened(item, stored, liftable, RIM_CELLS) for item in meeting.lifted]
        return dataclasses.replace(meeting, lifted=wider)

    def _meet(self, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe) -> LearnedMeeting:
        features = self._features.look(view, lifted, stored)
        count, total = len(lifted), len(lifted) + len(view.instances)
        with torch.inference_mode():
            batch = stack([features.tokens()], self._network.shape)
            for field in dataclasses.fields(batch):
                setattr(batch, field.name, getattr(batch, field.name).to(self._device))
            comparison = self._network(batch)
            same = comparison.same[0, :total, :total].sigmoid().cpu().numpy().astype(np.float64)
            valid = comparison.valid[0, :count].sigmoid().cpu().numpy().astype(np.float64)
            overlap = comparison.overlap[0, :count].sigmoid().cpu().numpy().astype(np.float64)
        apart = _gaps(lifted, view, self._configuration.voxel_size_m)
        probability = same[count:, :count]
        scores = np.where((probability >= SAME_PROBABILITY) & (apart <= FARTHEST_M), probability, -np.inf)
        log_odds = np.log(np.clip(valid, 1e-3, 1 - 1e-3) / np.clip(1 - valid, 1e-3, 1 - 1e-3))
        return LearnedMeeting(
            view=view,
            lifted=lifted,
            stored=stored,
            overlaps=features.overlaps,
            scores=scores,
            confidence=overlap,
            log_odds=np.clip(log_odds, -HIT_LOG_ODDS, HIT_LOG_ODDS),
            same=same,
            features=features,
            comparison=comparison,
        )

    def _pieces(self, meeting: LearnedMeeting) -> list[list[int]]:
        """Group the candidates of one picture that are pieces of one thing: complete linkage, so no chains."""
        count = len(meeting.lifted)
        if count < 2:
            return [[c] for c in range(count)]
        distance = 1.0 - meeting.same[:count, :count]
        np.fill_diagonal(distance, 0.0)
        labels = fcluster(linkage(squareform(distance, checks=False), "complete"), 1.0 - JOIN_PROBABILITY, "distance")
        return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]

    def votes_on_known(self, meeting: Meeting, m: int, c: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Let the network say of every voxel that the view shows whether it belongs to what the candidate shows."""
        assert isinstance(meeting, LearnedMeeting)
        part = meeting.view.part(m)
        relation, weight = meeting.view.relation[part], view_weight(meeting.view.distance[part])
        hits = np.zeros(len(relation), dtype=np.float32)
        views = np.zeros(len(relation), dtype=np.float32)
        chosen = np.flatnonzero((relation == ON_SURFACE) | (relation == NEAR_SURFACE))
        if len(chosen):
            features = meeting.features.voxels(m, c, chosen)
            hits[chosen], views[chosen] = self._votes(meeting, m, c, features, weight[chosen])
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
        """Let the network say of every voxel of the mask whether it belongs to what the candidate shows."""
        assert isinstance(meeting, LearnedMeeting)
        m = next((row for row, held in enumerate(meeting.view.instances) if held is evidence), -1)
        if len(keys) == 0:
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)
        features = meeting.features.new_voxels(evidence, m, c, keys)
        return self._votes(meeting, m, c, features, view_weight(distance_m))

    def _votes(
        self,
        meeting: LearnedMeeting,
        m: int,
        c: int,
        features: NDArray[np.float32],
        weight: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        network, comparison, count = self._network, meeting.comparison, len(meeting.lifted)
        with torch.inference_mode():
            candidate = comparison.embeddings[:1, c]
            instance = comparison.embeddings[:1, count + m] if m >= 0 else network.no_instance[None]
            pair = comparison.pairs[:1, c, count + m] if m >= 0 else network.no_pair[None]
            given = torch.from_numpy(features)[None].to(self._device)
            logits = network.voxel_logits(candidate, instance, pair, given)[0].cpu().numpy()
        votes = np.clip(logits, -LARGEST_VIEW_LOG_ODDS, LARGEST_VIEW_LOG_ODDS) * weight / np.float32(LOG_ODDS_PER_VIEW)
        return np.maximum(votes, 0.0), np.abs(votes)


def _gaps(lifted: list[LiftedCandidate], view: InstanceView, voxel_size_m: float) -> NDArray[np.float64]:
    """Return the (M, C) least distance between spheres around instances and candidates [m], 0 where they meet."""
    result = np.zeros((len(view.instances), len(lifted)))
    for c, item in enumerate(lifted):
        reach = 0.5 * np.sqrt(3.0) * item.extent_m + voxel_size_m
        for m, evidence in enumerate(view.instances):
            distance = float(np.linalg.norm(evidence.center - item.center))
            result[m, c] = max(0.0, distance - reach - evidence.radius_m)
    return result
