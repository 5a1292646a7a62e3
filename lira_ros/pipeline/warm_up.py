"""Compile every loop and encode every known name before the first frame comes.

``python -m lira_ros.pipeline.warm_up`` fills the caches on disk, so that nodes start in a second and no keyframe waits
for a compiler.
"""

from __future__ import annotations

import time

import numpy as np

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.exploration import Exploration
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.relation_table import RelationTable
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.rasterizer import rasterize
from lira_ros.mapping import precompile
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.reasoning.compact.reasoner import CompactReasoner
from lira_ros.reasoning.constraint import Constraint, Phrase
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.relevance import LanguageConfiguration, Relevance, create_relevance

UP = np.array([0.0, 0.0, 1.0])
HEIGHT_M = 1.2


def _scene() -> list[Keyframe]:
    """Return two keyframes of a box on a floor, seen straight from above: small, and enough for every loop to run."""
    camera = Camera(160, 120, 120.0, 120.0, 79.5, 59.5)
    depth_m = np.full((120, 160), HEIGHT_M, dtype=np.float32)
    depth_m[40:80, 60:100] = HEIGHT_M - 0.3
    color = np.full((120, 160, 3), 150, dtype=np.uint8)
    color[40:80, 60:100] = (200, 40, 40)
    keyframes = []
    for number in (1, 2):
        pose = np.array([[1.0, 0, 0, 0.02 * number], [0, -1.0, 0, 0], [0, 0, -1.0, HEIGHT_M], [0, 0, 0, 1.0]])
        keyframes.append(Keyframe(number, Frame(number * 10**8, color, depth_m, camera, pose), UP, 0.0))
    return keyframes


def warm_up_reasoning(relevance: Relevance) -> None:
    """Run the compact back end once on a tiny scene."""
    instruction = Instruction("warm-up", "find the red box", Constraint(Phrase("red box", "box", colors=("red",))))
    CompactReasoner(relevance).propose(_scene()[0], instruction)


def warm_up_fusion(relevance: Relevance) -> None:
    """Fuse the candidates of a tiny scene once."""
    instruction = Instruction("warm-up", "find the red box", Constraint(Phrase("red box", "box", colors=("red",))))
    reasoner, fusion = CompactReasoner(relevance), InstanceFusion(FusionConfiguration())
    mapper = Mapper(MappingConfiguration(fragment_keyframes=2, keyframe_distance_m=0.01, up="+z"))
    for keyframe in _scene():
        fragment = mapper.add_frame(keyframe.frame).fragment
        Exploration().add(keyframe)
        fusion.add_keyframe(keyframe)
        fusion.add_candidates(reasoner.propose(keyframe, instruction))
        if fragment is not None:
            fusion.add_fragment(fragment)
        RelationTable().update(fusion.instances())


def warm_up() -> float:
    """Compile and encode everything; return the time that it took [s]."""
    started_s = time.perf_counter()
    precompile.warm_up()
    warm_up_fusion(create_relevance(LanguageConfiguration()))
    frame = _scene()[0].frame
    triangle = np.array([[0.0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], dtype=np.float32)
    rasterize(triangle, np.array([[0, 1, 2]], dtype=np.int32), frame.camera, frame.T_map_camera)
    return time.perf_counter() - started_s


if __name__ == "__main__":
    print(f"compiled the loops and encoded the names in {warm_up():.1f} s")
