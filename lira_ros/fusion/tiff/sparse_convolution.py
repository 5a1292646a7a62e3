"""Submanifold 3 x 3 x 3 convolution over the voxels of a fragment; neighbours are found once for all layers.

A weight is (out, 3, 3, 3, in) with the offsets -1, 0, 1 along x, y, z, as spconv from 2.2 on stores it, and is applied
as a cross-correlation: y[p] = bias + sum over d of W[:, dx + 1, dy + 1, dz + 1, :] x[p + d], over existing voxels.

LIRA declares a volume that is one voxel too small on every axis, so that spconv takes the voxels on the three largest
faces for outside ones. What then happens differs between spconv's kernels for processors and for CUDA; NeighbourRule
names the choices. Nothing published says which one the released weights were trained with, and no such weights were at
hand when this was written: PLUS1, the plain convolution, is the default.

The back ends SPCONV and TORCHSPARSE need a CUDA device and their package. They were written from the interfaces of
spconv 2.3 and torchsparse 2.1, and were never run on a GPU by the makers of this project. PYTORCH runs anywhere.
"""

from __future__ import annotations

import enum
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

# Of the 27 offsets, those of the second half are later in (x, y, z) order than the voxel itself, the first half mirrors
# them, and the one between is the voxel itself.
_OFFSETS = tuple((x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1))
_CENTRE = len(_OFFSETS) // 2


class NeighbourRule(enum.Enum):
    """Which voxels count as neighbours."""

    PLUS1 = "plus1"  # all that touch: the volume as large as it is
    QUIRK_CPU = "quirk_cpu"  # the volume of LIRA in spconv's search on processors
    QUIRK_GPU = "quirk_gpu"  # the same in its search on CUDA; of voxels with one key the last is found
    QUIRK_GPU_FIRST = "quirk_gpu_first"  # the same, of voxels with one key the first; CUDA promises neither


class BackEnd(enum.Enum):
    """What computes the convolution."""

    PYTORCH = "pytorch"
    SPCONV = "spconv"
    TORCHSPARSE = "torchsparse"


class Convolution(Protocol):
    """A convolution over the voxels of one fragment."""

    def __call__(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return (N, out) from features (N, in), a weight (out, 3, 3, 3, in) and a bias (out,)."""


@dataclass(frozen=True)
class NeighbourTable:
    """Rows of voxels that are neighbours, ordered by offset.

    sources, targets: (P,) int64, what is read and where its product is added; counts: pairs of each of the 27 offsets
    in the order of the weight. The voxel itself (offset 13) has no pairs, as all rows take part.
    """

    sources: Tensor
    targets: Tensor
    counts: tuple[int, ...]

    def parts(self, *per_offset: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield the rows of tensors (27, ...) of each offset that has pairs, with its sources and its targets."""
        columns = *per_offset, self.sources.split(self.counts), self.targets.split(self.counts)
        yield from (part for part in zip(*columns, strict=True) if len(part[-1]) > 0)


def neighbour_table(coordinates: Tensor, rule: NeighbourRule = NeighbourRule.PLUS1) -> NeighbourTable:
    """Return the neighbours of voxels by their indices (N, 3), integers in any order and range.

    Raises:
        ValueError: if the shape or the type is another one, or a voxel occurs twice.
    """
    if coordinates.ndim != 2 or coordinates.shape[1] != 3 or coordinates.is_floating_point():
        raise ValueError(
            f"coordinates: expected integers (N, 3), got {coordinates.dtype} of shape {tuple(coordinates.shape)}"
        )
    device, count = coordinates.device, len(coordinates)
    if count == 0:
        none = torch.empty(0, dtype=torch.int64, device=device)
        return NeighbourTable(none, none, (0,) * len(_OFFSETS))
    places = coordinates.long() - coordinates.amin(dim=0).long()
    extent = places.amax(dim=0)
    size = extent + 1 if rule is NeighbourRule.PLUS1 else extent
    # Keys are computed for the voxels outside the declared size as well, so theirs may equal those of others.
    strides = torch.stack((size[1] * size[2], size[2], torch.ones_like(size[0])))
    keys, order = torch.sort((places * strides).sum(dim=1), stable=True)
    if rule is NeighbourRule.PLUS1 and bool((keys[1:] == keys[:-1]).any()):
        raise ValueError("coordinates: a voxel occurs twice")

    # spconv searches half of the offsets, and notes each pair that it finds in both directions.
    forward = rule in (NeighbourRule.PLUS1, NeighbourRule.QUIRK_CPU)
    searched = range(_CENTRE + 1, len(_OFFSETS)) if forward else range(_CENTRE)
    offsets = torch.tensor([_OFFSETS[index] for index in searched], device=device)
    wanted = places[None] + offsets[:, None]  # (13, N, 3)
    inside = ((wanted >= 0) & (wanted < size)).all(dim=2)
    wanted_keys = (wanted * strides).sum(dim=2)
    if rule is NeighbourRule.QUIRK_GPU:
        position = torch.searchsorted(keys, wanted_keys, right=True) - 1
    else:
        position = torch.searchsorted(keys, wanted_keys)
    position = position.clamp_(0, count - 1)
    found = inside & (keys[position] == wanted_keys)
    rows = torch.arange(count, device=device)
    sources: list[Tensor] = [rows[:0]] * len(_OFFSETS)
    targets = list(sources)
    for place, index in enumerate(searched):
        here = rows[found[place]]
        there = order[position[place, here]]
        sources[index], targets[index] = there, here
        mirrored = len(_OFFSETS) - 1 - index
        sources[mirrored], targets[mirrored] = here, there
    return NeighbourTable(torch.cat(sources), torch.cat(targets), tuple(len(item) for item in sources))


class _GatheredProducts(torch.autograd.Function):
    """The sum of the products of a convolution, with gradients that are summed in place.

    PyTorch's own keep what was gathered for each pair of neighbours, and take an eighth more time.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, matrices: Tensor, bias: Tensor, table: NeighbourTable) -> Tensor:
        """Return (N, out) from features (N, in), matrices (27, in, out) and bias (out,)."""
        ctx.save_for_backward(features, matrices)
        ctx.table = table
        result = torch.addmm(bias, features, matrices[_CENTRE])
        for matrix, source, target in table.parts(matrices):
            result.index_add_(0, target, features.index_select(0, source) @ matrix)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of features, matrices and bias from that of the result."""
        (gradient,) = gradients
        features, matrices = ctx.saved_tensors
        of_features = gradient @ matrices[_CENTRE].T
        of_matrices = torch.zeros_like(matrices)
        of_matrices[_CENTRE] = features.T @ gradient
        for matrix, of_matrix, source, target in ctx.table.parts(matrices, of_matrices):
            there = gradient.index_select(0, target)
            of_features.index_add_(0, source, there @ matrix.T)
            of_matrix.copy_(features.index_select(0, source).T @ there)
        return of_features, of_matrices, gradient.sum(dim=0), None


class GatherConvolution:
    """Gather, multiply and scatter with PyTorch alone, on processors and on CUDA; differentiable."""

    def __init__(self, coordinates: Tensor, rule: NeighbourRule = NeighbourRule.PLUS1) -> None:
        self._table = neighbour_table(coordinates, rule)

    def __call__(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return (N, out) from features (N, in), a weight (out, 3, 3, 3, in) and a bias (out,)."""
        matrices = weight.permute(1, 2, 3, 4, 0).reshape(len(_OFFSETS), weight.shape[4], weight.shape[0])
        result: Tensor = _GatheredProducts.apply(features, matrices, bias, self._table)
        return result


class SpconvConvolution:
    """spconv on CUDA, in the volume of PLUS1 or, where QUIRK_GPU is asked for, in that which LIRA declares.

    With QUIRK_GPU it is left to the order of CUDA's threads which of several voxels with one key is found.
    """

    def __init__(self, coordinates: Tensor, rule: NeighbourRule = NeighbourRule.PLUS1) -> None:
        from spconv.pytorch import SparseConvTensor

        if rule not in (NeighbourRule.PLUS1, NeighbourRule.QUIRK_GPU):
            raise ValueError(f"spconv on CUDA has the neighbour rules plus1 and quirk_gpu, not {rule.value}")
        places = (coordinates - coordinates.amin(dim=0)).int()
        extent = places.amax(dim=0).tolist()
        size = [side + 1 for side in extent] if rule is NeighbourRule.PLUS1 else extent
        if min(size) == 0:
            raise ValueError("spconv has no quirk_gpu for flat voxels, whose declared volume is empty")
        batch = torch.zeros_like(places[:, :1])
        indices = torch.cat((batch, places), dim=1).contiguous()
        # The features are replaced in each call, which keeps the pairs that the first call finds.
        self._tensor = SparseConvTensor(torch.empty(len(places), 0, device=places.device), indices, size, 1)

    def __call__(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return (N, out) from features (N, in), a weight (out, 3, 3, 3, in) and a bias (out,)."""
        from spconv.pytorch import SubMConv3d

        with torch.device("meta"):
            layer = SubMConv3d(weight.shape[4], weight.shape[0], 3, bias=True, indice_key="fragment")
        values = {"weight": weight, "bias": bias}
        result: Any = torch.func.functional_call(layer, values, (self._tensor.replace_feature(features),))
        return result.features


class TorchsparseConvolution:
    """torchsparse on CUDA; it knows no declared volume, so PLUS1 is the only rule."""

    def __init__(self, coordinates: Tensor, rule: NeighbourRule = NeighbourRule.PLUS1) -> None:
        if rule is not NeighbourRule.PLUS1:
            raise ValueError(f"torchsparse has the neighbour rule plus1 only, not {rule.value}")
        places = (coordinates - coordinates.amin(dim=0)).int()
        self._coordinates = torch.cat((torch.zeros_like(places[:, :1]), places), dim=1).contiguous()
        self._caches: Any = None

    def __call__(self, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return (N, out) from features (N, in), a weight (out, 3, 3, 3, in) and a bias (out,)."""
        from torchsparse import SparseTensor
        from torchsparse.nn.functional import conv3d

        tensor = SparseTensor(feats=features, coords=self._coordinates)
        if self._caches is None:
            self._caches = tensor._caches
        tensor._caches = self._caches  # holds the neighbours that the first call finds
        kernel = torchsparse_kernel(weight).contiguous()
        return conv3d(tensor, kernel, 3, bias=bias, padding=1, training=torch.is_grad_enabled()).feats


_BACK_ENDS: dict[BackEnd, Callable[[Tensor, NeighbourRule], Convolution]] = {
    BackEnd.PYTORCH: GatherConvolution,
    BackEnd.SPCONV: SpconvConvolution,
    BackEnd.TORCHSPARSE: TorchsparseConvolution,
}


def convolution_over(
    coordinates: Tensor,
    rule: NeighbourRule = NeighbourRule.PLUS1,
    back_end: BackEnd = BackEnd.PYTORCH,
) -> Convolution:
    """Return the convolution over the voxels of a fragment, indices (N, 3), to be used by all layers.

    Raises:
        ValueError: if the coordinates are no such indices, or the back end cannot run here or has not that rule.
    """
    if back_end is not BackEnd.PYTORCH:
        if importlib.util.find_spec(back_end.value) is None:
            raise ValueError(f"back_end {back_end.value}: the package {back_end.value} is not installed")
        if coordinates.device.type != "cuda":
            raise ValueError(f"back_end {back_end.value}: expected voxels on CUDA, they are on {coordinates.device}")
    if len(coordinates) == 0:
        return GatherConvolution(coordinates, rule)
    return _BACK_ENDS[back_end](coordinates, rule)


def torchsparse_kernel(weight: Tensor) -> Tensor:
    """Return a weight (out, 3, 3, 3, in) as torchsparse's kernel (27, in, out), x running fastest."""
    return weight.permute(3, 2, 1, 4, 0).reshape(len(_OFFSETS), weight.shape[4], weight.shape[0])


def weight_of(stored: Tensor, in_channels: int, out_channels: int) -> Tensor:
    """Return a weight (out, 3, 3, 3, in) from any layout in which it may be stored.

    Known are spconv's (out, 3, 3, 3, in) and, before 2.2, (3, 3, 3, in, out), and torchsparse's (27, in, out).

    Raises:
        ValueError: if the shape is none of these.
    """
    shape = tuple(stored.shape)
    if shape == (out_channels, 3, 3, 3, in_channels):
        return stored
    if shape == (3, 3, 3, in_channels, out_channels):
        return stored.permute(4, 0, 1, 2, 3).contiguous()
    if shape == (len(_OFFSETS), in_channels, out_channels):
        return stored.reshape(3, 3, 3, in_channels, out_channels).permute(4, 2, 1, 0, 3).contiguous()
    raise ValueError(
        f"expected {(out_channels, 3, 3, 3, in_channels)}, {(3, 3, 3, in_channels, out_channels)} or "
        f"{(len(_OFFSETS), in_channels, out_channels)}, got {shape}"
    )
