import pytest

from lira_ros.reasoning.instructions import InstructionBook, InstructionConfiguration
from lira_ros.reasoning.language.parser import InstructionError


def book(limit=3):
    return InstructionBook(InstructionConfiguration(max_instructions=limit))


def refusal(call):
    with pytest.raises(InstructionError) as caught:
        call()
    return caught.value


def test_ids_are_made_up_and_never_collide_with_given_ones():
    asked = book()
    asked.submit("find the chair", "find-1")
    assert asked.submit("find the table").id == "find-2"
    assert [item.id for item in asked.active] == ["find-1", "find-2"]


def test_an_id_in_use_is_refused_unless_replaced():
    asked = book()
    asked.submit("find the chair", "a")
    error = refusal(lambda: asked.submit("find the table", "a"))
    assert error.code == "ID_IN_USE"
    assert "'a'" in error.message
    assert asked.get("a").text == "find the chair"
    asked.submit("find the table", "a", replace=True)
    assert asked.get("a").text == "find the table"
    assert len(asked.active) == 1


@pytest.mark.parametrize("bad", ["with space", "x" * 65, "ü", "a/b", "a.b"])
def test_ids_that_could_not_be_names_are_refused(bad):
    assert refusal(lambda: book().submit("find the chair", bad)).code == "ID_INVALID"


def test_the_book_is_bounded_but_replacing_still_works_when_full():
    asked = book(limit=1)
    asked.submit("find the chair", "a")
    assert refusal(lambda: asked.submit("find the table")).code == "TOO_MANY_INSTRUCTIONS"
    assert asked.submit("find the table", "a", replace=True).id == "a"


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "EMPTY_TEXT"), ("   \n", "EMPTY_TEXT"), ("?!.", "EMPTY_TEXT"), ("a" * 10000, "TEXT_TOO_LONG")],
)
def test_a_refused_text_leaves_the_book_as_it_was(text, code):
    asked = book()
    asked.submit("find the chair", "a")
    assert refusal(lambda: asked.submit(text, "a", replace=True)).code == code
    assert asked.get("a").text == "find the chair"


def test_cancelling_one_and_all():
    asked = book()
    for name in "abc":
        asked.submit("find the chair", name)
    assert asked.cancel("b") == ("b",)
    assert asked.cancel() == ("a", "c")
    assert asked.cancel() == ()
    with pytest.raises(KeyError):
        asked.cancel("b")


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mFind the\x1b[0m red mug",
        "Find the\nred\r\nmug",
        "Find the \u202ered mug\u202c",
        "Find the red\x00 mug",
        "Find the red mug\ud800",
        "Find the red mug in ../../etc/passwd",
    ],
)
def test_what_is_shown_of_an_instruction_holds_no_control_characters(text):
    shown = InstructionBook(InstructionConfiguration()).submit(text).text
    assert "red mug" in shown
    assert all(character.isprintable() for character in shown)
    shown.encode("utf-8")


def test_a_text_of_two_megabytes_is_refused_in_a_short_sentence():
    with pytest.raises(InstructionError) as refusal:
        InstructionBook(InstructionConfiguration()).submit("find the chair \x1b[2J" * 120_000)
    assert refusal.value.code == "TEXT_TOO_LONG"
    assert len(refusal.value.message) < 300
    assert refusal.value.message.isprintable()


def test_a_refusal_shows_no_control_characters():
    with pytest.raises(InstructionError) as refusal:
        InstructionBook(InstructionConfiguration()).submit("qwrtz\x1b[2J \u202eplmk vvx")
    assert refusal.value.message.isprintable()


@pytest.mark.parametrize(
    "text", ["finde den roten Stuhl", "找到红色的椅子", "la chaise près de la fenêtre", "theremin"]
)
def test_what_is_not_english_is_taken_where_the_back_end_reads_it(text):
    configuration = InstructionConfiguration()
    with pytest.raises(InstructionError) as refused:
        InstructionBook(configuration).submit(text)
    assert refused.value.code == "NOT_UNDERSTOOD"
    accepted = InstructionBook(configuration, any_language=True).submit(text)
    assert (accepted.text, accepted.constraint.phrase.text) == (text, text)
    assert accepted.constraint.phrase.implicit


@pytest.mark.parametrize(("text", "code"), [("", "EMPTY_TEXT"), ("?!", "EMPTY_TEXT"), ("42", "NOT_UNDERSTOOD")])
def test_what_is_no_language_is_refused_all_the_same(text, code):
    with pytest.raises(InstructionError) as refused:
        InstructionBook(InstructionConfiguration(), any_language=True).submit(text)
    assert refused.value.code == code


def test_english_is_read_as_ever_where_the_back_end_reads_other_languages():
    constraint = InstructionBook(InstructionConfiguration(), any_language=True).submit("find the red chair").constraint
    assert (constraint.phrase.head, constraint.phrase.colors, constraint.phrase.implicit) == ("chair", ("red",), False)
