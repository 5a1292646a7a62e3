"""Texts of instructions, models and records are data from one end of the suite to the other."""

import json
import re

import numpy as np

from lira_ros.configuration import build
from lira_ros.evaluation.record import RunRecord
from lira_ros.evaluation.report import write_report
from lira_ros.evaluation.tables import format_outcome
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame
from lira_ros.pipeline.pipeline import Pipeline, PipelineConfiguration
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Reasoner, ReasoningError, Role
from lira_ros.reasoning.relevance import Relevance

# What moves the cursor, turns the direction of reading, hides, forges a line of a log, is half a character, a format,
# a formula of matplotlib, a tag, and a path.
EVIL = "\x1b]0;owned\x07\x1b[2J\u202etxt\u2066\u200b\ufeff\r\n[ERROR] forged\ud800\x00 %s%n {0.__class__} $\\frac{$"
TAGS = "</script><script>/../../etc"
TEXTS = (
    "\u202eFind the sofa that is near the table\x1b[2J\ud800\u200b\r\n[ERROR]: the door is forged",
    f"Find the chair that is near the table, {TAGS}",
    "Find the {0.__class__} %s sofa $\\frac{a$",
)
CAMERA = Camera(80, 60, 80.0, 80.0, 39.5, 29.5)


class Hostile(Reasoner):
    """Sees one thing in the middle of every second keyframe, and says what no model should say."""

    name = EVIL

    def propose(self, keyframe, instruction):
        if keyframe.id % 2 == 0:
            raise ReasoningError(EVIL)
        mask = np.zeros((60, 80), dtype=np.bool_)
        mask[20:40, 30:50] = True
        measured = Attributes(EVIL, (0.5, 0.5, 0.5), 0.0, 0.5, supported_by=EVIL)
        thing = Candidate(1, mask, f"sofa {EVIL}{TAGS}", 1.0, 1.0, Role.TARGET, measured, EVIL + "x" * 10**5)
        return CandidateSet(keyframe.id, keyframe.frame.stamp_ns, instruction.id, EVIL, 0.0, (thing,))


def wall(number):
    """Return a view of a wall, a step of half a metre beside the one before."""
    pose = np.eye(4)
    pose[0, 3] = 0.5 * number
    color = np.full((60, 80, 3), 90, np.uint8)
    return Frame(number * 10**9, color, np.full((60, 80), 1.5, np.float32), CAMERA, pose)


def strings(value):
    if isinstance(value, dict):
        return [text for item in value.items() for text in strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def test_what_a_run_writes_and_prints_is_plain_and_stays_in_its_folder(tmp_path):
    values = {"mapping.voxel_size_m": 0.04, "fusion.voxel_size_m": 0.04, "mapping.up": "-y"}
    pipeline = Pipeline(build(PipelineConfiguration, values), Hostile(), Relevance(None))
    record = RunRecord("hostile")
    record.instructions = {item.id: item for item in (pipeline.submit(text) for text in TEXTS)}
    for number in range(1, 6):
        pipeline.add_frame(wall(number))
    pipeline.finish()
    for name in record.instructions:
        record.note_status(pipeline.status(name), 1.0)
        record.note_conforming(name, pipeline.conforming(name), 0, 0.1)
        record.rejected[name] = pipeline.map.rejected(name)
    assert any(record.conforming.values())
    assert pipeline.failures

    folder = tmp_path / "deep" / "out"
    written = write_report(record, folder)
    assert {path.parent for path in written} == {folder}
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert all(re.fullmatch(r"[a-z0-9_-]+\.[a-z]+", path.name) for path in written)
    said = strings(json.loads((folder / "instance_map.json").read_text(encoding="utf-8")))
    assert any("forged" in text for text in said)
    assert any("{0.__class__} %s sofa $\\frac{a$" in text for text in said)
    assert all(text.isprintable() for text in [*said, *pipeline.failures])
    assert max(map(len, said)) <= 2000
    assert all(line.isprintable() for line in format_outcome(record).split("\n"))
