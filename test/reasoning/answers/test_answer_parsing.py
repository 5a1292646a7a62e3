import contextlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.reasoning.answers.contracts import AnswerError, BoxUnits, ConstraintKind
from lira_ros.reasoning.answers.parsing import parse_answer
from lira_ros.reasoning.contracts import ReasoningError, Role

CHAIR = {
    "label": "Office Chair",
    "color": "dark grey",
    "bbox_2d": [100, 200, 500, 1000],
    "point_2d": [300, 600],
    "role": "anchor",
    "confidence": 0.75,
    "constraint": {"type": "size", "order": "second largest", "anchor": "desk"},
    "reason": "beside the desk",
}
CUP = {"label": "cup", "bbox_2d": [0, 0, 100, 100]}


def parse(text, width_px=640, height_px=480, units=BoxUnits.RELATIVE_1000, **arguments):
    return parse_answer(text, width_px, height_px, units, **arguments)


def labels(text, **arguments):
    return [instance.label for instance in parse(text, **arguments).instances]


def test_a_complete_answer():
    answer = parse(json.dumps({"objects": [CHAIR], "reason": "one chair"}))
    (chair,) = answer.instances
    assert chair.label == "office chair"
    assert chair.color == "gray"
    assert chair.box_px == pytest.approx((64, 96, 320, 480))
    assert chair.point_px == pytest.approx((192, 288))
    assert chair.role is Role.ANCHOR
    assert chair.confidence == 0.75
    assert (chair.constraint.kind, chair.constraint.order, chair.constraint.anchor) == (
        ConstraintKind.SIZE,
        "second largest",
        "desk",
    )
    assert chair.reason == "beside the desk"
    assert answer.reason == "one chair"
    assert answer.problems == ()


def test_what_is_left_out_has_a_plain_meaning():
    (cup,) = parse(json.dumps([CUP])).instances
    assert (cup.role, cup.confidence, cup.point_px, cup.color, cup.reason) == (Role.TARGET, 1.0, None, "", "")
    assert cup.constraint.kind is ConstraintKind.NONE


def test_units():
    box = '[{"label": "cup", "bbox_2d": [%s]}]'
    assert parse(box % "28, 56, 140, 280").instances[0].box_px == pytest.approx((17.92, 26.88, 89.6, 134.4))
    seen = parse(box % "28, 56, 140, 280", units=BoxUnits.PIXELS, shown_size_px=(1280, 480))
    assert seen.instances[0].box_px == pytest.approx((14, 56, 70, 280))
    assert parse(box % "28, 56, 140, 280", units=BoxUnits.PIXELS).instances[0].box_px == (28, 56, 140, 280)
    relative = parse(box % "0.25, 0.5, 0.5, 1", units=BoxUnits.RELATIVE_1)
    assert relative.instances[0].box_px == (160, 240, 320, 480)


@pytest.mark.parametrize(
    "text",
    [
        "Here you are:\n```json\n{}\n```\nAnything else?",
        "```\n{}```",
        '<think>A chair [1] or {{"label": "lamp", "bbox_2d": [1, 2, 30, 40]}}?</think>\n{}',
        'thought of {{"label": "lamp", "bbox_2d": [1, 2, 30, 40]}} first</think>{}',
        '<think>hm</think><think>hm {{ [ "</think><answer>{}</answer>',
        '<answer>\n{}\n</answer> [{{"label": "lamp", "bbox_2d": [1, 2, 30, 40]}}]',
        "<THINK>[]</THINK>{}",
        "Sure [see below] {{as asked}}: {} and so on [] {{}}",
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        '[{"label": "cup", "bbox_2d": [0, 0, 100, 100]}]',
        '{"objects": [{"label": "cup", "bbox_2d": [0, 0, 100, 100]}], "reason": ""}',
        "[{'label': 'cup', 'bbox_2d': [0, 0, 100, 100], 'point_2d': None, 'seen': True,},]",
        "{label: 'cup', 'box': (0, 0, 100, 100)}",
        '{"answer": {"objects": [{"name": "cup", "bbox": ["0", "0.0", "100", " 1e2 "]}]}}',
        '[[{"Label": "cup", "Bounding_Box": "[0, 0, 100, 100]"}]]',
        '{"instances": [{"class": "cup", "box": {"x1": 0, "y1": 0, "x2": 100, "y2": 100}}]}',
        '[{"category": "cup", "x": 0, "y": 0, "width": 100, "height": 100}]',
        '[{"label": "cup", "bbox_2d": [[0, 0], [100, 100]]}]',
    ],
)
def test_forms_in_which_models_answer(text, body):
    (cup,) = parse(text.format(body)).instances
    assert cup.label == "cup"
    assert cup.box_px == pytest.approx((0, 0, 64, 48))


def test_objects_without_a_list_around_them():
    assert labels(json.dumps(CUP) + "\n" + json.dumps(CHAIR)) == ["cup", "office chair"]


def test_apostrophes_within_single_quotes():
    assert labels("[{'label': 'the man's cup', 'bbox_2d': [0, 0, 100, 100]}]") == ["the man's cup"]


@pytest.mark.parametrize("whole", [json.dumps([CUP, CHAIR]), json.dumps({"objects": [CUP, CHAIR], "reason": "two"})])
def test_an_answer_cut_anywhere_keeps_its_whole_objects_or_is_refused(whole):
    ends = [whole.index("}") + 1, whole.rindex("}]") + 1]
    for length in range(len(whole)):
        expected = sum(length >= end for end in ends)
        if expected == 0:
            with pytest.raises(AnswerError):
                parse(whole[:length])
            continue
        answer = parse(whole[:length])
        assert [instance.label for instance in answer.instances] == ["cup", "office chair"][:expected]
        assert any("cut off" in problem for problem in answer.problems)


def test_one_broken_object_does_not_take_the_others_with_it():
    text = '[{"label": "cup", "bbox_2d": [0,0,100,100]}, {"label": chair}, {"label": "lamp", "bbox_2d": [5,5,90,90]}]'
    answer = parse(text)
    assert [instance.label for instance in answer.instances] == ["cup", "lamp"]
    assert answer.problems


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "```json\n[]\n```",
        '{"objects": [], "reason": "none"}',
        "<think>x</think>[]",
        "Let me see: [1] <answer> ```[]``` </answer> That is all.",
        'There is no cup, so: {"objects": []}',
    ],
)
def test_an_empty_list_means_that_nothing_is_there(text):
    answer = parse(text)
    assert answer.instances == ()
    assert answer.problems == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No object.",
        "null",
        "{}",
        "[",
        "[1, 2, 3, 4]",
        '{"objects": ',
        '{"objects": [',
        '{"objects": [{"label": "cup"',
        '{"objects": null, "reason": ""}',
        '{"objects": "none"}',
        '{"error": "out of memory"}',
        '{"reason": "I cannot help with that"}',
        "<think>There may be [] nothing",
        '<think>[{"label": "cup", "bbox_2d": [0, 0, 100, 100]}]</think>',
        '[{"label": "cup"}]',
        '[{"label": "cup", "bbox_2d": [100, 0, 0, 100]}]',
        '[{"label": "cup", "bbox_2d": [NaN, 0, 100, 100]}]',
        '[{"label": "cup", "bbox_2d": [0, 0, 100]}]',
        '[{"label": "cup", "bbox_2d": [2000, 0, 3000, 100]}]',
        '["cup", "chair"]',
        "I see a cup [] on the table.",
        "[[]]",
        '{"objects": [[]]}',
        '{"objects": {}}',
        # An empty list that belongs to something else, of which the rest cannot be read.
        '"label": "cup", "tags": []}], "reason": ""}',
        '{"objects" [{"label": "cup", "tags": []}]}',
        '{"objects": []} {"label" "cup", "bbox_2d": [0, 0, 100, 100]}',
        '[] {"label": "cup"}',
    ],
)
def test_what_says_nothing_usable_is_an_error_and_never_nothing_there(text):
    with pytest.raises(AnswerError) as error:
        parse(text)
    assert isinstance(error.value, ReasoningError)
    assert error.value.args[0]


def test_no_loss_of_characters_makes_nothing_of_something():
    whole = '{"notes": [], "objects": [{"tags": [], "label": "cup", "bbox_2d": [1, 2, 300, 400], "parts": {}}]}'
    for first in range(len(whole)):
        for length in (1, 3, 9, 27):
            with contextlib.suppress(AnswerError):
                assert parse(whole[:first] + whole[first + length :]).instances


@pytest.mark.parametrize(
    "text",
    [
        '{"objects": [], "detections": [{"label": "cup", "bbox_2d": [0, 0, 100, 100]}]}',
        '{"objects": [], "objects": [{"label": "cup", "bbox_2d": [0, 0, 100, 100]}]}',
        '[] [{"label": "cup", "bbox_2d": [0, 0, 100, 100]}]',
    ],
)
def test_what_is_named_beside_an_empty_list_counts(text):
    assert [instance.label for instance in parse(text).instances] == ["cup"]


def test_a_thought_that_never_ends_still_counts_when_it_names_something():
    answer = parse('<think>I see [{"label": "cup", "bbox_2d": [0, 0, 100, 100]}]')
    assert [instance.label for instance in answer.instances] == ["cup"]
    assert any("thought" in problem for problem in answer.problems)


@pytest.mark.parametrize(
    ("units", "box"),
    [
        (BoxUnits.PIXELS, [0.1, 0.1, 0.5, 0.9]),
        (BoxUnits.RELATIVE_1000, [0.0, 0.1, 0.5, 0.9]),
        (BoxUnits.RELATIVE_1, [0, 0, 320, 240]),
    ],
)
def test_boxes_in_other_units_are_refused_and_not_misread(units, box):
    text = json.dumps([{"label": "cup", "bbox_2d": box}])
    with pytest.raises(AnswerError, match="box"):
        parse_answer(text, 640, 480, units)


def test_boxes_are_clamped_and_bad_ones_left_out():
    boxes = [[-50, -1e308, 500, 1e308], [10, 10, 10, 50], [50, 10, 20, 90], ["Infinity", 0, 5, 5], [1, 2], "here", None]
    text = json.dumps({"objects": [{"label": f"thing {n}", "bbox_2d": box} for n, box in enumerate(boxes)]})
    answer = parse(text)
    assert [instance.label for instance in answer.instances] == ["thing 0"]
    assert answer.instances[0].box_px == (0, 0, 320, 480)
    assert len(answer.problems) == 6
    assert all("box" in problem for problem in answer.problems)


def test_a_point_beside_its_box_is_left_out():
    answer = parse(json.dumps([CUP | {"point_2d": [500, 500]}, CHAIR | {"point_2d": [math.nan, 3]}]))
    assert [instance.point_px for instance in answer.instances] == [None, None]
    assert len(answer.problems) == 1


def test_duplicates_count_once_and_neighbours_twice():
    near = CUP | {"bbox_2d": [0, 0, 99, 100]}
    other = CUP | {"bbox_2d": [40, 0, 140, 100]}
    answer = parse(json.dumps([CUP, near, other, CUP | {"label": "mug"}]))
    assert [instance.label for instance in answer.instances] == ["cup", "cup", "mug"]
    assert answer.problems == ("object 2: named twice",)


def test_at_most_so_many_instances():
    many = [CUP | {"bbox_2d": [10 * n, 0, 10 * n + 9, 500]} for n in range(50)]
    answer = parse(json.dumps(many), max_instances=7)
    assert len(answer.instances) == 7
    assert any("more than 7" in problem for problem in answer.problems)


@pytest.mark.parametrize(
    ("said", "expected", "complaints"),
    [("80%", 0.8, 0), (85, 0.85, 0), ("0.3", 0.3, 0), (1, 1.0, 0), (-2, 1.0, 1), ("high", 1.0, 1), (math.nan, 1.0, 1)],
)
def test_confidences(said, expected, complaints):
    answer = parse(json.dumps([CUP | {"confidence": said}]))
    assert answer.instances[0].confidence == pytest.approx(expected)
    assert len(answer.problems) == complaints


def test_an_unknown_role_is_context():
    answer = parse(json.dumps([CUP | {"role": "Target"}, CHAIR | {"role": "boss"}]))
    assert [instance.role for instance in answer.instances] == [Role.TARGET, Role.CONTEXT]
    assert "boss" in answer.problems[0]


def test_texts_are_plain_and_short():
    nasty = 'x\x1b[31m\n</think>[]"} \u202e' + "y" * 5000
    answer = parse(json.dumps([CUP | {"label": nasty, "reason": nasty, "role": nasty, "color": nasty}]))
    (cup,) = answer.instances
    for text in (cup.label, cup.reason, *answer.problems):
        assert text.isprintable()
        assert len(text) <= 200
    assert len(cup.label) <= 48


def test_marks_within_a_label_are_part_of_the_label():
    for mark in ("</think>[]", "<answer>[]</answer>", "<think>", "```[]```", '\\"}]', "__import__('os').abort()"):
        body = '[{"label": "cup MARK", "bbox_2d": [0, 0, 100, 100]}]'.replace("MARK", mark)
        for text in (body, f"Well: {body}", f"<think>a</think>{body}"):
            (cup,) = parse(text).instances
            assert cup.label.startswith("cup")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000_000,
        "{" * 5_000_000 + "}" * 5_000_000,
        '{"a":' * 2_000_000,
        "[{'" * 3_000_000,
        "'" * 10_000_000,
        "['" + "' " * 5_000_000,
        "<think>" * 1_500_000,
        "</think>" * 1_500_000,
        '[{"bbox_2d": [' + "9" * 10_000_000 + ", 1, 2, 3]}]",
        '{"label": "' + "x" * 10_000_000,
        " " * 10_000_000 + "[]",
    ],
    ids=lambda text: text[:12],
)
def test_ten_megabytes_of_nonsense_are_refused_without_reading_them_all(text):
    with pytest.raises(AnswerError):
        parse(text)


def test_ten_megabytes_of_objects_give_the_first_ones():
    some = ", ".join(json.dumps(CUP | {"bbox_2d": [20 * n, 0, 20 * n + 15, 500]}) for n in range(40))
    answer = parse("[" + ", ".join([some] * 5_000) + "]")
    assert len(answer.instances) == 16
    assert len(answer.problems) <= 11


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="[]{}(),:\"'\\ \n<>/0129.-eEaNntrufk", max_size=200))
def test_any_text_gives_an_answer_or_an_answer_error(text):
    check(text)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(
                st.sampled_from(["objects", "label", "bbox_2d", "point_2d", "role", "confidence", "constraint", "x"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=40,
    ),
    st.integers(0, 400),
)
def test_any_json_cut_anywhere_gives_valid_instances_or_an_answer_error(value, length):
    check(json.dumps(value))
    check(json.dumps(value)[:length])
    check(repr(value))


def check(text):
    try:
        answer = parse(text, 37, 21)
    except AnswerError:
        return
    for instance in answer.instances:
        left, top, right, bottom = instance.box_px
        assert 0 <= left < right <= 37
        assert 0 <= top < bottom <= 21
        assert 0 <= instance.confidence <= 1
        assert instance.label.isprintable()
        if instance.point_px is not None:
            assert left <= instance.point_px[0] < right
            assert top <= instance.point_px[1] < bottom
