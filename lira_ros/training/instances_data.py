"""What the learned fusion learns from: walks are fused, and every comparison is written down beside the truth.

Instances come from fusing the walk with the errors of candidates, by the hand-made method or by a network trained so
far, so the network is shown the mistakes that a running map has (Ross et al., DAgger, AISTATS 2011).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.association import Association, InstanceView, LiftedCandidate
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.evidence import InstanceEvidence
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.learned.features import PAIR_FEATURES, FeatureMaker, KeyframeFeatures, Tokens
from lira_ros.fusion.learned.method import Learned
from lira_ros.fusion.learned.network import InstanceNetwork
from lira_ros.fusion.lifting import NEAR_SURFACE, ON_SURFACE, StoredKeyframe, look_up
from lira_ros.fusion.method import Encode, FusionMethod, Meeting, Votes
from lira_ros.mapping.atomic_file import partial_file
from lira_ros.reasoning.candidate_errors import CandidateCorruption, CandidateErrors
from lira_ros.reasoning.contracts import CandidateSet
from lira_ros.reasoning.oracle import annotated_candidates
from lira_ros.training.homes import HomeRecording

# Voxels of a comparison that are kept: so many say what a mask is worth there.
VOXELS_PER_GROUP = 64
# Answers of a model arrive out of order: this share of the keyframes is answered later by up to so many keyframes.
LATE_SHARE = 0.15
LATE_KEYFRAMES = 4
# An object is what most voxels of an instance show; of an instance that shows several it is none.
LEAST_PURITY = 0.5


@dataclass
class VoxelGroup:
    """Voxels that were judged for one pair: m is -1 for a new instance; (K, F) features, (K,) whether truly its own."""

    c: int
    m: int
    features: NDArray[np.float32]
    own: NDArray[np.bool_]


@dataclass
class Sample:
    """A keyframe: what the network sees, which object each token truly shows (0 = none), and judged voxels.

    objects: (C + M,). overlap: (C,) IoU of each mask with what the picture shows of its object.
    """

    tokens: Tokens
    objects: NDArray[np.int32]
    overlap: NDArray[np.float32]
    groups: list[VoxelGroup] = field(default_factory=list)


class _Recorder(FusionMethod):
    """Passes everything on to another method, and writes down what the learned one would have seen."""

    def __init__(
        self,
        inner: FusionMethod,
        configuration: FusionConfiguration,
        association: Association,
        encode: Encode | None,
        images: dict[int, NDArray[np.uint16]],
        seed: int,
    ) -> None:
        super().__init__(configuration, association)
        self.counts_against = inner.counts_against
        self.samples: list[Sample] = []
        self._inner = inner
        self._maker = FeatureMaker(association, configuration.voxel_size_m, configuration.margin_m, encode)
        self._images = images
        self._random = np.random.default_rng(seed)
        self._shown: dict[int, dict[int, float]] = {}  # votes of pixels for objects, by instance id
        self._features: KeyframeFeatures | None = None

    def meet(self, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe) -> Meeting:
        truth = self._images[stored.id]
        objects, overlap = [], []
        for item in lifted:
            number = _object_of(stored.grid(truth)[item.grid])
            whole = stored.grid(truth) == number
            mask = stored.grid(item.candidate.mask)
            union = int(np.count_nonzero(whole | mask))
            objects.append(number)
            overlap.append(int(np.count_nonzero(whole & mask)) / max(1, union) if number else 0.0)
        for m, evidence in enumerate(view.instances):
            part = view.part(m)
            seen = (view.relation[part] == ON_SURFACE) & (evidence.voxels.share() >= 0.5)
            ids, counts = np.unique(truth.ravel()[view.pixel[part][seen]], return_counts=True)
            votes = self._shown.setdefault(evidence.id, {})
            for number, count in zip(ids.tolist(), counts.tolist(), strict=True):
                votes[number] = votes.get(number, 0.0) + count
            objects.append(_best(votes))
        # The first comparison, before pieces are joined, is the one that has to find them.
        self._features = self._maker.look(view, lifted, stored)
        self.samples.append(Sample(self._features.tokens(), np.array(objects, np.int32), np.array(overlap, np.float32)))
        meeting = self._inner.meet(view, lifted, stored)
        self._judged = len(meeting.lifted) == len(lifted)
        return meeting

    def votes_on_known(self, meeting: Meeting, m: int, c: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        view, part = meeting.view, meeting.view.part(m)
        near = np.flatnonzero((view.relation[part] == ON_SURFACE) | (view.relation[part] == NEAR_SURFACE))
        if self._judged and len(near) and self._features is not None:
            chosen = self._some(near)
            features = self._features.voxels(m, c, chosen)
            self._note(m, c, features, view.pixel[part][chosen], meeting.stored)
        return self._inner.votes_on_known(meeting, m, c)

    def votes_on_new(
        self,
        meeting: Meeting,
        evidence: InstanceEvidence,
        c: int,
        keys: NDArray[np.int64],
        distance_m: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._judged and len(keys) and self._features is not None:
            m = next((row for row, held in enumerate(meeting.view.instances) if held is evidence), -1)
            chosen = keys[self._some(np.arange(len(keys)))]
            features = self._features.new_voxels(evidence, m, c, chosen)
            stored, settings = meeting.stored, self._configuration
            _, pixel, _ = look_up(chosen, stored, settings.voxel_size_m, settings.margin_m)
            self._note(m, c, features, np.maximum(pixel, 0), stored)
        return self._inner.votes_on_new(meeting, evidence, c, keys, distance_m)

    def _some(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(indices) <= VOXELS_PER_GROUP:
            return indices
        return np.sort(self._random.choice(indices, VOXELS_PER_GROUP, replace=False))

    def _note(
        self, m: int, c: int, features: NDArray[np.float32], pixel: NDArray[np.int32], stored: StoredKeyframe
    ) -> None:
        sample = self.samples[-1]
        shown = int(sample.objects[c])
        own = (self._images[stored.id].ravel()[pixel] == shown) & (shown != 0)
        sample.groups.append(VoxelGroup(c, m, features, own))


def _object_of(ids: NDArray[np.uint16]) -> int:
    """Return the object that most of (N,) pixels show; 0 for the background."""
    numbers, counts = np.unique(ids, return_counts=True)
    return int(numbers[np.argmax(counts)]) if len(numbers) else 0


def _best(votes: dict[int, float]) -> int:
    if not votes:
        return 0
    best = max(votes, key=lambda number: votes[number])
    return best if votes[best] >= LEAST_PURITY * sum(votes.values()) else 0


def answers(recording: HomeRecording, errors: CandidateErrors) -> list[CandidateSet]:
    """Return the answer for every keyframe of a home, in order, with the errors of a level."""
    objects = {item.id: item for item in recording.objects}
    corruption = CandidateCorruption(errors, [item.label for item in recording.objects])
    stamps = np.array([keyframe.frame.stamp_ns for keyframe in recording.keyframes])

    def earlier(stamp_ns: int) -> NDArray[np.uint16] | None:
        index = int(np.searchsorted(stamps, stamp_ns, side="right")) - 1
        return recording.instance_images[index] if index >= 0 else None

    result = []
    for keyframe, image in zip(recording.keyframes, recording.instance_images, strict=True):
        clean = annotated_candidates(keyframe, image, objects, measured=False)
        answer = corruption.corrupt(clean, keyframe, earlier, measured=False)
        result.append(dataclasses.replace(answer, instruction_id="training"))
    return result


def arrivals(count: int, random: np.random.Generator) -> list[tuple[int, bool]]:
    """Return in which order (keyframe index, whether it is the answer) things come; some answers are late."""
    due: list[list[int]] = [[] for _ in range(count + LATE_KEYFRAMES + 1)]
    for index in range(count):
        late = int(random.integers(1, LATE_KEYFRAMES + 1)) if random.random() < LATE_SHARE else 0
        due[index + late].append(index)
    order: list[tuple[int, bool]] = []
    for moment, answered in enumerate(due):
        if moment < count:
            order.append((moment, False))
        order += [(index, True) for index in answered]
    return order


def fuse(fusion: InstanceFusion, recording: HomeRecording, answered: list[CandidateSet], seed: int) -> None:
    """Give a fusion the keyframes of a home in order, and the answers as they arrive."""
    for index, is_answer in arrivals(len(recording.keyframes), np.random.default_rng(seed)):
        if is_answer:
            fusion.add_candidates(answered[index])
        else:
            fusion.add_keyframe(recording.keyframes[index])


def record(
    recording: HomeRecording,
    errors: CandidateErrors,
    configuration: FusionConfiguration,
    encode: Encode | None,
    network: InstanceNetwork | None,
) -> list[Sample]:
    """Fuse a home by a network, or by the votes of today without one, and return what was compared on the way."""
    images = {
        keyframe.id: image for keyframe, image in zip(recording.keyframes, recording.instance_images, strict=True)
    }
    recorders: list[_Recorder] = []

    def make(association: Association) -> FusionMethod:
        inner = (
            Votes(configuration, association)
            if network is None
            else Learned(configuration, association, network, encode)
        )
        recorders.append(_Recorder(inner, configuration, association, encode, images, errors.seed))
        return recorders[-1]

    fuse(InstanceFusion(configuration, make), recording, answers(recording, errors), errors.seed)
    return recorders[-1].samples


# -------------------------------------------------------------------- files


def write_samples(path: Path, samples: list[Sample]) -> None:
    """Write the samples of a walk as one uncompressed .npz of half precision, which features and vectors bear."""
    vectors: dict[bytes, int] = {}
    table: list[NDArray[np.float16]] = []

    def number(vector: NDArray[np.float32]) -> int:
        key = vector.tobytes()
        if key not in vectors:
            vectors[key] = len(table)
            table.append(vector.astype(np.float16))
        return vectors[key]

    arrays: dict[str, list[NDArray]] = {name: [] for name in _ARRAYS}
    for sample in samples:
        tokens = sample.tokens
        arrays["counts"].append(np.array([[len(tokens.candidates), len(tokens.instances), len(sample.groups)]]))
        arrays["candidates"].append(tokens.candidates.astype(np.float16))
        arrays["instances"].append(tokens.instances.astype(np.float16))
        arrays["pairs"].append(tokens.pairs.reshape(-1, tokens.pairs.shape[-1]).astype(np.float16))
        arrays["texts"].append(np.array([number(item) for item in tokens.texts], dtype=np.int32))
        arrays["looks"].append(np.array([number(item) for item in tokens.looks], dtype=np.int32))
        arrays["objects"].append(sample.objects)
        arrays["overlap"].append(sample.overlap)
        for group in sample.groups:
            arrays["groups"].append(np.array([[group.c, group.m, len(group.own)]]))
            arrays["features"].append(group.features.astype(np.float16))
            arrays["own"].append(group.own)
    stored = {name: np.concatenate(items) if items else np.zeros(0) for name, items in arrays.items()}
    stored["vector_lengths"] = np.array([len(item) for item in table], dtype=np.int32)
    stored["vectors"] = np.concatenate(table) if table else np.zeros(0, np.float16)
    with partial_file(path) as partial, open(partial, "wb") as file:
        np.savez(file, allow_pickle=False, **stored)


_ARRAYS = (
    "counts",
    "candidates",
    "instances",
    "pairs",
    "texts",
    "looks",
    "objects",
    "overlap",
    "groups",
    "features",
    "own",
)


def read_samples(path: Path) -> list[Sample]:
    """Read what write_samples() wrote; arrays stay in half precision. Raises OSError or ValueError for another file."""
    with np.load(path, allow_pickle=False) as stored:
        data = {name: stored[name] for name in stored.files}
    ends = np.cumsum(data["vector_lengths"])
    vectors = [data["vectors"][end - length : end] for end, length in zip(ends, data["vector_lengths"], strict=True)]
    at = dict.fromkeys(_ARRAYS, 0)

    def take(name: str, count: int) -> NDArray:
        part = data[name][at[name] : at[name] + count]
        at[name] += count
        return part

    samples = []
    for first, second, group_count in data["counts"].tolist():
        total = first + second
        tokens = Tokens(
            take("candidates", first),
            take("instances", second),
            take("pairs", total * total).reshape(total, total, PAIR_FEATURES),
            [vectors[i] for i in take("texts", total)],
            [vectors[i] for i in take("looks", total)],
        )
        sample = Sample(tokens, take("objects", total), take("overlap", first))
        for c, m, count in take("groups", group_count).tolist():
            sample.groups.append(VoxelGroup(c, m, take("features", count), take("own", count)))
        samples.append(sample)
    return samples
