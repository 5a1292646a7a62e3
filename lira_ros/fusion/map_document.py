"""A map for other programs: every instance with what is known of it, verdicts and relations, as a JSON document.

Schema, version 1. Lengths in metres, stamps in nanoseconds, values that were not measured are null. format, version,
frame_id, stamp (of the newest keyframe), up (3: unit vector against gravity in the map frame); instances, each with the
fields of an instance map (instance_map.py) but for score and reason; instructions, each: id, text, state ("SEARCHING",
"FOUND", "NONE_CONFORM", ...), reason, verdicts (each: instance, conformity "CONFORMS", "REJECTED" or "UNDECIDED",
score, reason, label under which it conforms or ""); relations, each: subject, relation ("on", "in", "under", "above",
"near", "far"), object, gap (between their surfaces).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lira_ros.fusion.contracts import Instance, InstructionStatus, Judgement
from lira_ros.fusion.instance_map import instance_entry
from lira_ros.fusion.instance_query import RELATION_NAMES
from lira_ros.fusion.relation_table import NamedRelation
from lira_ros.reasoning.contracts import Instruction

FILE_FORMAT = "lira map"
FILE_VERSION = 1
_NAMES = {kind: name for name, kind in RELATION_NAMES.items()}


def map_document(
    instances: Sequence[Instance],
    searches: Sequence[tuple[Instruction, InstructionStatus, Judgement]],
    relations: Sequence[NamedRelation],
    frame: Mapping[str, Any],
) -> str:
    """Return the JSON text; frame: frame_id, stamp and up."""
    return json.dumps(
        {
            "format": FILE_FORMAT,
            "version": FILE_VERSION,
            **frame,
            "instances": [instance_entry(item) for item in instances],
            "instructions": [_instruction_entry(*search) for search in searches],
            "relations": [
                {"subject": item.target, "relation": _NAMES[item.kind], "object": item.anchor, "gap": float(item.gap_m)}
                for item in relations
            ],
        },
        ensure_ascii=False,
        allow_nan=False,
    )


def _instruction_entry(instruction: Instruction, status: InstructionStatus, judgement: Judgement) -> dict[str, Any]:
    return {
        "id": instruction.id,
        "text": instruction.text,
        "state": status.state.name,
        "reason": status.reason,
        "verdicts": [
            {
                "instance": instance_id,
                "conformity": verdict.conformity.name,
                "score": float(verdict.score),
                "reason": verdict.reason,
                "label": verdict.label,
            }
            for instance_id, verdict in sorted(judgement.verdicts.items())
        ],
    }
