import pytest
import torch
from recorded_pixels import check_recorded, patterned

from lira_ros.reasoning.vlm.qwen_pictures import QwenImageProcessor

# Of Qwen2VLImageProcessor. Patch side, size of the picture, normalised as CLIP or to [-1, 1]; then what was seen.
RECORDED = [
    (14, (90, 131), "clip", (24, 1176), [-1.587885, 0.61913, 0.69545, -0.317822, -0.186194, -0.259428, -0.65653],
     0.189265, 0.564677),
    (16, (90, 131), "half", (24, 1536), [-0.921569, 0.082353, 0.662745, -0.286275, -0.184314, -0.035294, -0.207843],
     0.000636, 0.340996),
    (14, (37, 20), "clip", (24, 1176), [-1.792263, 0.198913, -0.570136, 0.514289, 0.155088, 1.215013, 0.88927],
     0.190772, 0.87101),
    (16, (37, 20), "half", (24, 1536), [-1.0, -0.662745, -0.105882, -0.254902, -0.027451, 0.066667, 0.584314],
     0.001593, 0.4633),
]  # fmt: skip


@pytest.mark.parametrize(("patch", "size", "colors", "shape", "numbers", "mean", "deviation"), RECORDED)
def test_pixels_equal_those_that_torchvision_makes(patch, size, colors, shape, numbers, mean, deviation):
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3} if colors == "half" else {}
    edges = {"shortest_edge": 16 * patch**2, "longest_edge": 36 * patch**2}
    processor = QwenImageProcessor(patch_size=patch, size=edges, **half)
    prepared = processor([patterned(*size)], input_data_format="channels_last", return_tensors="pt")
    check_recorded(prepared["pixel_values"], shape, numbers, mean, deviation)


def test_a_picture_of_whole_patches_is_left_as_it_is():
    processor = QwenImageProcessor(
        image_mean=[0.0] * 3, image_std=[1.0] * 3, size={"shortest_edge": 784, "longest_edge": 784 * 100}
    )
    picture = patterned(56, 84)
    pixels = processor([picture], input_data_format="channels_last", return_tensors="pt")["pixel_values"]
    # The first patch is seen twice, as two frames.
    first = pixels[0].reshape(3, 2, 14, 14) * 255
    for frame in (0, 1):
        torch.testing.assert_close(first[:, frame], torch.from_numpy(picture[:14, :14]).permute(2, 0, 1).float())


def test_another_interpolation_is_refused():
    with pytest.raises(ValueError, match="bicubic"):
        QwenImageProcessor(resample=2)([patterned(30, 30)], return_tensors="pt")
