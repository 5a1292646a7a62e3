"""What is asked by relation is what the relation says of every pair, nearest first where it is about distance."""

import dataclasses
import math

import numpy as np
import pytest

from lira_ros.fusion.conforming_map import ConformingMap
from lira_ros.fusion.contracts import Instance, OrientedBox
from lira_ros.fusion.instance_query import InstanceQuery, related
from lira_ros.fusion.relation_table import RelationTable
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.reasoning.constraint import RelationKind
from lira_ros.reasoning.contracts import Attributes, Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import LanguageConfiguration, create_relevance

VOXEL_M = 0.05


def box(number, label, low, size, **attributes):
    """Return a filled box; low and size in voxels, low from its middle seen from above."""
    low = np.array(low) - np.array([size[0] // 2, size[1] // 2, 0])
    voxels = np.mgrid[tuple(slice(0, s) for s in size)].reshape(3, -1).T + low
    pose = np.eye(4)
    pose[:3, 3] = VOXEL_M * (low + 0.5 * (np.array(size) - 1))
    return Instance(
        id=number, label=label, label_confidence=1.0, existence=1.0, attributes=Attributes(**attributes),
        box=OrientedBox(pose, VOXEL_M * np.array(size, dtype=np.float64)), voxel_size_m=VOXEL_M,
        voxels=voxels.astype(np.int32), voxel_colors=np.zeros(voxels.shape, np.uint8), first_seen_ns=0,
        last_seen_ns=0, observations=10, names={label: 1.0},
    )  # fmt: skip


ROOM = (
    box(1, "table", (0, 0, 0), (24, 16, 15)),
    box(2, "table", (80, 0, 0), (24, 16, 15)),
    box(3, "cup", (2, 1, 15), (2, 2, 2)),
    box(4, "book", (-6, 2, 15), (5, 4, 1)),
    box(5, "cup", (82, 1, 15), (2, 2, 2)),
    box(6, "chair", (0, 14, 0), (9, 9, 18)),
    box(7, "lamp", (160, 160, 0), (4, 4, 30)),
)


class Fused:
    """Stands for a fusion whose instances are known."""

    revision = 1

    def __init__(self, instances):
        self._instances = instances

    def instances(self):
        return self._instances

    def merged_into(self):
        return {9: 3}


@pytest.fixture(scope="module")
def subject():
    return ConformingMap(Fused(ROOM), TargetInference(create_relevance(LanguageConfiguration())))


def ids(subject, **conditions):
    return [item.id for item in subject.query(InstanceQuery(**conditions)).instances]


def test_relations_to_an_instance(subject):
    assert ids(subject, relation=(RelationKind.ON, 1)) == [3, 4]
    assert ids(subject, relation=(RelationKind.ON, 1), label="cup") == [3]
    assert ids(subject, relation=(RelationKind.NEAR, 6)) == [1, 4, 3]  # the nearest first
    assert ids(subject, relation=(RelationKind.NEAR, 6), max_results=1) == [1]
    assert ids(subject, relation=(RelationKind.FAR, 7)) == [2, 5, 6, 1, 3, 4]
    assert ids(subject, relation=(RelationKind.UNDER, 9)) == [1]  # 9 was merged into the cup 3


def test_a_question_in_words(subject):
    answer = subject.query(InstanceQuery(Instruction("q", "what is on the table?", parse("what is on the table?"))))
    assert {item.id for item in answer.instances} == {3, 4, 5}
    assert "on the table #1" in answer.verdicts[3].reason
    assert "on the table #2" in answer.verdicts[5].reason


def test_the_relations_between_what_is_answered(subject):
    answer = subject.query(InstanceQuery(ids=frozenset({1, 3, 4}), with_relations=True))
    told = {(item.target, item.kind, item.anchor) for item in answer.relations}
    assert {(3, RelationKind.ON, 1), (4, RelationKind.ON, 1)} <= told
    assert {item.anchor for item in answer.relations} <= {1, 3, 4}


KINDS = (
    RelationKind.NEAR, RelationKind.FAR, RelationKind.ON, RelationKind.UNDER, RelationKind.ABOVE, RelationKind.INSIDE,
    RelationKind.HOLDS, RelationKind.LEFT_OF, RelationKind.IN_FRONT_OF,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_anchor_is_the_one_that_measuring_all_of_them_finds(kind):
    random = np.random.default_rng(5)
    things = [
        box(n, "box", (*random.integers(-40, 40, 2), int(random.choice([0, 6, 12]))), random.integers(1, 16, 3))
        for n in range(1, 41)
    ]
    things = [dataclasses.replace(item, attributes=Attributes(bottom_height_m=0.0)) for item in things]
    table = RelationTable()
    table.look_from(np.array([0.0, 0.0, 1.0]), np.array([0.0, -4.0, 1.5]))
    table.update(things)
    anchors = table.gather(kind, things[:20])
    holding = 0
    for target in things:
        others = [(table.relate(kind, target, (item,)), place) for place, item in enumerate(things[:20])]
        all_of_them = [(not found.holds, found.measure_m, n) for found, n in others if things[n] is not target]
        best, place = table.best(target, anchors)
        wanted = min(all_of_them)
        assert best.holds != wanted[0]
        if best.holds:
            assert (best.measure_m, place) == wanted[1:]
            holding += 1
        elif kind is RelationKind.NEAR:
            assert best.measure_m == wanted[1]
    assert holding > 0
    single = table.gather(kind, things[:1])
    assert {item.id for item in related(things, kind, things[0], table)} == {
        item.id for item in things[1:] if table.relate(kind, item, things[:1]).holds
    }
    assert table.best(things[0], single) is None
    assert math.isinf(single.least[table._row(things[0]).slot, 0])
