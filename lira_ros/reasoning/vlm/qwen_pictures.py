"""Pictures as Qwen-VL takes them, without torchvision."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize


class QwenImageProcessor(Qwen2VLImageProcessorPil):
    """The library's processor without torchvision, but resizing as the one with torchvision does.

    That one is what transformers, vLLM and SGLang take by default; it has PyTorch resize whole numbers, which needs no
    torchvision. Pillow rounds between rows and columns once more and differs by up to a third of the colours' spread
    on noise.
    """

    def resize(  # type: ignore[override]  # as the library's own class does
        self, image: NDArray[np.uint8], size: Any, resample: Any, factor: int, **_: Any
    ) -> NDArray[np.uint8]:
        """Return a (3, H, W) uint8 picture with sides that are multiples of ``factor``, its pixels within ``size``.

        Raises ValueError for a picture 200 times as long as wide, and for another interpolation than bicubic, which
        all models of the family have.
        """
        if int(resample) != 3:  # Pillow's number of it, as preprocessor_config.json has it
            raise ValueError(f"resample: expected 3 (bicubic), got {resample}")
        height, width = smart_resize(
            image.shape[1], image.shape[2], factor, min_pixels=size.shortest_edge, max_pixels=size.longest_edge
        )
        picture = torch.from_numpy(np.ascontiguousarray(image))[None]
        resized = torch.nn.functional.interpolate(picture, (height, width), mode="bicubic", antialias=True)
        return np.asarray(resized[0].numpy(), dtype=np.uint8)
