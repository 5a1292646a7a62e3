"""lira_msgs/CandidateArray, Mask and Attributes <-> CandidateSet."""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

from lira_msgs.msg import Attributes as AttributesMessage
from lira_msgs.msg import Candidate as CandidateMessage
from lira_msgs.msg import CandidateArray
from lira_msgs.msg import Mask as MaskMessage
from lira_ros.geometry import mask as run_lengths
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Role
from lira_ros.reasoning.instructions import ID_PATTERN
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns
from lira_ros.ros.errors import ConversionError

# More than any camera has: the run lengths of a mask of any size fit into a few bytes.
MAX_MASK_PIXELS = 1 << 26


def mask_to_message(mask: NDArray[np.bool_]) -> MaskMessage:
    """Encode a (H, W) bool mask as COCO run lengths."""
    message = MaskMessage(height=mask.shape[0], width=mask.shape[1])
    message.counts = array("I", run_lengths.encode(mask).tobytes())
    return message


def mask_from_message(message: MaskMessage) -> NDArray[np.bool_]:
    """Decode run lengths to a (H, W) bool mask; raises ValueError when they do not fit the size or it is absurd."""
    if message.height * message.width > MAX_MASK_PIXELS:
        raise ValueError(f"mask: expected at most {MAX_MASK_PIXELS} pixels, got {message.width} x {message.height}")
    counts = np.frombuffer(message.counts, dtype=np.uint32)
    return run_lengths.decode(counts, message.height, message.width)


def attributes_to_message(attributes: Attributes) -> AttributesMessage:
    """Convert measured attributes."""
    return AttributesMessage(
        color=attributes.color,
        size_m=np.asarray(attributes.size_m, dtype=np.float32),
        bottom_height_m=float(attributes.bottom_height_m),
        top_height_m=float(attributes.top_height_m),
        flatness=float(attributes.flatness),
        horizontality=float(attributes.horizontality),
        roundness=float(attributes.roundness),
        elongation=float(attributes.elongation),
        fill=float(attributes.fill),
        supported_by=attributes.supported_by,
    )


def attributes_from_message(message: AttributesMessage) -> Attributes:
    """Convert measured attributes back."""
    length, width, vertical = (float(value) for value in message.size_m)
    return Attributes(
        color=message.color,
        size_m=(length, width, vertical),
        bottom_height_m=message.bottom_height_m,
        top_height_m=message.top_height_m,
        flatness=message.flatness,
        horizontality=message.horizontality,
        roundness=message.roundness,
        elongation=message.elongation,
        fill=message.fill,
        supported_by=message.supported_by,
    )


def candidates_to_message(candidates: CandidateSet, session: int, map_frame: str) -> CandidateArray:
    """Convert a reasoner's answer; the stamp is that of the keyframe."""
    message = CandidateArray(
        session=session,
        keyframe_id=candidates.keyframe_id,
        instruction_id=candidates.instruction_id,
        model=candidates.model,
        latency_s=float(candidates.latency_s),
    )
    message.header.stamp = stamp_from_ns(candidates.stamp_ns)
    message.header.frame_id = map_frame
    for candidate in candidates.candidates:
        item = CandidateMessage(
            id=candidate.id,
            mask=mask_to_message(candidate.mask),
            label=candidate.label,
            label_confidence=float(candidate.label_confidence),
            score=float(candidate.score),
            role=int(candidate.role),
            target_confidence=float(candidate.target_confidence),
            attributes=attributes_to_message(candidate.attributes),
            reason=candidate.reason,
        )
        item.embedding = array("f", np.asarray(candidate.embedding, dtype=np.float32).tobytes())
        message.candidates.append(item)
    return message


def candidates_from_message(message: CandidateArray, topic: str) -> CandidateSet:
    """Convert back; raises ConversionError naming the topic, the candidate and the broken field."""
    if not ID_PATTERN.fullmatch(message.instruction_id):
        raise ConversionError(
            f"{topic}: keyframe {message.keyframe_id}: expected the id of an instruction, "
            f"got {message.instruction_id[:80]!r}"
        )
    candidates = []
    for item in message.candidates:
        where = f"{topic}: keyframe {message.keyframe_id}, candidate {item.id}"
        try:
            mask = mask_from_message(item.mask)
            role = Role(item.role)
        except ValueError as error:
            raise ConversionError(f"{where}: {error}") from error
        for name in ("score", "label_confidence"):
            value = getattr(item, name)
            if not 0.0 <= value <= 1.0:
                raise ConversionError(f"{where}: expected {name} in [0, 1], got {value}")
        if not (math.isnan(item.target_confidence) or 0.0 <= item.target_confidence <= 1.0):
            raise ConversionError(f"{where}: expected target_confidence in [0, 1] or NaN, got {item.target_confidence}")
        embedding = np.frombuffer(item.embedding, dtype=np.float32).copy()
        if not np.isfinite(embedding).all():
            raise ConversionError(f"{where}: expected a finite embedding, got NaN or infinity")
        candidates.append(
            Candidate(
                id=item.id,
                mask=mask,
                label=item.label,
                label_confidence=item.label_confidence,
                score=item.score,
                role=role,
                target_confidence=item.target_confidence,
                attributes=attributes_from_message(item.attributes),
                reason=item.reason,
                embedding=embedding,
            )
        )
    return CandidateSet(
        keyframe_id=message.keyframe_id,
        stamp_ns=stamp_to_ns(message.header.stamp),
        instruction_id=message.instruction_id,
        model=message.model,
        latency_s=message.latency_s,
        candidates=tuple(candidates),
    )
