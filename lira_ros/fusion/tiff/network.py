"""The network of TIFF, layer by layer and with the parameter names of the published checkpoints.

Every candidate asks the voxels of its own mask and its own text what it is; candidates meet only in the sparse
convolution over the voxels of all of them. Written from the description of the released module
(github.com/zhen6618/LIRA, models/fusion.py and mask3dformer.py); 3,494,977 parameters with the published dimensions.
Two things differ on purpose: a candidate that is flat along an axis is answered, where the original divides by zero;
and a query is multiplied with the weight of the keys before it meets the keys, the same sum in another order.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lira_ros.fusion.tiff.sparse_convolution import BackEnd, Convolution, NeighbourRule, convolution_over

# The published dimensions: LISA's hidden state, SAM's image embedding.
PUBLISHED_TEXT_LENGTH = 4096
PUBLISHED_FEATURE_LENGTH = 256

# Sizes of the layers of the released module.
HIDDEN_LENGTH = 128
VOXEL_LENGTH = 64
HEADS = 8
ROUNDS = 3
SPARSE_LAYERS = 12
FEED_FORWARD_LENGTH = 512
BOX_LENGTH = 6

# Edge of LIRA's voxels.
VOXEL_M = 0.04


@dataclass(frozen=True)
class FragmentCandidates:
    """What TIFF is given of one fragment with N voxels and n candidates, all on one device.

    coordinates: (N, 3) integers, places of the voxels in the fragment; origin_voxels: (3,) integers, place of the
    fragment in the map; features: (N, F), mean image feature of each voxel, zero where none is known; masks: (n, N)
    bool; texts: (n, T), text feature of each candidate; voxel_m: edge of a voxel.
    """

    coordinates: Tensor
    origin_voxels: Tensor
    features: Tensor
    masks: Tensor
    texts: Tensor
    voxel_m: float = VOXEL_M

    def to(self, device: torch.device) -> FragmentCandidates:
        """Return the same on a device."""
        return FragmentCandidates(
            self.coordinates.to(device),
            self.origin_voxels.to(device),
            self.features.to(device),
            self.masks.to(device),
            self.texts.to(device),
            self.voxel_m,
        )


@dataclass(frozen=True)
class CandidateEmbeddings:
    """What TIFF says of n candidates: embeddings (n, 128), not normalised, and confidence_logits (n,)."""

    embeddings: Tensor
    confidence_logits: Tensor

    @property
    def confidences(self) -> Tensor:
        """Confidence of each candidate, (n,) in [0, 1]."""
        return torch.sigmoid(self.confidence_logits)


class Perceptron(nn.Module):
    """Linear layers with ReLU between them and none after the last."""

    def __init__(self, *lengths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in itertools.pairwise(lengths))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., last length) from (..., first length)."""
        for index, layer in enumerate(self.layers):
            x = layer(x if index == 0 else torch.relu(x))
        return x


class SubmanifoldWeights(nn.Module):
    """Weight and bias of one submanifold convolution; the places of its voxels come with each call."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, 3, 3, 3, length))
        self.bias = nn.Parameter(torch.empty(length))
        bound = 1.0 / math.sqrt(27 * length)  # as PyTorch begins its own convolutions
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, features: Tensor, convolution: Convolution) -> Tensor:
        """Return (U, length) from (U, length)."""
        return convolution(features, self.weight, self.bias)


class SparseLayer(nn.Module):
    """Convolution, ReLU, sum with what came in, LayerNorm."""

    def __init__(self, length: int) -> None:
        super().__init__()
        # The names of the checkpoint have the convolution two modules deep.
        self.SConv3d = nn.ModuleDict({"sparsesubmconv3d": SubmanifoldWeights(length)})
        self.norm = nn.LayerNorm(length)

    def forward(self, features: Tensor, convolution: Convolution) -> Tensor:
        """Return (U, length) from (U, length)."""
        return self.norm(features + torch.relu(self.SConv3d["sparsesubmconv3d"](features, convolution)))


class SparseLayers(nn.Module):
    """Twelve sparse layers over the same voxels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(SparseLayer(VOXEL_LENGTH) for _ in range(SPARSE_LAYERS))

    def forward(self, features: Tensor, convolution: Convolution) -> Tensor:
        """Return (U, 64) from (U, 64)."""
        for layer in self.layers:
            features = layer(features, convolution)
        return features


class FourierEncoding(nn.Module):
    """Sines and cosines of random projections of places; the projections belong to the checkpoint."""

    gauss_B: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gauss_B", torch.randn(3, HIDDEN_LENGTH // 2))

    def forward(self, coordinates: Tensor) -> Tensor:
        """Return (V, 128) from the places (V, 3) of the voxels of one candidate, within their own bounds.

        An axis along which the candidate is flat counts as 0.
        """
        places = coordinates.to(self.gauss_B.dtype)
        lowest = places.amin(dim=0)
        extent = places.amax(dim=0) - lowest
        shares = (places - lowest) / torch.where(extent > 0, extent, torch.ones_like(extent))
        angles = (2.0 * math.pi * shares) @ self.gauss_B
        return torch.cat((angles.sin(), angles.cos()), dim=1)


class AttentionWeights(nn.Module):
    """Attention of eight heads with a residual and a LayerNorm after it: the parameters of nn.MultiheadAttention.

    It is not called itself: each candidate has one query and its own keys, for which padding all to the longest would
    cost many times more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(HIDDEN_LENGTH, HEADS)
        self.norm = nn.LayerNorm(HIDDEN_LENGTH)

    def _parts(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        attention = self.multihead_attn
        return attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)

    def _closed(self, queries: Tensor, values: Tensor) -> Tensor:
        return self.norm(queries + self.multihead_attn.out_proj(values))


class VoxelAttention(AttentionWeights):
    """Each candidate looks at the voxels of its mask."""

    def forward(self, queries: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
        """Return (n, 128) from queries (n, 128) and, of each candidate, keys and values (V, 128) of its voxels."""
        (query_weight, key_weight, value_weight), (query_bias, _, value_bias) = self._parts()
        length = HIDDEN_LENGTH // HEADS
        query_heads = nn.functional.linear(queries, query_weight, query_bias).view(-1, HEADS, length)
        # q . (W k + b) = (W^T q) . k + q . b, whose second part is the same for all keys and falls out of the softmax.
        probes = torch.einsum("nhl,hlc->nhc", query_heads, key_weight.view(HEADS, length, HIDDEN_LENGTH))
        probes = probes / math.sqrt(length)
        seen = [
            torch.softmax(probe @ key.T, dim=1) @ value for probe, key, value in zip(probes, keys, values, strict=True)
        ]
        # The weights of a softmax sum to 1, so the values may be projected after their mean is taken.
        heads = torch.einsum("nhc,hlc->nhl", torch.stack(seen), value_weight.view(HEADS, length, HIDDEN_LENGTH))
        return self._closed(queries, heads.reshape(-1, HIDDEN_LENGTH) + value_bias)


class TextAttention(AttentionWeights):
    """Each candidate looks at its own text, the only key it has: the softmax is 1, query and key have no effect."""

    def forward(self, queries: Tensor, texts: Tensor) -> Tensor:
        """Return (n, 128) from queries (n, 128) and texts (n, 128)."""
        weights, biases = self._parts()
        return self._closed(queries, nn.functional.linear(texts, weights[2], biases[2]))


class FeedForward(nn.Module):
    """Two linear layers with ReLU between them, a residual and a LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(HIDDEN_LENGTH, FEED_FORWARD_LENGTH)
        self.linear2 = nn.Linear(FEED_FORWARD_LENGTH, HIDDEN_LENGTH)
        self.norm = nn.LayerNorm(HIDDEN_LENGTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, 128) from (n, 128)."""
        return self.norm(x + self.linear2(torch.relu(self.linear1(x))))


class Tiff(nn.Module):
    """TIFF: one embedding and one confidence for each candidate of a fragment.

    text_length, feature_length: lengths of the text and voxel features; rule, back_end: see sparse_convolution.
    """

    def __init__(
        self,
        text_length: int = PUBLISHED_TEXT_LENGTH,
        feature_length: int = PUBLISHED_FEATURE_LENGTH,
        rule: NeighbourRule = NeighbourRule.PLUS1,
        back_end: BackEnd = BackEnd.PYTORCH,
    ) -> None:
        super().__init__()
        self.text_length, self.feature_length = text_length, feature_length
        self.rule, self.back_end = rule, back_end
        self.text_transform = Perceptron(text_length, 256, HIDDEN_LENGTH)
        self.box_encoder = Perceptron(BOX_LENGTH, 256, 256, HIDDEN_LENGTH)
        self.contrastive_occ_pre_fc = nn.Linear(feature_length, VOXEL_LENGTH)
        self.contrastive_occ_pre = SparseLayers()
        self.contrastive_occ_pre_fc_2 = nn.Linear(VOXEL_LENGTH, HIDDEN_LENGTH)
        self.contrastive_pos_enc = FourierEncoding()
        self.contrastive_cross_attn_to_occ_feats = nn.ModuleList(VoxelAttention() for _ in range(ROUNDS))
        self.contrastive_cross_attn_to_text_feats = nn.ModuleList(TextAttention() for _ in range(ROUNDS))
        self.contrastive_ffn_layers = nn.ModuleList(FeedForward() for _ in range(ROUNDS))
        self.contrastive_transform = Perceptron(HIDDEN_LENGTH, 256, 256, HIDDEN_LENGTH)
        self.confidence_transform = Perceptron(HIDDEN_LENGTH, HIDDEN_LENGTH, HIDDEN_LENGTH, 1)

    def forward(self, fragment: FragmentCandidates) -> CandidateEmbeddings:
        """Return the embeddings and confidences of the candidates of a fragment; of none, empty ones.

        Raises:
            ValueError: if the shapes do not fit each other or the network, or a candidate covers no voxel.
        """
        self._check(fragment)
        if len(fragment.masks) == 0:
            none = fragment.texts.new_empty(0, HIDDEN_LENGTH, dtype=self.contrastive_pos_enc.gauss_B.dtype)
            return CandidateEmbeddings(none, none[:, 0])
        union = fragment.masks.any(dim=0)
        coordinates = fragment.coordinates[union]
        rows = [mask.nonzero()[:, 0] for mask in fragment.masks[:, union]]

        memory = self._memory(fragment.features[union], coordinates)
        values = [memory[own] for own in rows]
        keys = [value + self.contrastive_pos_enc(coordinates[own]) for value, own in zip(values, rows, strict=True)]
        texts = self.text_transform(fragment.texts.to(memory.dtype))
        queries = self.box_encoder(candidate_boxes(fragment, memory.dtype))
        for to_voxels, to_text, feed_forward in zip(
            self.contrastive_cross_attn_to_occ_feats,
            self.contrastive_cross_attn_to_text_feats,
            self.contrastive_ffn_layers,
            strict=True,
        ):
            queries = feed_forward(to_text(to_voxels(queries, keys, values), texts))
        return CandidateEmbeddings(self.contrastive_transform(queries), self.confidence_transform(queries)[:, 0])

    def _memory(self, features: Tensor, coordinates: Tensor) -> Tensor:
        convolution = convolution_over(coordinates, self.rule, self.back_end)
        projected = self.contrastive_occ_pre_fc(features.to(self.contrastive_occ_pre_fc.weight.dtype))
        return self.contrastive_occ_pre_fc_2(self.contrastive_occ_pre(projected, convolution))

    def _check(self, fragment: FragmentCandidates) -> None:
        voxels, candidates = len(fragment.coordinates), len(fragment.masks)
        expected = {
            "coordinates": (voxels, 3),
            "origin_voxels": (3,),
            "features": (voxels, self.feature_length),
            "masks": (candidates, voxels),
            "texts": (candidates, self.text_length),
        }
        for name, shape in expected.items():
            got = tuple(getattr(fragment, name).shape)
            if got != shape:
                raise ValueError(f"{name}: expected the shape {shape}, got {got}")
        if fragment.masks.dtype != torch.bool:
            raise ValueError(f"masks: expected bool, got {fragment.masks.dtype}")
        empty = (~fragment.masks.any(dim=1)).nonzero()[:, 0].tolist()
        if empty:
            raise ValueError(f"masks: expected at least one voxel of each candidate, those of {empty} have none")


def candidate_boxes(fragment: FragmentCandidates, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the box of each candidate, (n, 6): centre and extent in metres in the frame of the map.

    Both are of the places of its voxels, so that a candidate of one voxel has no extent.
    """
    places_m = (fragment.coordinates.long() + fragment.origin_voxels.long()).to(dtype) * fragment.voxel_m
    own = fragment.masks[:, :, None]
    lowest = torch.where(own, places_m, torch.inf).amin(dim=1)
    highest = torch.where(own, places_m, -torch.inf).amax(dim=1)
    return torch.cat(((lowest + highest) / 2.0, highest - lowest), dim=1)
