"""LIRA's network of fusion, trained with LIRA's losses on generated homes: the layout of the published checkpoints.

As LIRA does it: fragments of a scan one after the other, so that candidates meet the instances that the map has by
then; candidates of every third keyframe; Adam with a learning rate of 0.001, halved at epochs 6, 8 and 10. Differently,
for a processor: one fragment a step instead of two on each of eight GPUs, and a stretch of each home in an epoch. The
true instances are those of generated homes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lira_ros.fusion.lifting import pack
from lira_ros.fusion.tiff.candidates import FRAGMENT_KEYFRAMES, filled
from lira_ros.fusion.tiff.clean_up import LEAST_INSTANCE_VOXELS, cleaned
from lira_ros.fusion.tiff.global_map import BACKGROUND, FragmentInstances, FragmentVoxels, GlobalMap
from lira_ros.fusion.tiff.lifted_fragment import SURFACE_FEATURES
from lira_ros.fusion.tiff.matching import confident
from lira_ros.fusion.tiff.network import HIDDEN_LENGTH, CandidateEmbeddings, FragmentCandidates, Tiff
from lira_ros.reasoning.language.encoder import EncoderError, find_encoder
from lira_ros.training.configuration import TrainingConfiguration, TrainingError
from lira_ros.training.homes import HomeStore
from lira_ros.training.model_file import load_weights
from lira_ros.training.tiff_fragments import HomeViews, TiffSample, random_placement, sample, views_of
from lira_ros.training.tiff_losses import (
    CONFIDENCE_WEIGHT,
    NO_OBJECT,
    confidence_loss,
    similarity_loss,
)

# LIRA, section 4.5.
LEARNING_RATE = 1e-3
HALVED_AT_EPOCHS = (6, 8, 10)
GRADIENT_NORM = 1.0
# LIRA, section 1.7: the first, fourth and seventh keyframe of a fragment are answered. As that differs from robot to
# robot, it may begin with the second or third as well.
ANSWERED_STEP = 3
# Fragments of a home in an epoch, one after the other: three to four metres of way. LIRA takes whole scans.
STRETCH_FRAGMENTS = 3
# An instance is right from this overlap with an object on.
RIGHT_IOU = 0.5

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class TiffBatch:
    """A fragment; begins: it is the first of its stretch."""

    sample: TiffSample
    begins: bool


class TiffTask:
    """The compat layout with its losses; see training.task.TrainingTask.

    encode: texts to (n, D) vectors. text_length, feature_length: of the network; what is shorter is filled up with 0.
    A training that goes on in the middle of a stretch begins there with an empty map.
    """

    gradient_norm = GRADIENT_NORM
    best_figure = "f1"

    def __init__(
        self,
        homes: Callable[[int], HomeViews],
        seeds: Sequence[int],
        validation_seeds: Sequence[int],
        encode: Encode,
        text_length: int,
        feature_length: int,
        device: torch.device,
    ) -> None:
        self._homes = functools.cache(homes)
        self._seeds = seeds
        self._validation_seeds = validation_seeds
        self._encode = functools.cache(lambda text: encode([text])[0])
        self.device = device
        self.network = Tiff(text_length, feature_length).to(device)
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(self.network.parameters(), LEARNING_RATE)
        self._map = GlobalMap()
        self._validation: list[tuple[TiffSample, ...]] = []

    def learning_rate_factor(self, epoch: int, step: int) -> float:
        """Return 1, halved at each of LIRA's epochs, which are counted from 0."""
        return float(0.5 ** sum(epoch >= halved for halved in HALVED_AT_EPOCHS))

    def batches(self, epoch: int, generator: np.random.Generator) -> Iterator[TiffBatch]:
        """Yield a stretch of each home in a new order, each home turned and shifted anew."""
        for index in generator.permutation(len(self._seeds)):
            home = self._homes(self._seeds[index])
            T_placed_map = random_placement(generator)
            first = int(generator.integers(max(0, home.fragments - STRETCH_FRAGMENTS) + 1))
            answered = range(int(generator.integers(ANSWERED_STEP)), FRAGMENT_KEYFRAMES, ANSWERED_STEP)
            begins = True
            for number in range(first, min(first + STRETCH_FRAGMENTS, home.fragments)):
                item = sample(home, number, T_placed_map, answered)
                # There is nothing to learn from where nothing was answered.
                if len(item.texts) > 0:
                    yield TiffBatch(item, begins)
                    begins = False

    def losses(self, batch: TiffBatch) -> Mapping[str, Tensor]:
        """Return LIRA's losses of a fragment, and take it into the map."""
        if batch.begins:
            self._map = GlobalMap()
        item = batch.sample
        said = self._ask(item)
        known, known_ids = _instances_within(self._map, item.origin_voxels)
        parts = {
            "confidence": confidence_loss(said.confidences, torch.from_numpy(item.ious).to(self.device)),
            "similarity": similarity_loss(
                said.embeddings, item.target_ids.tolist(), torch.from_numpy(known).to(self.device), known_ids
            ),
        }
        # As in the released module the truth tells which candidates enter the map.
        _fuse(self._map, item, said, item.target_ids != NO_OBJECT)
        total = CONFIDENCE_WEIGHT * parts["confidence"] + (1.0 - CONFIDENCE_WEIGHT) * parts["similarity"]
        return {**parts, "total": total}

    def validate(self) -> Mapping[str, float]:
        """Return how good the maps of stretches of homes are when the learned confidence chooses the candidates.

        f1, precision, recall: of instances with an IoU of at least 0.5 with an object, after the clean-up.
        confidence_error: root mean squared error. taken: share of candidates that enter the map.
        """
        if not self._validation:
            for seed in self._validation_seeds:
                home = self._homes(seed)
                stretch = range(min(STRETCH_FRAGMENTS, home.fragments))
                self._validation.append(tuple(sample(home, number, np.eye(4)) for number in stretch))
        right = found = true = 0
        squares, taken = [], []
        for stretch_samples in self._validation:
            global_map = GlobalMap()
            for item in stretch_samples:
                said = self._ask(item)
                confidences = said.confidences.cpu().numpy()
                squares.extend(((confidences - item.ious) ** 2).tolist())
                taken.extend(confident(confidences).tolist())
                _fuse(global_map, item, said, confident(confidences))
            counts = compare(global_map, stretch_samples)
            right, found, true = right + counts[0], found + counts[1], true + counts[2]
        return {
            "f1": 2.0 * right / max(1, found + true),
            "precision": right / max(1, found),
            "recall": right / max(1, true),
            "confidence_error": float(np.sqrt(np.mean(squares))) if squares else 0.0,
            "taken": float(np.mean(taken)) if taken else 0.0,
        }

    def description(self) -> Mapping[str, Any]:
        """Return what the fusion has to know to feed the network."""
        return {
            "layout": "tiff",
            "text": "sentence",
            "text_length": self.network.text_length,
            "features": "surface",
            "feature_length": self.network.feature_length,
            "neighbour_rule": self.network.rule.value,
        }

    def _ask(self, item: TiffSample) -> CandidateEmbeddings:
        texts = [filled(self._encode(text), self.network.text_length) for text in item.texts]
        fragment = FragmentCandidates(
            torch.from_numpy(item.coordinates),
            torch.from_numpy(item.origin_voxels),
            torch.from_numpy(filled(item.features, self.network.feature_length)),
            torch.from_numpy(item.masks),
            torch.from_numpy(np.array(texts, dtype=np.float32).reshape(-1, self.network.text_length)),
        )
        said: CandidateEmbeddings = self.network(fragment.to(self.device))
        return said


def create_tiff_task(configuration: TrainingConfiguration, store: HomeStore, device: torch.device) -> TiffTask:
    """Return the task for the homes of a store.

    Raises TrainingError when there is no sentence encoder, when what it says is longer than the network takes, or when
    the weights to start from are those of another network.
    """
    try:
        encoder = find_encoder()
    except EncoderError as error:
        raise TrainingError(f"tiff: the names of candidates have to be encoded: {error}") from error
    text_length = configuration.text_length or encoder.dimension
    feature_length = configuration.feature_length or SURFACE_FEATURES
    for name, length, least in (
        ("text_length", text_length, encoder.dimension),
        ("feature_length", feature_length, SURFACE_FEATURES),
    ):
        if length < least:
            raise TrainingError(f"{name}: expected at least {least}, which there are to learn from, got {length}")
    task = TiffTask(
        lambda seed: views_of(store.get(seed)),
        configuration.seeds,
        configuration.validation_seeds,
        encoder.encode,
        text_length,
        feature_length,
        device,
    )
    if configuration.start_from:
        load_weights(task.network, Path(configuration.start_from))
    return task


def compare(global_map: GlobalMap, samples: Sequence[TiffSample]) -> tuple[int, int, int]:
    """Return how many instances of a map are right, how many there are, and how many there should be.

    The truth is that of the newest fragment that shows a voxel; objects of fewer than 100 voxels are left out, as
    smaller instances are from the map.
    """
    labels = cleaned(global_map.coordinates, global_map.labels)
    keys = np.concatenate([pack(item.coordinates + item.origin_voxels) for item in reversed(samples)])
    ids = np.concatenate([item.true_ids for item in reversed(samples)])
    keys, first = np.unique(keys, return_index=True)
    places = pack(global_map.coordinates)
    row = np.minimum(np.searchsorted(keys, places), len(keys) - 1)
    true_ids = np.where(keys[row] == places, ids[first][row], 0)
    found = np.unique(labels[labels != BACKGROUND])
    objects, sizes = np.unique(true_ids[true_ids != 0], return_counts=True)
    large = objects[sizes >= LEAST_INSTANCE_VOXELS]
    right = 0
    for identifier in large:
        own = true_ids == identifier
        inside, counts = np.unique(labels[own & (labels != BACKGROUND)], return_counts=True)
        for label, shared in zip(inside, counts, strict=True):
            union = np.count_nonzero(own) + np.count_nonzero(labels == label) - shared
            right += bool(shared >= RIGHT_IOU * union)
    return right, len(found), len(large)


def _instances_within(global_map: GlobalMap, origin_voxels: NDArray[np.int64]) -> tuple[NDArray[np.float32], list[int]]:
    """Return the embeddings (G, 128) of the instances with a voxel in the cube at an origin, and their objects."""
    known = [global_map.records[label] for label in global_map.labels_within(origin_voxels)]
    embeddings = np.array([record.embedding for record in known], dtype=np.float32).reshape(-1, HIDDEN_LENGTH)
    return embeddings, [record.target_id for record in known]


def _fuse(global_map: GlobalMap, item: TiffSample, said: CandidateEmbeddings, chosen: NDArray[np.bool_]) -> None:
    rows = np.flatnonzero(chosen)
    global_map.fuse(
        FragmentVoxels(item.coordinates, item.tsdf, item.origin_voxels),
        FragmentInstances(
            said.embeddings.detach().cpu().numpy()[rows],
            item.masks[rows],
            said.confidences.detach().cpu().numpy()[rows],
            tuple(item.texts[row] for row in rows),
            tuple(item.target_ids[rows].tolist()),
        ),
    )
