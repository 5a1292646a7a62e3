"""The line of JSON that says what was asked of a model about a keyframe and what it answered.

One line is one question about one keyframe: schema, keyframe (id, stamp_ns, image: a hash of its pixels, width_px,
height_px), instruction (id, text), reasoner (name, batch_size), latency_s, exchanges (the texts that went to the model
and came back), answer (model, latency_s, candidates; null when there is none) and error (kind, message; null without).
Masks are COCO run lengths, embeddings are base64 of little-endian float32, null stands for a number that is not known.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry import mask as run_lengths
from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.contracts import (
    Attributes,
    Candidate,
    CandidateSet,
    Exchange,
    Instruction,
    ReasoningError,
    Role,
    ServerUnavailable,
    Task,
)

SCHEMA = 1
LARGEST_NUMBER = float(np.finfo(np.float32).max)
# A model that does not stop to talk is cut off here; its prompt and its answer are kept for people.
MAX_TEXT_CHARACTERS = 100_000


@dataclass(frozen=True)
class RecordedQuestion:
    """What identifies a recorded question, without its answer. image: as of image_hash()."""

    stamp_ns: int
    image: str
    text: str
    reasoner: str
    batch_size: int


def image_hash(keyframe: Keyframe) -> str:
    """Return 32 hexadecimal digits of the pixels of a keyframe's colour image."""
    color = np.ascontiguousarray(keyframe.frame.color)
    return hashlib.blake2b(color.tobytes(), digest_size=16, person=str(color.shape).encode()[:16]).hexdigest()


def encode(task: Task, outcome: CandidateSet | Exception, latency_s: float, name: str, batch_size: int) -> bytes:
    """Return the line of one question, without its end.

    name, batch_size: of the reasoner that was asked. Raises ValueError for numbers that are infinite and masks that are
    none.
    """
    frame = task.keyframe.frame
    answer = error = None
    if isinstance(outcome, CandidateSet):
        candidates = [_encode_candidate(item) for item in outcome.candidates]
        answer = {"model": outcome.model, "latency_s": outcome.latency_s, "candidates": candidates}
    else:
        expected = isinstance(outcome, ReasoningError)
        message = str(outcome) if expected else f"{type(outcome).__name__}: {outcome}"
        error = {"kind": type(outcome).__name__, "message": message[:MAX_TEXT_CHARACTERS]}
    line = {
        "schema": SCHEMA,
        "keyframe": {
            "id": task.keyframe.id,
            "stamp_ns": frame.stamp_ns,
            "image": image_hash(task.keyframe),
            "width_px": frame.camera.width_px,
            "height_px": frame.camera.height_px,
        },
        "instruction": {"id": task.instruction.id, "text": task.instruction.text},
        "reasoner": {"name": name, "batch_size": batch_size},
        "latency_s": latency_s,
        "exchanges": [
            {
                "prompt": item.prompt[:MAX_TEXT_CHARACTERS],
                "answer": item.answer[:MAX_TEXT_CHARACTERS],
                "problem": item.problem[:MAX_TEXT_CHARACTERS],
                "latency_s": item.latency_s,
            }
            for item in getattr(outcome, "exchanges", ())
        ],
        "answer": answer,
        "error": error,
    }
    return json.dumps(line, allow_nan=False, separators=(",", ":")).encode()


def read_question(line: bytes) -> RecordedQuestion:
    """Read what a line is about. Raises ValueError that says what is wrong with it."""
    values = _read_line(line)
    keyframe, instruction = _section(values, "keyframe"), _section(values, "instruction")
    reasoner = _section(values, "reasoner")
    if (values.get("answer") is None) == (values.get("error") is None):
        raise ValueError("expected either an answer or an error")
    return RecordedQuestion(
        _value(keyframe, "stamp_ns", int),
        _value(keyframe, "image", str),
        _value(instruction, "text", str),
        _value(reasoner, "name", str),
        max(1, _value(reasoner, "batch_size", int)),
    )


def read_answer(line: bytes, keyframe: Keyframe, instruction: Instruction) -> CandidateSet | ReasoningError:
    """Read the answer of a line, as one to this keyframe and instruction, or what went wrong.

    Raises ValueError that says what is wrong with the line.
    """
    values = _read_line(line)
    exchanges = tuple(_decode_exchange(item) for item in _list(values, "exchanges"))
    if values.get("error") is not None:
        error = _section(values, "error")
        message = _value(error, "message", str)
        if _value(error, "kind", str) == ServerUnavailable.__name__:
            return ServerUnavailable(message, 0.0, exchanges)  # there is no server to wait for
        return ReasoningError(message, exchanges)
    answer = _section(values, "answer")
    shape = keyframe.frame.depth_m.shape
    return CandidateSet(
        keyframe_id=keyframe.id,
        stamp_ns=keyframe.frame.stamp_ns,
        instruction_id=instruction.id,
        model=_value(answer, "model", str),
        latency_s=_number(answer, "latency_s"),
        candidates=tuple(_decode_candidate(item, shape) for item in _list(answer, "candidates")),
        exchanges=exchanges,
    )


def _encode_candidate(candidate: Candidate) -> dict[str, Any]:
    attributes = {
        item.name: _encode_value(getattr(candidate.attributes, item.name)) for item in dataclasses.fields(Attributes)
    }
    return {
        "id": int(candidate.id),
        "mask": {"size": list(candidate.mask.shape), "counts": run_lengths.encode(candidate.mask).tolist()},
        "label": candidate.label,
        "label_confidence": _encode_value(candidate.label_confidence),
        "score": _encode_value(candidate.score),
        "role": candidate.role.name.lower(),
        "attributes": attributes,
        "reason": candidate.reason,
        "embedding": base64.b64encode(np.asarray(candidate.embedding, dtype="<f4").tobytes()).decode(),
        "target_confidence": _encode_value(candidate.target_confidence),
    }


def _encode_value(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return [_encode_value(item) for item in value]
    return None if math.isnan(value) else float(value)


def _decode_candidate(values: Any, shape: tuple[int, ...]) -> Candidate:
    if not isinstance(values, dict):
        raise ValueError(f"candidate: expected an object, got {type(values).__name__}")
    mask = _section(values, "mask")
    if mask.get("size") != list(shape):
        raise ValueError(f"mask: expected the size {list(shape)} of the keyframe, got {mask.get('size')}")
    role = _value(values, "role", str)
    if role.upper() not in Role.__members__:
        raise ValueError(f"role: expected {', '.join(Role.__members__).lower()}, got {role[:40]!r}")
    embedding = base64.b64decode(_value(values, "embedding", str), validate=True)
    return Candidate(
        id=_value(values, "id", int),
        mask=run_lengths.decode(_whole_numbers(mask, "counts"), *shape),
        label=_value(values, "label", str),
        label_confidence=_number(values, "label_confidence"),
        score=_number(values, "score"),
        role=Role[role.upper()],
        attributes=_decode_attributes(_section(values, "attributes")),
        reason=_value(values, "reason", str),
        embedding=np.frombuffer(embedding, dtype="<f4").astype(np.float32),
        target_confidence=_number(values, "target_confidence"),
    )


def _decode_attributes(values: Mapping[str, Any]) -> Attributes:
    size = _list(values, "size_m")
    if len(size) != 3:
        raise ValueError(f"size_m: expected 3 numbers, got {len(size)}")
    known: dict[str, Any] = {"size_m": tuple(_number({"size_m": item}, "size_m") for item in size)}
    for item in dataclasses.fields(Attributes):
        if item.name != "size_m":
            text = isinstance(item.default, str)
            known[item.name] = _value(values, item.name, str) if text else _number(values, item.name)
    return Attributes(**known)


def _decode_exchange(values: Any) -> Exchange:
    if not isinstance(values, dict):
        raise ValueError(f"exchange: expected an object, got {type(values).__name__}")
    prompt, answer, problem = (_value(values, name, str) for name in ("prompt", "answer", "problem"))
    return Exchange(prompt, answer, problem, _number(values, "latency_s"))


def _read_line(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, got {type(values).__name__}")
    if values.get("schema") != SCHEMA:
        raise ValueError(f"schema: expected {SCHEMA}, got {str(values.get('schema'))[:40]}")
    return values


def _section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return dict(_value(values, name, dict))


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    return list(_value(values, name, list))


def _value(values: Mapping[str, Any], name: str, kind: type) -> Any:
    value = values.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def _whole_numbers(values: Mapping[str, Any], name: str) -> NDArray[np.int64]:
    try:
        numbers = np.array(_list(values, name))
        return numbers.astype(np.int64, casting="safe") if numbers.size else np.zeros(0, dtype=np.int64)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{name}: expected whole numbers") from error


def _number(values: Mapping[str, Any], name: str) -> float:
    """Return a number, NaN for null."""
    value = values.get(name, "")
    if value is None:
        return math.nan
    # Messages hold single precision; a whole number may be longer than any float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"{name}: expected a number or null, got {str(value)[:40]!r}")
    return float(value)
