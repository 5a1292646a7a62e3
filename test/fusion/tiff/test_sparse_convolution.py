"""The sparse convolution against the released numbers, a dense convolution, and in the layouts of other packages."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.tiff.sparse_convolution import (  # noqa: E402
    BackEnd,
    GatherConvolution,
    NeighbourRule,
    SpconvConvolution,
    TorchsparseConvolution,
    convolution_over,
    neighbour_table,
    torchsparse_kernel,
    weight_of,
)

OUTPUTS = {
    NeighbourRule.PLUS1: "plus1__y",
    NeighbourRule.QUIRK_CPU: "quirk_cpu__y",
    NeighbourRule.QUIRK_GPU: "quirk_gpu_last__y",
    NeighbourRule.QUIRK_GPU_FIRST: "quirk_gpu_first__y",
}


def tensors(file, *names):
    return [torch.from_numpy(file[name]) for name in names]


@pytest.mark.parametrize("rule", NeighbourRule, ids=lambda rule: rule.value)
def test_each_rule_gives_the_released_numbers(golden, rule):
    coordinates, x, weight, bias, expected = tensors(
        golden("conv_unit.npz"), "coords", "x", "weight", "bias", OUTPUTS[rule]
    )
    torch.testing.assert_close(GatherConvolution(coordinates, rule)(x, weight, bias), expected, atol=5e-6, rtol=0)


def random_voxels(seed, size=7, count=150):
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(size**3, generator=generator)[:count]
    coordinates = torch.stack((chosen // size**2, chosen // size % size, chosen % size), dim=1)
    x = torch.randn(count, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(6, 3, 3, 3, 5, generator=generator, dtype=torch.float64)
    return coordinates, x, weight, torch.randn(6, generator=generator, dtype=torch.float64)


def test_it_is_a_dense_convolution_read_at_the_voxels_wherever_they_lie():
    coordinates, x, weight, bias = random_voxels(0)
    dense = torch.zeros(5, 7, 7, 7, dtype=torch.float64)
    columns, rows, levels = coordinates.T
    dense[:, columns, rows, levels] = x.T
    expected = torch.nn.functional.conv3d(dense[None], weight.permute(0, 4, 1, 2, 3), bias, padding=1)[0]
    moved = (coordinates - 40).to(torch.int16)
    torch.testing.assert_close(GatherConvolution(moved)(x, weight, bias), expected[:, columns, rows, levels].T)


def test_gradients_are_those_of_finite_differences():
    coordinates, x, weight, bias = random_voxels(1, size=3, count=9)
    inputs = [item.requires_grad_() for item in (x, weight, bias)]
    assert torch.autograd.gradcheck(GatherConvolution(coordinates), inputs)


@pytest.mark.parametrize("rule", NeighbourRule, ids=lambda rule: rule.value)
@pytest.mark.parametrize("coordinates", [[], [[3, 4, 5]], [[0, 0, 1], [0, 1, 1], [0, 1, 2]]])
def test_no_voxel_one_voxel_and_flat_voxels_are_answered(rule, coordinates):
    places = torch.tensor(coordinates, dtype=torch.int64).reshape(-1, 3)
    _, _, weight, bias = random_voxels(2)
    result = GatherConvolution(places, rule)(torch.ones(len(places), 5, dtype=torch.float64), weight, bias)
    assert result.shape == (len(places), 6)
    assert torch.isfinite(result).all()


def test_what_is_no_set_of_voxels_is_refused():
    with pytest.raises(ValueError, match="integers \\(N, 3\\)"):
        neighbour_table(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="integers \\(N, 3\\)"):
        neighbour_table(torch.zeros(4, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="occurs twice"):
        neighbour_table(torch.tensor([[0, 1, 2], [3, 1, 2], [0, 1, 2]]))


def test_weights_convert_between_the_layouts(golden):
    weight, kernel = tensors(golden("conv_unit.npz"), "weight", "torchsparse_kernel")
    assert torch.equal(torchsparse_kernel(weight), kernel)
    for stored in (weight, weight.permute(1, 2, 3, 4, 0), kernel):
        assert torch.equal(weight_of(stored, 3, 4), weight)
    with pytest.raises(ValueError, match="got \\(4, 3, 3, 3, 2\\)"):
        weight_of(weight[..., :2], 3, 4)


def test_a_back_end_that_cannot_run_here_says_why(monkeypatch):
    places = torch.tensor(np.indices((2, 2, 2)).reshape(3, -1).T)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="spconv is not installed"):
        convolution_over(places, back_end=BackEnd.SPCONV)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(ValueError, match="torchsparse: expected voxels on CUDA, they are on cpu"):
        convolution_over(places, back_end=BackEnd.TORCHSPARSE)
    with pytest.raises(ValueError, match="plus1 only, not quirk_cpu"):
        TorchsparseConvolution(places, NeighbourRule.QUIRK_CPU)


def test_gradients_are_those_of_the_sums():
    torch.manual_seed(3)
    coordinates = torch.unique(torch.randint(0, 4, (40, 3)), dim=0)
    convolution = GatherConvolution(coordinates)
    x = torch.randn(len(coordinates), 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(convolution, (x, weight, bias), fast_mode=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
@pytest.mark.parametrize("back_end", BackEnd, ids=lambda back_end: back_end.value)
def test_all_back_ends_give_the_same_numbers_on_cuda(golden, back_end):
    if back_end is not BackEnd.PYTORCH:
        pytest.importorskip(back_end.value)
    coordinates, x, weight, bias, expected = (
        item.cuda() for item in tensors(golden("conv_unit.npz"), "coords", "x", "weight", "bias", "plus1__y")
    )
    convolution = convolution_over(coordinates, back_end=back_end)
    for _ in range(2):  # the second time with the neighbours of the first
        torch.testing.assert_close(convolution(x, weight, bias), expected, atol=1e-4, rtol=0)


def test_spconv_runs_with_the_same_interface(golden):
    pytest.importorskip("spconv", reason="spconv is not installed here")
    coordinates, x, weight, bias, expected = tensors(
        golden("conv_unit.npz"), "coords", "x", "weight", "bias", "plus1__y"
    )
    torch.testing.assert_close(SpconvConvolution(coordinates)(x, weight, bias), expected, atol=5e-6, rtol=0)
