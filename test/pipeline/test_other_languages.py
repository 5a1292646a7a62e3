"""An instruction that the grammar cannot read is for the models that can."""

import numpy as np
import pytest

from lira_ros.configuration import build
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame
from lira_ros.pipeline.pipeline import Pipeline, PipelineConfiguration
from lira_ros.reasoning.contracts import CandidateSet, Reasoner, Role
from lira_ros.reasoning.language.parser import InstructionError
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.sightings import Sighting, candidates_from_sightings

CAMERA = Camera(80, 60, 80.0, 80.0, 39.5, 29.5)
QUESTION = "Wo kann ich meine Füße hochlegen?"


class Polyglot(Reasoner):
    """Sees two things and says which of them was meant."""

    name = "polyglot"
    any_language = True

    def propose(self, keyframe, instruction):
        assert instruction.text == QUESTION
        shift_px = round(80.0 * keyframe.frame.T_map_camera[0, 3] / 1.5)  # they stand still, the camera moves
        sightings = []
        for label, left, wanted in (("stool", 24 - shift_px, 1.0), ("lamp", 54 - shift_px, 0.0)):
            mask = np.zeros((60, 80), dtype=np.bool_)
            mask[20:40, left : left + 20] = True
            sightings.append(Sighting(mask, label, 0.9, 0.9, Role.TARGET, wanted))
        found = candidates_from_sightings(keyframe, sightings)
        return CandidateSet(keyframe.id, keyframe.frame.stamp_ns, instruction.id, self.name, 0.0, found)


def pipeline(reasoner):
    values = {"mapping.voxel_size_m": 0.05, "fusion.voxel_size_m": 0.05, "mapping.up": "-y"}
    return Pipeline(build(PipelineConfiguration, values), reasoner, Relevance(None))


def test_what_a_model_understood_is_mapped():
    mapped = pipeline(Polyglot())
    mapped.submit(QUESTION, "feet")
    for number in range(4):
        pose = np.eye(4)
        pose[0, 3] = 0.12 * number
        color = np.full((60, 80, 3), 90, np.uint8)
        mapped.add_frame(Frame(number * 10**9, color, np.full((60, 80), 1.5, np.float32), CAMERA, pose))
    mapped.finish()
    conforming = mapped.map.view("feet").instances
    assert conforming
    assert {item.label for item in conforming} == {"stool"}


def test_a_back_end_that_goes_by_the_grammar_refuses():
    reasoner = Polyglot()
    reasoner.any_language = False
    with pytest.raises(InstructionError, match="in English"):
        pipeline(reasoner).submit(QUESTION)
