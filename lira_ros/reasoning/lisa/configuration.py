"""What can be set of the lisa back end."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class LisaConfiguration:
    """Which checkpoint answers, and how."""

    model: str = parameter("lira-7b", "Card of the checkpoint (lira models list), or a card file")
    # LIRA sends three keyframes of a fragment at once; more fill a small GPU, fewer leave it idle.
    batch_size: int = parameter(3, "Keyframes that are answered at once", minimum=1, maximum=64)
    # Forty instances of six tokens each; LISA's and LIRA's own programs allow 512.
    max_new_tokens: int = parameter(256, "Most tokens of an answer", minimum=1, maximum=2048)
    feature_cache_mib: int = parameter(
        256,
        "Most memory of image features kept for further instructions [MiB]; a keyframe takes 2.5",
        minimum=0,
        maximum=100000,
    )
