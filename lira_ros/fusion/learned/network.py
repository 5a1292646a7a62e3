"""The network of the learned fusion: candidates and instances attend to each other, pairs and voxels are judged.

What LIRA's TIFF leaves out (specification, 10.4): candidates see one another and the instances that are there already,
what they share in space is part of every comparison, masks of one picture are told apart, and each voxel is judged
instead of whole masks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lira_ros.fusion.learned.features import (
    CANDIDATE_FEATURES,
    INSTANCE_FEATURES,
    PAIR_FEATURES,
    VOXEL_FEATURES,
    Tokens,
)

# Share of the hidden values that are left out while learning (the usual tenth of transformers): fifty homes are learned
# by heart otherwise.
DROPOUT = 0.1


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of the network. text_length, look_length: of the vectors of labels and of looks, 0 = not used."""

    text_length: int = 384
    look_length: int = 192
    width: int = 128
    heads: int = 4
    rounds: int = 4
    pair_width: int = 48
    voxel_width: int = 96

    @property
    def lengths(self) -> tuple[int, int]:
        """Return the lengths of the vectors of labels and of looks."""
        return self.text_length, self.look_length


@dataclass
class TokenBatch:
    """B keyframes of at most T tokens, candidates and instances mixed.

    candidates: (B, T, CANDIDATE_FEATURES), zero where a token is none. instances: likewise. is_candidate, present:
    (B, T) bool. pairs: (B, T, T, PAIR_FEATURES). texts, looks: (B, T, L); zero where there is none.
    """

    candidates: Tensor
    instances: Tensor
    is_candidate: Tensor
    present: Tensor
    pairs: Tensor
    texts: Tensor
    looks: Tensor


@dataclass
class Comparison:
    """What the network says: embeddings (B, T, width), same (B, T, T), valid (B, T), overlap (B, T); logits."""

    embeddings: Tensor
    pairs: Tensor
    same: Tensor
    valid: Tensor
    overlap: Tensor


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for first, second in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(first, second), nn.Sequential(nn.GELU(), nn.Dropout(DROPOUT))]
    layers.append(nn.Linear(sizes[-2], sizes[-1]))
    return nn.Sequential(*layers)


class _Round(nn.Module):
    """Attention among tokens with a bias for every pair, then an update of the pairs by their two ends."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        width, pair = shape.width, shape.pair_width
        self.heads = shape.heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.bias = nn.Linear(pair, shape.heads)
        self.out = nn.Linear(width, width)
        self.gather = nn.Linear(pair, width)
        self.feed = nn.Sequential(nn.LayerNorm(width), _mlp(width, 3 * width, width))
        self.pair_norm = nn.LayerNorm(pair)
        self.end = nn.Linear(width, pair)
        self.pair_feed = _mlp(2 * pair, 2 * pair, pair)

    def forward(self, tokens: Tensor, pairs: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        batch, count, width = tokens.shape
        normal = self.norm(tokens)
        query, key, value = self.query_key_value(normal).chunk(3, dim=-1)

        def by_head(item: Tensor) -> Tensor:
            return item.reshape(batch, count, self.heads, -1).transpose(1, 2)

        scores = by_head(query) @ by_head(key).transpose(2, 3) / (width // self.heads) ** 0.5
        scores = scores + self.bias(pairs).permute(0, 3, 1, 2)
        scores = scores.masked_fill(~present[:, None, None], -1e9)
        weights = scores.softmax(dim=-1)
        mixed = (weights @ by_head(value)).transpose(1, 2).reshape(batch, count, width)
        # What the attended pairs are like is news as well, not only what is at their other end.
        near = torch.einsum("bij,bijp->bip", weights.mean(dim=1), pairs)
        tokens = tokens + self.out(mixed) + self.gather(near)
        tokens = tokens + self.feed(tokens)
        ends = self.end(tokens)
        symmetric = ends[:, :, None] + ends[:, None]
        pairs = pairs + self.pair_feed(torch.cat([self.pair_norm(pairs), symmetric], dim=-1))
        return tokens, pairs


class InstanceNetwork(nn.Module):
    """Tells which candidates and instances are the same thing, which are whole, and which voxels are theirs."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.candidate_encoder = _mlp(CANDIDATE_FEATURES, width, width)
        self.instance_encoder = _mlp(INSTANCE_FEATURES, width, width)
        # The adapters: of other encoders they are trained anew and everything else stays.
        self.text_adapter = nn.Linear(shape.text_length, width, bias=False) if shape.text_length else None
        self.look_adapter = nn.Linear(shape.look_length, width, bias=False) if shape.look_length else None
        self.pair_encoder = _mlp(PAIR_FEATURES, 2 * shape.pair_width, shape.pair_width)
        self.rounds = nn.ModuleList(_Round(shape) for _ in range(shape.rounds))
        self.norm = nn.LayerNorm(width)
        self.pair_norm = nn.LayerNorm(shape.pair_width)
        self.same = _mlp(shape.pair_width + width, 64, 1)
        self.valid = _mlp(width, 64, 1)
        self.overlap = _mlp(width, 64, 1)
        self.no_instance = nn.Parameter(torch.zeros(width))
        self.no_pair = nn.Parameter(torch.zeros(shape.pair_width))
        # What is the same for all voxels of a pair is computed once a pair.
        self.voxel_context = nn.Linear(2 * width + shape.pair_width, shape.voxel_width)
        self.voxel_input = nn.Linear(VOXEL_FEATURES, shape.voxel_width)
        self.voxel_output = _mlp(shape.voxel_width, shape.voxel_width, 1)
        self.drop = nn.Dropout(DROPOUT)

    def adapted(self, text_length: int, look_length: int) -> InstanceNetwork:
        """Return the same network for vectors of other encoders.

        An adapter of another length begins with zeros: until it is trained the network goes by the agreement of vectors
        with one another, which has no length.
        """
        network = InstanceNetwork(replace(self.shape, text_length=text_length, look_length=look_length))
        weights = self.state_dict()
        for name, tensor in network.state_dict().items():
            if name not in weights or weights[name].shape != tensor.shape:
                weights[name] = torch.zeros_like(tensor)
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
        return network

    def forward(self, batch: TokenBatch) -> Comparison:
        """Compare the tokens of keyframes."""
        tokens = torch.where(
            batch.is_candidate[..., None],
            self.candidate_encoder(batch.candidates),
            self.instance_encoder(batch.instances),
        )
        if self.text_adapter is not None:
            tokens = tokens + self.text_adapter(batch.texts)
        if self.look_adapter is not None:
            tokens = tokens + self.look_adapter(batch.looks)
        pairs = self.pair_encoder(batch.pairs)
        for one in self.rounds:
            tokens, pairs = one(tokens, pairs, batch.present)
        tokens, pairs = self.norm(tokens), self.pair_norm(pairs)
        product = tokens[:, :, None] * tokens[:, None]
        same = self.same(torch.cat([pairs, product], dim=-1)).squeeze(-1)
        same = 0.5 * (same + same.transpose(1, 2))
        return Comparison(tokens, pairs, same, self.valid(tokens).squeeze(-1), self.overlap(tokens).squeeze(-1))

    def voxel_logits(self, candidate: Tensor, instance: Tensor, pair: Tensor, features: Tensor) -> Tensor:
        """Return (P, K) logits that voxels belong to what a candidate shows.

        candidate, instance: (P, width), ``no_instance`` for none; pair: (P, pair_width), ``no_pair`` for none;
        features: (P, K, VOXEL_FEATURES).
        """
        context = self.voxel_context(torch.cat([candidate, instance, pair], dim=-1))
        hidden = self.drop(nn.functional.gelu(self.voxel_input(features) + context[:, None]))
        return self.voxel_output(hidden).squeeze(-1)


def stack(tokens: Sequence[Tokens], shape: NetworkShape) -> TokenBatch:
    """Put keyframes side by side, padded to the largest; vectors of other lengths than the adapters' count as none."""
    counts = [len(item.candidates) + len(item.instances) for item in tokens]
    batch, total = len(tokens), max([1, *counts])
    candidates = np.zeros((batch, total, CANDIDATE_FEATURES), dtype=np.float32)
    instances = np.zeros((batch, total, INSTANCE_FEATURES), dtype=np.float32)
    is_candidate = np.zeros((batch, total), dtype=np.bool_)
    present = np.zeros((batch, total), dtype=np.bool_)
    pairs = np.zeros((batch, total, total, PAIR_FEATURES), dtype=np.float32)
    texts = np.zeros((batch, total, shape.text_length), dtype=np.float32)
    looks = np.zeros((batch, total, shape.look_length), dtype=np.float32)
    for row, item in enumerate(tokens):
        first, count = len(item.candidates), counts[row]
        candidates[row, :first] = item.candidates
        instances[row, first:count] = item.instances
        is_candidate[row, :first] = True
        present[row, :count] = True
        pairs[row, :count, :count] = item.pairs
        _fill(texts[row], item.texts)
        _fill(looks[row], item.looks)
    return TokenBatch(
        candidates=torch.from_numpy(candidates),
        instances=torch.from_numpy(instances),
        is_candidate=torch.from_numpy(is_candidate),
        present=torch.from_numpy(present),
        pairs=torch.from_numpy(pairs),
        texts=torch.from_numpy(texts),
        looks=torch.from_numpy(looks),
    )


def _fill(rows: NDArray[np.float32], vectors: Sequence[NDArray[np.float32]]) -> None:
    for row, vector in zip(rows, vectors, strict=False):
        if len(vector) and len(vector) == rows.shape[1]:
            row[:] = vector
