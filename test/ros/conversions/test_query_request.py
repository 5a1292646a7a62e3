import math

import pytest

from lira_msgs.srv import QueryInstances
from lira_ros.ros.conversions.query import QueryRefused, query_from_request

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
