"""Training of the learned fusion (lira_ros.fusion.learned) on generated homes."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.learned.features import VOXEL_FEATURES, Tokens
from lira_ros.fusion.learned.model_file import load_network_file
from lira_ros.fusion.learned.network import InstanceNetwork, NetworkShape, TokenBatch, stack
from lira_ros.reasoning.candidate_errors import CandidateErrors
from lira_ros.reasoning.language.encoder import find_encoder
from lira_ros.training.configuration import TrainingConfiguration
from lira_ros.training.homes import HomeStore
from lira_ros.training.instances_data import (
    VOXELS_PER_GROUP,
    Sample,
    VoxelGroup,
    read_samples,
    record,
    write_samples,
)

# Levels of errors by home; the middle one is the commonest, as it looks like today's segmenters. Homes that are fused
# by a network to start from are walked through with other levels and errors than before.
LEVELS = ("middle", "light", "heavy", "middle", "none", "heavy", "light", "middle")
BATCH_KEYFRAMES = 16
# Groups of voxels of a keyframe that a step learns from; more of one picture say the same.
BATCH_GROUPS = 10
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2
WARM_UP_STEPS = 100
# Share of the keyframes that are shown without labels, without looks, and without what adapters make of either, so that
# the network works with reasoners that give none.
WITHOUT_LABELS, WITHOUT_LOOKS, WITHOUT_ADAPTERS = 0.15, 0.2, 0.5
# Pairs that are far apart in space are easy and many.
FAR_PAIR_WEIGHT = 0.1
PAIR_GAP, PAIR_SAID, PAIR_MEANT, PAIR_LOOKED = 4, 13, 14, 15
# Parts of the loss, by how much they matter for a map: whose a voxel is decides masks, what is the same decides things.
WEIGHTS = {"same": 2.0, "valid": 0.5, "overlap": 0.5, "voxels": 1.0}


@dataclass
class Batch:
    """Keyframes side by side, with the truth; groups as rows of (keyframe, candidate, instance or -1)."""

    tokens: TokenBatch
    objects: Tensor
    overlap: Tensor
    groups: Tensor
    features: Tensor
    own: Tensor
    judged: Tensor


@lru_cache(maxsize=1)
def _encoder() -> Callable[[str], NDArray[np.float32]]:
    encoder = find_encoder("")

    @lru_cache(maxsize=4096)
    def encode(label: str) -> NDArray[np.float32]:
        vector = np.asarray(encoder.encode([label])[0], dtype=np.float32)
        return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-9))

    return encode


def _record_walk(store: HomeStore, seed: int, start_from: str, path: Path) -> None:
    torch.set_num_threads(1)
    network = load_network_file(Path(start_from)) if start_from else None
    number = 1 if network is not None else 0
    errors = CandidateErrors(LEVELS[(seed + 3 * number) % len(LEVELS)], 1000 * number + seed)
    write_samples(path, record(store.get(seed), errors, FusionConfiguration(), _encoder(), network))


def _samples(store: HomeStore, seeds: Sequence[int], start_from: str, jobs: int, what: str) -> list[Sample]:
    """Return what the homes show, from files where they were recorded before by the same fusion."""
    policy = f"{zlib.crc32(Path(start_from).read_bytes()):08x}" if start_from else "votes"
    folder = store.folder / f"comparisons-{policy}"
    folder.mkdir(exist_ok=True)
    paths = {seed: folder / f"home-{seed:04d}.npz" for seed in seeds}
    missing = [seed for seed, path in paths.items() if not path.is_file()]
    if missing:
        store.prepare(missing, jobs)
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            waiting = [pool.submit(_record_walk, store, seed, start_from, paths[seed]) for seed in missing]
            for one in tqdm(waiting, desc=f"fuse {what}", unit="walk", dynamic_ncols=True):
                one.result()
    return [sample for path in paths.values() for sample in read_samples(path)]


class InstancesTask:
    """Trains the network on comparisons that were written down while homes were fused."""

    gradient_norm = 1.0
    best_figure = "score"

    def __init__(self, network: InstanceNetwork, samples: list[Sample], validation: list[Sample], epochs: int) -> None:
        self.network = network
        self._samples = [sample for sample in samples if len(sample.objects) > 0]
        self._validation = [sample for sample in validation if len(sample.objects) > 0]
        self._steps = epochs * math.ceil(len(self._samples) / BATCH_KEYFRAMES)
        self._device = next(network.parameters()).device
        self.optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def learning_rate_factor(self, epoch: int, step: int) -> float:
        """Return a warm-up, then half a cosine down to nothing."""
        if step < WARM_UP_STEPS:
            return (step + 1) / WARM_UP_STEPS
        done = min(1.0, (step - WARM_UP_STEPS) / max(1, self._steps - WARM_UP_STEPS))
        return 0.5 * (1.0 + math.cos(math.pi * done))

    def batches(self, epoch: int, generator: np.random.Generator) -> Iterator[Batch]:
        """Yield all keyframes in a random order, those of like size together."""
        sizes = np.array([len(sample.objects) for sample in self._samples])
        # A little disorder keeps batches of one size from being the same in every epoch.
        order = np.argsort(sizes + generator.uniform(0, 8, len(sizes)), kind="stable")
        batches = [order[start : start + BATCH_KEYFRAMES] for start in range(0, len(order), BATCH_KEYFRAMES)]
        for index in generator.permutation(len(batches)):
            chosen = [_augmented(self._samples[row], generator) for row in batches[index]]
            yield self._batch(chosen, generator)

    def losses(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the binary cross entropies of pairs, tokens and voxels, and their weighted sum."""
        said = self.network(batch.tokens)
        tokens = batch.tokens
        objects, present = batch.objects, tokens.present
        first, second = objects[:, :, None], objects[:, None]
        same = ((first == second) & (first > 0)).float()
        weight = (present[:, :, None] & present[:, None] & ((first > 0) | (second > 0))).float()
        weight = weight * (1.0 - torch.eye(objects.shape[1], device=objects.device))
        weight = weight * torch.where((tokens.pairs[..., PAIR_GAP] <= 0.05) | (same > 0), 1.0, FAR_PAIR_WEIGHT)
        parts = {"same": _mean(functional.binary_cross_entropy_with_logits(said.same, same, reduction="none"), weight)}
        valid = functional.binary_cross_entropy_with_logits(said.valid, (objects > 0).float(), reduction="none")
        parts["valid"] = _mean(valid, present.float())
        overlap = functional.binary_cross_entropy_with_logits(said.overlap, batch.overlap, reduction="none")
        # Cross entropy with soft targets is not zero at its best; what is above that can be learned.
        sure = batch.overlap.clamp(1e-4, 1 - 1e-4)
        least = -(sure * sure.log() + (1 - sure) * (1 - sure).log())
        parts["overlap"] = _mean(overlap - least, tokens.is_candidate.float())
        if len(batch.groups):
            logits = self._voxel_logits(said.embeddings, said.pairs, batch)
            voxels = functional.binary_cross_entropy_with_logits(logits, batch.own.float(), reduction="none")
            parts["voxels"] = _mean(voxels, batch.judged.float())
        else:
            parts["voxels"] = parts["same"] * 0.0
        parts["total"] = torch.stack([weight * parts[name] for name, weight in WEIGHTS.items()]).sum()
        return parts

    def validate(self) -> Mapping[str, float]:
        """Return F1 of pairs and voxels, accuracy of tokens, and minus the loss as "score", on the validation homes."""
        generator = np.random.default_rng(0)
        counts = {name: np.zeros(3) for name in ("same", "voxels", "valid")}
        totals: list[float] = []
        for start in range(0, len(self._validation), BATCH_KEYFRAMES):
            batch = self._batch(self._validation[start : start + BATCH_KEYFRAMES], generator)
            totals.append(float(self.losses(batch)["total"].detach()))
            said, tokens = self.network(batch.tokens), batch.tokens
            mixed = tokens.is_candidate[:, :, None] & (tokens.present & ~tokens.is_candidate)[:, None]
            true = (batch.objects[:, :, None] == batch.objects[:, None]) & (batch.objects[:, :, None] > 0)
            _count(counts["same"], said.same > 0, true, mixed)
            _count(counts["valid"], said.valid > 0, batch.objects > 0, tokens.is_candidate)
            if len(batch.groups):
                logits = self._voxel_logits(said.embeddings, said.pairs, batch)
                _count(counts["voxels"], logits > 0, batch.own, batch.judged)
        figures = {f"{name} F1": 2 * both / max(1.0, said + true) for name, (both, said, true) in counts.items()}
        return {**figures, "score": -float(np.mean(totals)) if totals else 0.0}

    def description(self) -> Mapping[str, Any]:
        """Return the shape of the network, and what it learned from."""
        return {
            "shape": asdict(self.network.shape),
            "parameters": sum(item.numel() for item in self.network.parameters()),
            "keyframes": len(self._samples),
            "validation_keyframes": len(self._validation),
            "levels": list(LEVELS),
        }

    def _voxel_logits(self, embeddings: Tensor, pairs: Tensor, batch: Batch) -> Tensor:
        row, c, m = batch.groups.unbind(1)
        none = (m < 0)[:, None]
        place = m.clamp(min=0)
        instance = torch.where(none, self.network.no_instance, embeddings[row, place])
        pair = torch.where(none, self.network.no_pair, pairs[row, c, place])
        return self.network.voxel_logits(embeddings[row, c], instance, pair, batch.features)

    def _batch(self, samples: Sequence[Sample], generator: np.random.Generator) -> Batch:
        tokens = stack([sample.tokens for sample in samples], self.network.shape)
        total = tokens.present.shape[1]
        objects = np.zeros((len(samples), total), dtype=np.int64)
        overlap = np.zeros((len(samples), total), dtype=np.float32)
        groups, features, own, judged = [], [], [], []
        for row, sample in enumerate(samples):
            objects[row, : len(sample.objects)] = sample.objects
            overlap[row, : len(sample.overlap)] = sample.overlap
            chosen: Sequence[VoxelGroup] = sample.groups
            if len(chosen) > BATCH_GROUPS:
                chosen = [chosen[i] for i in generator.choice(len(chosen), BATCH_GROUPS, replace=False)]
            for group in chosen:
                count = len(group.own)
                groups.append((row, group.c, group.m + len(sample.tokens.candidates) if group.m >= 0 else -1))
                padded = np.zeros((VOXELS_PER_GROUP, VOXEL_FEATURES), dtype=np.float32)
                padded[:count] = group.features
                features.append(padded)
                own.append(np.pad(group.own, (0, VOXELS_PER_GROUP - count)))
                judged.append(np.arange(VOXELS_PER_GROUP) < count)
        shape = (0, VOXELS_PER_GROUP)
        batch = Batch(
            tokens,
            torch.from_numpy(objects),
            torch.from_numpy(overlap),
            torch.from_numpy(np.array(groups, dtype=np.int64).reshape(-1, 3)),
            torch.from_numpy(np.stack(features) if features else np.zeros((*shape, VOXEL_FEATURES), np.float32)),
            torch.from_numpy(np.stack(own) if own else np.zeros(shape, np.bool_)),
            torch.from_numpy(np.stack(judged) if judged else np.zeros(shape, np.bool_)),
        )
        return _moved(batch, self._device)


def _moved(batch: Batch, device: torch.device) -> Batch:
    tokens = TokenBatch(**{name: value.to(device) for name, value in vars(batch.tokens).items()})
    rest = {name: value.to(device) for name, value in vars(batch).items() if name != "tokens"}
    return Batch(tokens=tokens, **rest)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def _count(counts: NDArray[np.float64], said: Tensor, true: Tensor, where: Tensor) -> None:
    counts += [float((said & true & where).sum()), float((said & where).sum()), float((true & where).sum())]


def _augmented(sample: Sample, generator: np.random.Generator) -> Sample:
    """Take away what some reasoners do not give."""
    tokens: Tokens = sample.tokens
    pairs = tokens.pairs.astype(np.float32)
    candidates, instances = tokens.candidates, tokens.instances
    texts, looks = tokens.texts, tokens.looks
    nothing = np.zeros(0, dtype=np.float32)
    if generator.random() < WITHOUT_LABELS:
        pairs[..., [PAIR_SAID, PAIR_MEANT]] = 0.0
        candidates, instances = candidates.copy(), instances.copy()
        candidates[:, 1:3] = instances[:, 1:3] = 0.0
        texts = [nothing] * len(texts)
    if generator.random() < WITHOUT_LOOKS:
        pairs[..., PAIR_LOOKED] = 0.0
        looks = [nothing] * len(looks)
    if generator.random() < WITHOUT_ADAPTERS:
        texts = looks = [nothing] * len(texts)
    return replace(sample, tokens=Tokens(candidates, instances, pairs, texts, looks))


def create_instances_task(
    configuration: TrainingConfiguration, store: HomeStore, device: torch.device
) -> InstancesTask:
    """Return the task: homes are fused and written down first, by the votes and by the network to start from, if any.

    Raises FusionModelError for a file to start from that is no such network, ConfigurationError for homes of other
    splits.
    """
    begun = configuration.start_from
    network = load_network_file(Path(begun)) if begun else InstanceNetwork(NetworkShape())
    lengths = (configuration.text_length, configuration.feature_length)
    wanted = tuple(given or own for given, own in zip(lengths, network.shape.lengths, strict=True))
    if wanted != network.shape.lengths:
        network = network.adapted(*wanted)
    samples: list[Sample] = []
    for policy in ("", begun) if begun else ("",):
        samples += _samples(store, configuration.seeds, policy, configuration.jobs, "homes to learn from")
    validation = _samples(store, configuration.validation_seeds, begun, configuration.jobs, "validation homes")
    return InstancesTask(network.to(device), samples, validation, configuration.epochs)
