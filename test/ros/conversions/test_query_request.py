import math

import pytest
from geometry_msgs.msg import Point

from lira_msgs.srv import QueryInstances
from lira_ros.fusion.instance_query import RELATION_NAMES
from lira_ros.fusion.relation_table import NamedRelation
from lira_ros.reasoning.constraint import RelationKind
from lira_ros.ros.conversions.query import QueryRefused, query_from_request, relation_to_message

CODES = QueryInstances.Response


def test_a_request_without_conditions_asks_for_everything():
    query = query_from_request(QueryInstances.Request())
    assert (query.instruction, query.ids, query.label, query.sphere) == (None, frozenset(), "", None)


def test_all_conditions_are_taken_over():
    request = QueryInstances.Request(ids=[3, 1, 3], label="chair", text="a red chair", use_sphere=True, radius_m=2.0)
    request.center.y = -1.5
    query = query_from_request(request)
    assert (query.ids, query.label) == (frozenset({1, 3}), "chair")
    assert query.instruction.text == "a red chair"
    assert query.sphere[0].tolist() == [0.0, -1.5, 0.0]
    assert query.sphere[1] == 2.0


@pytest.mark.parametrize("radius_m", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_sphere_is_refused_only_where_it_is_used(radius_m):
    request = QueryInstances.Request(radius_m=radius_m)
    assert query_from_request(request).sphere is None
    request.use_sphere = True
    with pytest.raises(QueryRefused, match="expected a finite center and radius_m > 0, got") as refused:
        query_from_request(request)
    assert refused.value.code == CODES.INVALID_REGION


@pytest.mark.parametrize(("text", "code"), [("chair " * 500, CODES.TEXT_TOO_LONG), ("?!", CODES.NOT_UNDERSTOOD)])
def test_a_text_that_is_none_is_refused(text, code):
    with pytest.raises(QueryRefused) as refused:
        query_from_request(QueryInstances.Request(text=text))
    assert refused.value.code == code


def corner(x, y, z):
    return Point(x=float(x), y=float(y), z=float(z))


def test_a_box_and_a_relation_are_taken_over():
    request = QueryInstances.Request(use_box=True, relation="in", relative_to=4, max_results=7, include_relations=True)
    request.box_min, request.box_max = corner(-1, -1, 0), corner(1, 2, 3)
    query = query_from_request(request)
    assert [end.tolist() for end in query.box] == [[-1.0, -1.0, 0.0], [1.0, 2.0, 3.0]]
    assert (query.relation, query.max_results, query.with_relations) == ((RelationKind.INSIDE, 4), 7, True)


@pytest.mark.parametrize("high", [(0, 1, 1), (-1, 1, 1), (math.nan, 1, 1), (math.inf, 1, 1)])
def test_an_impossible_box_is_refused_only_where_it_is_used(high):
    request = QueryInstances.Request(box_max=corner(*high))
    assert query_from_request(request).box is None
    request.use_box = True
    with pytest.raises(QueryRefused, match="expected finite box_min below box_max, got") as refused:
        query_from_request(request)
    assert refused.value.code == CODES.INVALID_REGION


@pytest.mark.parametrize(
    ("relation", "anchor", "words"),
    [
        ("behind", 3, "expected one of on, in, under, above, near, far, got 'behind'"),
        ("on", 0, "relative_to: expected"),
    ],
)
def test_a_relation_that_is_none_is_refused(relation, anchor, words):
    with pytest.raises(QueryRefused, match=words) as refused:
        query_from_request(QueryInstances.Request(relation=relation, relative_to=anchor))
    assert refused.value.code == CODES.INVALID_RELATION


def test_the_names_of_relations_are_those_of_the_message():
    relations = [NamedRelation(1, kind, 2, 0.25) for kind in RELATION_NAMES.values()]
    assert [relation_to_message(item).relation for item in relations] == list(RELATION_NAMES)
    told = relation_to_message(relations[0])
    assert (told.subject_id, told.object_id, told.gap_m) == (1, 2, 0.25)
