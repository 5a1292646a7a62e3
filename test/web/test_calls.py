"""What pages send is read strictly: nothing unexpected gets through, and nothing hostile breaks the reader."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lira_ros.web.calls import CALLS, MAX_MESSAGE_BYTES, Call, CallError, Received, read_message

SUBMIT = {"call": "submit", "number": 1, "arguments": {"text": "Find the mug.", "id": "", "replace": False}}


def test_calls_and_confirmations_are_read():
    assert read_message(json.dumps(SUBMIT)) == Call("submit", 1, SUBMIT["arguments"])
    assert read_message('{"received": 7}') == Received(7)
    for name in ("pause", "resume", "reset", "echo"):
        assert read_message(json.dumps({"call": name, "number": 0, "arguments": {}})).name == name


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"call": "shutdown"}, "call: expected one of submit, cancel"),
        ({"call": None}, "call: expected"),
        ({"call": ["submit"]}, "call: expected"),
        ({"number": -1}, "number: expected a whole number"),
        ({"number": True}, "number: expected a whole number"),
        ({"number": 1.0}, "number: expected a whole number"),
        ({"number": 2**60}, "number: expected a whole number"),
        ({"arguments": None}, "arguments: submit expects text, id, replace"),
        ({"arguments": {"text": "x", "id": ""}}, "arguments: submit expects"),
        ({"arguments": {**SUBMIT["arguments"], "__proto__": {}}}, "arguments: submit expects"),
        ({"arguments": {**SUBMIT["arguments"], "text": 5}}, "text: expected a text"),
        ({"arguments": {**SUBMIT["arguments"], "text": "x" * 4001}}, "text: expected a text of at most 4000"),
        ({"arguments": {**SUBMIT["arguments"], "id": "x" * 65}}, "id: expected a text of at most 64"),
        ({"arguments": {**SUBMIT["arguments"], "replace": 1}}, "replace: expected true or false"),
        ({"more": 1}, "expected the fields call, number and arguments"),
    ],
)
def test_what_is_wrong_is_named(change, named):
    with pytest.raises(CallError, match=named):
        read_message(json.dumps({**SUBMIT, **change}))


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "1", "null", '"a"', "{}", "[" * 30_000, '{"received": "1"}', '{"received": -1}']
)
def test_other_texts_are_refused(text):
    with pytest.raises(CallError):
        read_message(text)


def test_the_longest_instruction_fits_into_a_message():
    text = "\U0001f600" * 4000
    message = json.dumps({**SUBMIT, "arguments": {"text": text, "id": "i" * 64, "replace": True}})
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    assert read_message(message).arguments["text"] == text


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {"call": st.sampled_from(sorted(CALLS)) | json_values, "number": json_values, "arguments": json_values}
    )
    | json_values
)
def test_anything_is_read_or_refused(value):
    with contextlib.suppress(CallError):
        read_message(json.dumps(value))
