"""The table of relations equals what is computed anew, however it came about, and computes only what changed."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.fusion import relation_table
from lira_ros.fusion.contracts import Instance, OrientedBox
from lira_ros.fusion.relation_table import NamedRelation, RelationTable
from lira_ros.reasoning.constraint import RelationKind
from lira_ros.reasoning.contracts import Attributes

VOXEL_M = 0.05
UP = np.array([0.0, 0.0, 1.0])
VIEWER = np.array([0.0, -5.0, 1.5])


def box(number, low, size, observations=10, **attributes):
    """Return a filled box of voxels; low and size in voxels."""
    voxels = np.mgrid[tuple(slice(0, s) for s in size)].reshape(3, -1).T + np.array(low)
    pose = np.eye(4)
    pose[:3, 3] = VOXEL_M * (np.array(low) + 0.5 * (np.array(size) - 1))
    return Instance(
        id=number,
        label="box",
        label_confidence=1.0,
        existence=1.0,
        attributes=Attributes(**attributes),
        box=OrientedBox(pose, VOXEL_M * np.array(size, dtype=np.float64)),
        voxel_size_m=VOXEL_M,
        voxels=voxels.astype(np.int32),
        voxel_colors=np.zeros(voxels.shape, dtype=np.uint8),
        first_seen_ns=0,
        last_seen_ns=0,
        observations=observations,
    )


def table_of(instances):
    table = RelationTable()
    table.look_from(UP, VIEWER)
    table.update(instances)
    return table


def gap_by_hand(one, other):
    return max(0.0, np.linalg.norm(one.points[:, None] - other.points[None], axis=2).min() - VOXEL_M)


places = st.tuples(*[st.integers(-60, 60)] * 2, st.integers(0, 20))
sizes = st.tuples(*[st.integers(1, 8)] * 3)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(places, sizes), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), places, st.booleans()), max_size=5),
)
def test_a_table_that_followed_changes_equals_a_new_one(first, changes):
    instances = {number: box(number, low, size) for number, (low, size) in enumerate(first)}
    table = table_of(tuple(instances.values()))
    for number, low, removed in changes:
        if removed and len(instances) > 1:
            instances.pop(number, None)
        else:
            instances[number] = box(number, low, (2, 3, 4))
        table.update(tuple(instances.values()))
    anew = table_of(tuple(instances.values()))
    mine, theirs = table.pairwise_terms(), anew.pairwise_terms()
    assert mine.ids == theirs.ids == tuple(sorted(instances))
    np.testing.assert_array_equal(mine.terms, theirs.terms)
    for one in instances.values():
        for other in instances.values():
            if one is other:
                continue
            assert table.gap(one, other) == anew.gap(one, other) == table.gap(other, one)
            assert table.gap(one, other) == pytest.approx(gap_by_hand(one, other), abs=1e-4)
            for kind in (RelationKind.ON, RelationKind.UNDER, RelationKind.NEAR, RelationKind.INSIDE):
                assert table.relate(kind, one, (other,)) == anew.relate(kind, one, (other,))
    everything = tuple(instances.values())
    assert table.relations_of(everything, 50) == anew.relations_of(everything, 50)


def test_the_terms_are_those_of_inst3d_lmm():
    table = table_of((box(7, (0, 0, 0), (1, 1, 1)), box(3, (30, 40, 0), (1, 1, 1)), box(5, (0, 0, 20), (1, 1, 1))))
    ids, terms = dataclasses.astuple(table.pairwise_terms())
    assert ids == (3, 5, 7)
    furthest = math.hypot(1.5, 2.0, 1.0)
    # From 7 to 3: 2.5 m level; from 7 to 5: 1 m straight up; a thing to itself: nothing.
    np.testing.assert_allclose(terms[2, 0], (2.5 / furthest, 0.0, 1.0, 0.8, 0.6), atol=1e-6)
    np.testing.assert_allclose(terms[2, 1], (1.0 / furthest, 1.0, 0.0, 0.0, 0.0), atol=1e-6)
    np.testing.assert_allclose(terms[0, 2], (2.5 / furthest, 0.0, 1.0, -0.8, -0.6), atol=1e-6)
    np.testing.assert_array_equal(terms[1, 1], np.zeros(5))
    assert table_of(()).pairwise_terms().terms.shape == (0, 0, 5)
    assert table_of((box(1, (0, 0, 0), (1, 1, 1)),)).pairwise_terms().terms.tolist() == [[[0.0] * 5]]


def test_only_what_changed_is_computed_again(monkeypatch):
    derived, measured = [], []
    shape_of, on = relation_table.spatial_relations.shape_of, relation_table.spatial_relations.on
    monkeypatch.setattr(
        relation_table.spatial_relations, "shape_of", lambda item, axes: derived.append(item.id) or shape_of(item, axes)
    )
    monkeypatch.setattr(relation_table.spatial_relations, "on", lambda *given: measured.append(given) or on(*given))
    shelf, mug, lamp = box(1, (0, 0, 0), (20, 10, 4)), box(2, (5, 5, 4), (2, 2, 2)), box(3, (60, 0, 0), (3, 3, 9))
    table = table_of((shelf, mug, lamp))
    assert derived == [1, 2, 3]
    for _ in range(3):
        assert table.relate(RelationKind.ON, mug, (shelf,)).holds
        # An equal copy is the same thing.
        again = dataclasses.replace(mug, voxels=mug.voxels.copy(), attributes=dataclasses.replace(mug.attributes))
        assert table.update((shelf, again, lamp)) == 0
        mug = again
    assert len(measured) == 1
    moved = dataclasses.replace(lamp, voxels=lamp.voxels + np.int32([0, 1, 0]))
    assert table.update((shelf, mug, moved)) == 1
    assert table.relate(RelationKind.ON, mug, (shelf,)).holds
    assert (derived, len(measured)) == ([1, 2, 3, 3], 1)
    off = dataclasses.replace(mug, voxels=mug.voxels + np.int32([40, 0, 0]))
    table.update((shelf, off, moved))
    assert not table.relate(RelationKind.ON, off, (shelf,)).holds
    assert len(measured) == 2
    assert table.update((shelf,)) == 0
    assert len(table) == 1


def test_what_depends_on_the_viewer_follows_the_viewer():
    table, lamp = box(1, (0, 0, 0), (10, 10, 10)), box(2, (25, 0, 0), (5, 5, 10))
    relations = table_of((table, lamp))
    assert relations.relate(RelationKind.RIGHT_OF, lamp, (table,)).holds
    relations.look_from(UP, np.array([0.0, 5.0, 1.5]))
    found = relations.relate(RelationKind.LEFT_OF, lamp, (table,))
    assert found.holds
    assert "m left of" in found.words
    assert "to the left" in relations.relate(RelationKind.RIGHT_OF, lamp, (table,)).words
    np.testing.assert_allclose(relations.viewer, (0.0, 5.0, 1.5))


def test_the_nearest_is_found_without_measuring_what_is_farther(monkeypatch):
    things = [box(number, (12 * number, 0, 0), (4, 4, 4)) for number in range(1, 30)]
    table = table_of(things)
    counted = []
    measured = table._measured_gaps
    monkeypatch.setattr(table, "_measured_gaps", lambda a, b: counted.append(len(a)) or measured(a, b))
    gap, other = table.nearest(things[0], [*things[10:], things[0]])
    assert other is things[10]
    assert gap == pytest.approx(gap_by_hand(things[0], things[10]), abs=1e-4)
    assert sum(counted) == 1
    assert table.nearest(things[0], [things[0]]) is None


def test_relations_that_tell_where_things_are_come_first_and_each_pair_once():
    shelf, mug = box(1, (0, 0, 0), (20, 10, 4)), box(2, (5, 5, 4), (2, 2, 2))
    picture, chair = box(3, (5, 11, 20), (8, 1, 8)), box(4, (23, 0, 0), (6, 6, 10))
    things = (shelf, mug, picture, chair)
    table = table_of(things)
    told = table.relations_of(things, 10)
    assert [(item.target, item.kind, item.anchor) for item in told] == [
        (2, RelationKind.ON, 1),
        (3, RelationKind.ABOVE, 2),
        (3, RelationKind.ABOVE, 1),
        (1, RelationKind.NEAR, 4),
    ]
    assert told[-1] == NamedRelation(1, RelationKind.NEAR, 4, pytest.approx(0.15, abs=1e-3))
    assert table.relations_of(things, 2) == told[:2]
    assert table.relations_of((), 5) == ()


def test_a_rejected_relation_names_the_number_and_how_wrong_it_may_be():
    shelf, mug = box(1, (0, 0, 0), (20, 10, 4)), box(2, (28, 5, 4), (2, 2, 2))
    table = table_of((shelf, mug))
    beside = table.relate(RelationKind.ON, mug, (shelf,))
    assert not beside.holds
    assert "0.40 m beside" in beside.words
    assert beside.margin_m < 0 < beside.deviation_m
    near = table.relate(RelationKind.FAR, mug, (shelf,))
    assert near.words == "0.40 m, less than 1.5 m, away from"
    assert near.margin_m == pytest.approx(-1.1, abs=1e-2)
    few = dataclasses.replace(mug, observations=1)
    assert table.update((shelf, few)) == 0  # the geometry is the same
    assert table.relate(RelationKind.FAR, few, (shelf,)).deviation_m > near.deviation_m
