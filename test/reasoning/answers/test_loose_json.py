import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.reasoning.answers.loose_json import LooseValue, loose_values

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, int | float) and not isinstance(one, bool):
        return math.isclose(one, other, rel_tol=1e-12, abs_tol=0)
    return one is other or (type(one) is type(other) and one == other)


@settings(max_examples=60, deadline=None)
@given(st.lists(JSON_VALUES, max_size=3), st.booleans(), st.sampled_from([None, 1]))
def test_every_json_text_reads_as_the_library_reads_it(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    (read,) = loose_values(text)
    assert read.whole
    assert not read.thought
    assert same(json.loads(text), read.value)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="'\\", exclude_categories=["C"])) | st.booleans(), max_size=4))
def test_what_python_prints_reads_as_it_was(value):
    (read,) = loose_values(repr(value))
    assert read.value == value


def test_of_a_name_that_comes_twice_the_first_counts():
    (read,) = loose_values('{"role": "anchor", "role": "target"}')
    assert read.value == {"role": "anchor"}


@pytest.mark.parametrize("text", ["", "no brackets", "]", "}{", "[,]", "{:}", "{'a' 1}", "[" * 100])
def test_what_is_no_list_and_no_object_yields_nothing(text):
    assert all(found == LooseValue(None, False) for found in loose_values(text))


def test_a_thought_is_told_from_what_is_said():
    assert [value.value for value in loose_values("<think>[1]</think>[2]") if value] == [[2]]
    assert list(loose_values("[1]</think>[2]"))[1] is None
    (read,) = loose_values("<think>[1]")
    assert read.thought
