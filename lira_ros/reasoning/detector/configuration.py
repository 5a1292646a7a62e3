"""What can be set of the detector back end."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter


@dataclass(frozen=True)
class DetectorConfiguration:
    """Which open-vocabulary detector answers, and how."""

    model: str = parameter("grounding-dino-tiny", "Card of the detector (lira models list), or a card file")
    batch_size: int = parameter(4, "How many keyframes are looked at in one go", minimum=1, maximum=64)
    score_threshold: float = parameter(
        0.0, "Least score of a detection; 0 = as the card of the model says", minimum=0.0, maximum=1.0
    )
    max_phrases: int = parameter(
        12,
        "Most names that are looked for in one keyframe; an instruction that names a use stands for several",
        minimum=1,
        maximum=64,
    )
