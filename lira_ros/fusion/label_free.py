"""Masks of several views become one without anything learned, after MLLM-For3D (arXiv 2503.18135).

There a voxel keeps up to eight observations and attends to them by how well each fits the meaning that the views agree
on. Here a view weighs the more the closer its embedding is to that consensus, a voxel's log-odds are averaged over the
views that see it, and views that mean something else, or whose masks most others contradict, are left out.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.association import Association, LiftedCandidate
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.embedding_agreement import EmbeddingAgreement
from lira_ros.fusion.evidence import InstanceEvidence
from lira_ros.fusion.lifting import NEAR_SURFACE, ON_SURFACE, SEEN_THROUGH, StoredKeyframe, look_up
from lira_ros.fusion.method import SMALLEST_SCORE, Meeting, Votes, view_weight
from lira_ros.mapping.voxel import contained_in
from lira_ros.state.columns import Array, adopt, from_bytes, to_bytes

# Observations of a voxel in MLLM-For3D.
MOST_VIEWS = 8
# How fast a view loses weight with its distance from the consensus: at so much less agreement it weighs 1/e. 0.1 and
# 0.5 found as many instances of two validation homes, 0.5 with better masks: among few views every one is needed.
TEMPERATURE = 0.5
# The mean of the views is drawn towards outliers; weighing and averaging twice more frees it of most of their weight.
CONSENSUS_ROUNDS = 3
# Views that agree less with the consensus than this mean something else.
LEAST_CONSISTENCY = 0.25
# A view that sees this share of a mask again can tell whether it is right; with fewer than two, nobody knows which of
# them is wrong.
SEEN_AGAIN_SHARE = 0.25
LEAST_JUDGES = 2
# One view is never certain: the upper clamp of OctoMap (Hornung et al. 2013) is 0.97, here for both sides.
MOST_LOG_ODDS = 3.5

Agreement = Callable[[NDArray[np.floating], NDArray[np.floating]], float]


@dataclass(frozen=True)
class FusedViews:
    """What several views say together.

    probability: (V,) that a voxel belongs to the instance, 0.5 where no view tells. evidence: (V,) how many views tell,
    by their visibility. consensus: (D,) unit vector that the views agree on, zero when they have no embeddings.
    consistency: (K,) agreement of each view with it, at most 1. rejected: (K,) views that were left out.
    """

    probability: NDArray[np.float64]
    evidence: NDArray[np.float64]
    consensus: NDArray[np.float64]
    consistency: NDArray[np.float64]
    rejected: NDArray[np.bool_]


def cosine(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the product of two (D,) unit vectors."""
    return float(first @ second)


def fuse_views(
    probabilities: NDArray[np.floating],
    visibility: NDArray[np.floating],
    embeddings: NDArray[np.floating],
    agreement: Agreement = cosine,
) -> FusedViews:
    """Fuse what K views say about the V voxels of an instance; the order of the views does not matter.

    probabilities: (V, K) in [0, 1], that the voxel is in the view's mask. visibility: (V, K) at least 0, how well the
    view sees the voxel, 0 = not at all. embeddings: (K, D) of any length, zero for a view without one. agreement: of
    two unit vectors, at most 1 for equal ones.
    """
    quality = visibility.sum(axis=0)
    quality = quality / max(float(quality.max(initial=0.0)), np.finfo(np.float64).tiny)
    consensus, consistency, known = _consensus(embeddings, quality, agreement)
    rejected = known & (consistency < min(LEAST_CONSISTENCY, float(consistency.max(initial=1.0))))
    contradicted = _contradicted(probabilities, visibility, ~rejected)
    if not (rejected | contradicted).all():
        rejected = rejected | contradicted
    attention = np.where(rejected, 0.0, _attention(consistency))
    weights = visibility * attention
    limit = 1.0 / (1.0 + np.exp(-MOST_LOG_ODDS))
    bounded = np.clip(probabilities, 1.0 - limit, limit)
    log_odds = np.log(bounded / (1.0 - bounded))
    total = weights.sum(axis=1)
    mean = np.divide((weights * log_odds).sum(axis=1), total, out=np.zeros(len(total)), where=total > 0)
    return FusedViews(
        1.0 / (1.0 + np.exp(-mean)), (visibility * ~rejected).sum(axis=1), consensus, consistency, rejected
    )


def _attention(consistency: NDArray[np.float64]) -> NDArray[np.float64]:
    # Softmax without the division, which cancels where weights are divided by their sum.
    return np.exp((consistency - consistency.max(initial=-np.inf)) / TEMPERATURE)


def _consensus(
    embeddings: NDArray[np.floating], quality: NDArray[np.float64], agreement: Agreement
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    # Returns the consensus, the agreement of each view with it, and which views have an embedding.
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    known = lengths > 0
    units = embeddings[known] / lengths[known, None]
    consensus = np.zeros(embeddings.shape[1])
    # Views without an embedding weigh as much as the others do in the mean.
    consistency = np.ones(len(embeddings))
    weights = quality[known]
    for _ in range(CONSENSUS_ROUNDS):
        total = weights @ units
        length = float(np.linalg.norm(total))
        if length == 0.0:
            break
        consensus = total / length
        agreements = np.array([agreement(unit, consensus) for unit in units])
        consistency[:] = float(weights @ agreements) / float(weights.sum())
        consistency[known] = agreements
        weights = quality[known] * _attention(agreements)
    return consensus, consistency, known


def _contradicted(
    probabilities: NDArray[np.floating], visibility: NDArray[np.floating], judges: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    # Which views have a mask that more than half of the judges that see it again have most of outside of theirs.
    seen = visibility > 0
    inside = (seen & (probabilities > 0.5)).astype(np.float64)
    outside = (seen & (probabilities < 0.5)).astype(np.float64)
    size = inside.sum(axis=0)
    again = inside.T @ seen.astype(np.float64)
    against = inside.T @ outside
    judging = (again >= SEEN_AGAIN_SHARE * size[:, None]) & (again > 0) & judges[None, :]
    np.fill_diagonal(judging, False)
    contradicting = judging & (against > 0.5 * again)
    count = judging.sum(axis=1)
    return (count >= LEAST_JUDGES) & (contradicting.sum(axis=1) > 0.5 * count)


class Observation:
    """What one view said of an instance: its mask, how sure it was of it, and its embedding.

    The keyframe belongs to the fusion; when that forgets it, the observation is worth nothing any more.
    """

    def __init__(self, stored: StoredKeyframe, candidate: LiftedCandidate) -> None:
        """Keep a candidate of a keyframe; a candidate of score 0 was still seen."""
        mask = candidate.candidate.mask
        # From "nobody knows" to "certain": half of the masks that a model gives score 0 are right.
        self.probability = 0.5 + 0.5 * max(candidate.candidate.score, SMALLEST_SCORE)
        self.embedding = candidate.candidate.embedding
        self.keyframe_id = stored.id
        self._keys = candidate.keys
        self._moved = False
        self.attach(stored)
        self._keep(mask)

    STATE: ClassVar[dict[str, Any]] = {
        "keyframe_id": int,
        "probability": float,
        "embedding": Array("<f4", ("embedding",)),
        "_keys": Array("<i8", ("voxels",)),
        "_moved": bool,
        "_shape": tuple[int, int],
        "_corner": tuple[int, int],
        "_part_shape": tuple[int, int],
        "_bits": Array("|u1", ("bytes",)),
    }
    _keyframe: weakref.ref[StoredKeyframe] | None = None
    _T_map_camera: NDArray[np.float64] | None = None

    def check_state(self) -> None:
        """Raise ValueError when the mask contradicts itself."""
        ends = np.add(self._corner, self._part_shape)
        if min(*self._corner, *self._part_shape) < 0 or (ends > self._shape).any():
            raise ValueError(f"mask of {self._shape}: a part of {self._part_shape} at {self._corner} is not in it")
        if -(-self._part_shape[0] * self._part_shape[1] // 8) != len(self._bits):
            raise ValueError(f"mask of {self._part_shape}: has {len(self._bits)} bytes")

    def attach(self, stored: StoredKeyframe) -> None:
        """Take the keyframe for that of the observation."""
        self._keyframe = weakref.ref(stored)
        self._T_map_camera = stored.T_map_camera

    def fits(self, stored: StoredKeyframe) -> bool:
        """Tell whether the mask is one of this keyframe."""
        return self._shape == (stored.camera.height_px, stored.camera.width_px)

    def note_motion(self) -> None:
        """Take note of whether the keyframe was moved since the mask was lifted."""
        stored = self.keyframe
        self._moved |= stored is not None and stored.T_map_camera is not self._T_map_camera

    def _keep(self, mask: NDArray[np.bool_]) -> None:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        self._shape: tuple[int, int] = (mask.shape[0], mask.shape[1])
        self._corner = (int(rows[0]), int(columns[0])) if len(rows) else (0, 0)
        self._part_shape = (int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1) if len(rows) else (0, 0)
        self._bits = np.packbits(mask[self._window()])

    def _window(self) -> tuple[slice, slice]:
        (row, column), (height, width) = self._corner, self._part_shape
        return slice(row, row + height), slice(column, column + width)

    @property
    def keyframe(self) -> StoredKeyframe | None:
        """Return the keyframe, None when it was forgotten."""
        return None if self._keyframe is None else self._keyframe()

    @property
    def nbytes(self) -> int:
        """Return the memory of mask, voxels and embedding [bytes]."""
        return self._bits.nbytes + self.embedding.nbytes + self._keys.nbytes

    def mask(self) -> NDArray[np.bool_]:
        """Return the (H, W) mask."""
        mask = np.zeros(self._shape, dtype=np.bool_)
        part = np.unpackbits(self._bits, count=self._part_shape[0] * self._part_shape[1])
        mask[self._window()] = part.view(np.bool_).reshape(self._part_shape)
        return mask

    def lifted(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which of (K,) voxels the mask was lifted into, also where their middle is beside it; none once it moved.

        A voxel is up to half its size away from what was measured in it, and farther on noisy depth.
        """
        stored = self.keyframe
        if stored is None or self._moved or stored.T_map_camera is not self._T_map_camera:
            return np.zeros(len(keys), dtype=np.bool_)
        return contained_in(keys, self._keys)

    def unite(self, other: Observation) -> None:
        """Take another mask of the same keyframe for a piece of the same thing."""
        self._keep(self.mask() | other.mask())
        self._keys = np.union1d(self._keys, other._keys)
        self.probability = max(self.probability, other.probability)


@dataclass
class _LabelFreeState:
    embeddings: EmbeddingAgreement
    observations: dict[int, list[Observation]]  # by instance id


class LabelFree(Votes):
    """Association as with votes; the voxels of an instance are fused from its observations by their consensus.

    An instance keeps at most MOST_VIEWS observations, and max_instances instances have any.
    """

    def __init__(self, configuration: FusionConfiguration, association: Association) -> None:
        super().__init__(configuration, association)
        self._observations: OrderedDict[int, list[Observation]] = OrderedDict()
        # Of a state that was taken up, by keyframe: instance and observation, until the keyframe is there again.
        self._awaited: dict[int, list[tuple[int, Observation]]] = {}

    def export_state(self) -> bytes:
        """Return the observations, and what was learned about embeddings."""
        observations = {key: [item for item in items if item.keyframe] for key, items in self._observations.items()}
        for items in self._awaited.values():
            for instance_id, observation in items:
                observations.setdefault(instance_id, []).append(observation)
        for items_of in observations.values():
            items_of.sort(key=lambda item: item.keyframe_id)
            for observation in items_of:
                observation.note_motion()
        return to_bytes(_LabelFreeState(self._embeddings, observations), _LabelFreeState, "views of instances")

    def import_state(self, data: bytes) -> None:
        """Take up observations, which count again when their keyframes are there."""
        state: _LabelFreeState = from_bytes(data, _LabelFreeState, "views of instances")
        adopt(self._embeddings, state.embeddings)
        for instance_id, observations in state.observations.items():
            self._observations[instance_id] = []
            for observation in observations:
                self._awaited.setdefault(observation.keyframe_id, []).append((instance_id, observation))

    def keyframe_returned(self, stored: StoredKeyframe) -> None:
        """Let what the keyframe showed count again."""
        for instance_id, observation in self._awaited.pop(stored.id, ()):
            if observation.fits(stored):
                observation.attach(stored)
                self._observations.setdefault(instance_id, []).append(observation)

    def votes_on_known(self, meeting: Meeting, m: int, c: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Put what all views say together in the place of what they said without the new one.

        What was said beyond them stays: by views that were left for better ones or whose keyframe was forgotten, and by
        keyframes that saw through the instance or had something else in its place.
        """
        evidence, item, stored = meeting.view.instances[m], meeting.lifted[c], meeting.stored
        voxels = evidence.voxels
        observations = self._of(evidence)
        looked_up = self._looked_up(voxels.keys, observations)
        if len(observations) == MOST_VIEWS and all(known.keyframe is not stored for known in observations):
            worst = self._worst(observations, *looked_up)
            del observations[worst]
            looked_up = np.delete(looked_up[0], worst, axis=1), np.delete(looked_up[1], worst, axis=1)
        probability, views = self._said(observations, *looked_up)
        hits, views = voxels.hits - probability * views, voxels.views - views
        count = len(observations)
        self._join(observations, Observation(stored, item))
        if len(observations) > count:
            added = self._looked_up(voxels.keys, observations[count:])
            looked_up = np.hstack([looked_up[0], added[0]]), np.hstack([looked_up[1], added[1]])
        else:
            looked_up = self._looked_up(voxels.keys, observations)
        probability, added_views = self._said(observations, *looked_up)
        hits = np.maximum(hits + probability * added_views, 0.0)
        views = np.maximum(views + added_views, hits)
        return (hits - voxels.hits).astype(np.float32), (views - voxels.views).astype(np.float32)

    def votes_on_new(
        self,
        meeting: Meeting,
        evidence: InstanceEvidence,
        c: int,
        keys: NDArray[np.int64],
        distance_m: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Say of new voxels what all views of the instance say together."""
        observations = self._of(evidence)
        if all(known.keyframe is not meeting.stored for known in observations):
            self._join(observations, Observation(meeting.stored, meeting.lifted[c]))
        probability, views = self._said(observations, *self._looked_up(keys, observations))
        return (probability * views).astype(np.float32), views.astype(np.float32)

    def _of(self, evidence: InstanceEvidence) -> list[Observation]:
        # The observations of an instance and of those that turned out to be it, the newest keyframes of too many.
        observations = self._observations.setdefault(evidence.id, [])
        self._observations.move_to_end(evidence.id)
        for other in sorted(evidence.merged_from & self._observations.keys()):
            for observation in self._observations.pop(other):
                self._join(observations, observation)
        known = [(observation.keyframe, observation) for observation in observations]
        kept = sorted((stored.id, index) for index, (stored, _) in enumerate(known) if stored is not None)
        observations[:] = [known[index][1] for _, index in kept[-MOST_VIEWS:]]
        while len(self._observations) > self._configuration.max_instances:
            self._observations.popitem(last=False)
        return observations

    @staticmethod
    def _join(observations: list[Observation], observation: Observation) -> None:
        for known in observations:
            if known.keyframe is not None and known.keyframe is observation.keyframe:
                known.unite(observation)
                return
        observations.append(observation)

    def _worst(
        self,
        observations: Sequence[Observation],
        probabilities: NDArray[np.float64],
        visibility: NDArray[np.float64],
    ) -> int:
        # Outliers go first, then what sees least of the instance.
        fused = fuse_views(probabilities, visibility, self._embeddings_of(observations), self._embeddings.between)
        worth = visibility.sum(axis=0) * _attention(fused.consistency)
        return int(np.lexsort((worth, ~fused.rejected))[0])

    def _said(
        self,
        observations: Sequence[Observation],
        probabilities: NDArray[np.float64],
        visibility: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # Probability of each voxel, and how many views tell.
        fused = fuse_views(probabilities, visibility, self._embeddings_of(observations), self._embeddings.between)
        return fused.probability, fused.evidence

    def _looked_up(
        self, keys: NDArray[np.int64], observations: Sequence[Observation]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # (V, K) probabilities that the views put the voxels into the instance, and how well they see them.
        probabilities = np.full((len(keys), len(observations)), 0.5)
        visibility = np.zeros((len(keys), len(observations)))
        for column, observation in enumerate(observations):
            stored = observation.keyframe
            if stored is None:
                continue
            relation, pixel, distance = look_up(
                keys, stored, self._configuration.voxel_size_m, self._configuration.margin_m
            )
            near = (relation == ON_SURFACE) | (relation == NEAR_SURFACE)
            lifted = observation.lifted(keys)
            inside = lifted.copy()
            inside[near] |= observation.mask().ravel()[pixel[near]]
            probabilities[:, column] = np.where(inside, observation.probability, 1.0 - observation.probability)
            seen = near | lifted | (relation == SEEN_THROUGH)
            visibility[seen, column] = view_weight(distance[seen])
        return probabilities, visibility

    @staticmethod
    def _embeddings_of(observations: Sequence[Observation]) -> NDArray[np.float32]:
        # (K, D) embeddings of the model that made the newest one; those of others cannot be compared with it.
        length = len(observations[-1].embedding) if observations else 0
        rows = [item.embedding if len(item.embedding) == length else np.zeros(length) for item in observations]
        return np.array(rows, dtype=np.float32).reshape(len(observations), length)
