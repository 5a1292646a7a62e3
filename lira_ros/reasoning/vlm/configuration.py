"""What can be set of the vlm back end."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class VlmConfiguration:
    """Which vision-language model answers, and how."""

    model: str = parameter("qwen3-vl-8b", "Card of the vision-language model (lira models list), or a card file")
    batch_size: int = parameter(
        4, "How many keyframes are asked at once; halved when memory runs out", minimum=1, maximum=64
    )
    max_new_tokens: int = parameter(
        1024, "Longest answer [tokens]; an instance takes about 60", minimum=16, maximum=16384
    )
    min_visual_tokens: int = parameter(
        0, "Fewest tokens into which an image is turned; 0 = as the card says", minimum=0, maximum=16384
    )
    max_visual_tokens: int = parameter(
        0,
        "Most tokens into which an image is turned, more see smaller things; 0 = as the card says",
        minimum=0,
        maximum=16384,
    )
    instruction_first: bool = parameter(
        True, "The instruction stands before the image (as a server's prefix cache wants it), else behind it"
    )
    feature_cache_mib: int = parameter(
        512, "Most memory of image features kept for further instructions [MiB]", minimum=0, maximum=100000
    )
