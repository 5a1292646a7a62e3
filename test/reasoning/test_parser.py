"""Sentences and what they mean, in the words of describe(), which names every part of a constraint."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.reasoning.constraint import RankKind, RelationKind
from lira_ros.reasoning.contracts import MAX_INSTRUCTION_CHARACTERS
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.parser import InstructionError, describe, parse

SHARED = Path(__file__).resolve().parents[3] / "shared"

SENTENCES = {
    "chair": "chair",
    "Find the fridge.": "fridge",
    "Locate a stool": "stool",
    "Please find the printer.": "printer",
    "Could you find me a towel, please?": "towel",
    "Would you be so kind as to show me the kettle?": "kettle",
    "I am looking for my keys.": "key",
    "Where is the remote control?": "remote control",
    "Where did I leave my umbrella?": "umbrella",
    "Is there a vacuum cleaner?": "vacuum cleaner",
    "Are there any plants?": "plant",
    "Do you see a lamp?": "lamp",
    "Show me all the monitors": "monitor",
    "Take me to the couch": "couch",
    "Go to the whiteboard.": "whiteboard",
    "Hey robot, bring me the red mug": "red mug",
    "Can you point out the fire extinguisher?": "fire extinguisher",
    "I want you to segment every cushion": "cushion",
    "I need a pair of scissors": "scissors",
    "I would like a glass": "glass",
    "This is the microwave.": "microwave",
    "How many chairs are there?": "chair",
    "What color is the sofa?": "sofa",
    "the blue chair": "blue chair",
    "a dark green sofa": "green sofa",
    "the grey cabinet": "gray cabinet",
    "some light-colored curtains": "white or beige or yellow or silver curtain",
    "the dark table": "black or brown or gray table",
    "a black and white ball": "black or white ball",
    "the red or blue towels": "red or blue towel",
    "a crimson cushion": "red cushion",
    "the turquoise vase": "blue or green vase",
    "the chair that is yellow": "yellow chair",
    "the chair which isn't yellow": "not yellow chair",
    "a lamp that is not white": "not white lamp",
    "the wall painted green": "green wall",
    "the cup colored orange": "orange cup",
    "the box in brown": "brown box",
    "the box of red color": "red box",
    "an orange": "orange",
    "the orange box": "orange box",
    "a round rug": "round rug",
    "the square cushion": "square cushion",
    "a rectangular tray": "rectangular tray",
    "the long bench": "long bench",
    "the flat box": "flat box",
    "a tall cabinet": "tall cabinet",
    "the low shelf": "low shelf",
    "the narrow desk": "narrow desk",
    "tiny bottles": "small bottle",
    "a big wooden crate": "large wooden crate",
    "the small round stool": "small round stool",
    "the table which is not round": "not round table",
    "the lamp that is tall": "tall lamp",
    "the largest window": "window, the largest",
    "the smallest of the boxes": "box, the smallest",
    "the second largest plant": "plant, the second largest",
    "the third tallest shelf": "shelf, the third tallest",
    "the biggest red cushion": "red cushion, the largest",
    "the longest sofa": "sofa, the longest",
    "the shortest bench": "bench, the shortest",
    "the shortest lamp": "lamp, the least tall",
    "the widest door": "door, the widest",
    "the highest picture": "picture, the highest above the floor",
    "the lowest shelf": "shelf, the lowest above the floor",
    "the most distant chair": "chair, the farthest from the camera",
    "the bigger of the two couches": "couch, the largest",
    "the smaller box": "box, the smallest",
    "the taller one of the lamps": "lamp, the tallest",
    "which monitor is the widest?": "monitor, the widest",
    "Which of the plants is the tallest?": "plant, the tallest",
    "What is the largest thing on the desk?": "anything, on desk, the largest",
    "the mug closest to the sink": "mug, the closest to sink",
    "the stool nearest to the door": "stool, the closest to door",
    "the armchair farthest from the television": "armchair, the farthest from television",
    "the closest chair to the window": "chair, the closest to window",
    "the second nearest bin to the bed": "bin, the second closest to bed",
    "the chair furthest away from the fireplace": "chair, the farthest from fireplace",
    "the table that is closest to the second smallest cabinet": "table, the closest to (cabinet, the second smallest)",
    "the nearest door": "door, the closest to the camera",
    "the plant closest to me": "plant, the closest to the camera",
    "the lamp with the greatest height": "lamp, the tallest",
    "the sofa at the farthest distance from the door": "sofa, the farthest from door",
    "the leftmost monitor": "monitor, the leftmost",
    "the second chair from the right": "chair, the second rightmost",
    "the picture on the left": "picture, the leftmost",
    "the cabinet to the right": "cabinet, the rightmost",
    "the left drawer": "drawer, the leftmost",
    "the mug next to the kettle": "mug, near kettle",
    "the bag beside the brown desk": "bag, near brown desk",
    "a chair near a window": "chair, near window",
    "the bin close to the copier": "bin, near copier",
    "the plant by the stairs": "plant, near stairs",
    "the pillow on the bed": "pillow, on bed",
    "the books on top of the piano": "book, on piano",
    "the shoes under the bench": "shoe, under bench",
    "the box below the window": "box, under window",
    "the clock above the door": "clock, above door",
    "the lamp over the dining table": "lamp, above dining table",
    "the apples in the bowl": "apple, inside bowl",
    "the sponge inside the sink": "sponge, inside sink",
    "the rug between the sofa and the television": "rug, between sofa and television",
    "the stool between the two chairs": "stool, between chair and chair",
    "the plant to the left of the door": "plant, left of door",
    "the cabinet right of the sink": "cabinet, right of sink",
    "the bag in front of the wardrobe": "bag, in front of wardrobe",
    "the broom behind the door": "broom, behind door",
    "the chair far from the table": "chair, far from table",
    "the keyboard that lies on the desk": "keyboard, on desk",
    "the bag standing on the floor": "bag, on floor",
    "the lamp which is hanging above the sofa": "lamp, above sofa",
    "the cat sleeping on the sofa": "cat sleeping, on sofa",
    "the vase on the table next to the window": "vase, on (table, near window)",
    "the red book on the white shelf above the desk": "red book, on (white shelf, above desk)",
    "the cup that is on the table and next to the laptop": "cup, on table, near laptop",
    "the chair next to the desk and the lamp": "chair, near desk, near lamp",
    "the table with a vase on it": "table, has on it vase",
    "the shelf that has a radio on it": "shelf, has on it radio",
    "the bed with nothing on it": "bed, not has on it anything",
    "the desk without a monitor": "desk, not has on it monitor",
    "the chair with wheels": "chair with wheels",
    "the sofa with stripes": "sofa with stripes",
    "a desk with a computer": "desk, has on it computer",
    "the bench covered with a blanket": "bench, has on it blanket",
    "the basket full of towels": "basket, has on it towel",
    "the tray that holds a teapot": "tray, has on it teapot",
    "a table that does not have anything on top": "table, not has on it anything",
    "everything on the counter": "anything, on counter",
    "all things under the bed": "anything, under bed",
    "whatever is in the box": "anything, inside box",
    "What is on the nightstand?": "anything, on nightstand",
    "anything in the crate": "anything, inside crate",
    "every object on the shelf but the radio": "anything, on shelf, but not radio",
    "all the chairs except the red one": "chair, but not red chair",
    "the cushions other than the blue ones": "cushion, but not blue cushion",
    "lamps, but not the one on the desk": "lamp, but not (lamp, on desk)",
    "the chairs that are not at the table": "chair, not near table",
    "cabinets excluding the tall one": "cabinet, but not tall cabinet",
    "stools but no bar stools": "stool, but not bar stool",
    "the plant that is not near the window": "plant, not near window",
    "not the sofa": "anything, but not sofa",
    "the table, not the round one": "table, but not round table",
    "a bottle or a can": "bottle; or can",
    "the knife and the fork": "knife; or fork",
    "plates, bowls and cups": "plate; or bowl; or cup",
    "the sofa or the armchair next to the window": "sofa; or armchair, near window",
    "two mugs": "2 mug",
    "three chairs near the table": "3 chair, near table",
    "both monitors": "2 monitor",
    "one of the pillows": "1 pillow",
    "2 plants": "2 plant",
    "On the desk, find the stapler.": "stapler, on desk",
    "Under the sink is a bucket.": "bucket, under sink",
    "To the right of the bed there is a small table.": "small table, right of bed",
    "Next to the fridge stands a broom.": "broom, near fridge",
    "There are two bins. Show me the smaller one.": "bin, the smallest",
    "Look for the desk near the door. It is brown.": "brown desk, near door",
    "The bin is the one under the desk.": "bin, under desk",
    "The monitor is to the left of the printer.": "monitor, left of printer",
    "The shelf has a clock on it.": "shelf, has on it clock",
    "The lamp is not on the table.": "lamp, not on table",
    "Find the chair and segment it.": "chair",
    "All lamps should be marked.": "lamp",
    "Every item belonging to class bathtub must be found.": "bathtub",
    "Get the objects of class picture that are blue.": "blue picture",
    "Choose the tiniest object among all class sink items with the color white.": "white sink, the smallest",
    "Mark the item in class bed next closest to the gray one in class sink.": "bed, the second closest to gray sink",
    "Separate the second biggest pink object belonging to class sofa.": "pink sofa, the second largest",
    "I am thirsty.": 'whatever that answers "i am thirsty"',
    "My hands are wet.": 'whatever that answers "my hands are wet"',
    "I spilled juice on the carpet": 'whatever that answers "i spilled juice on the carpet"',
    "It is too bright in here.": 'whatever that answers "it is too bright in here"',
    "I want to sit down.": 'whatever that answers "i want to sit down"',
    "I need to write a letter": 'whatever that answers "i need to write a letter"',
    "I am bored": 'whatever that answers "i am bored"',
    "I have a headache, I need to lie down": 'whatever that answers "i have a headache i need to lie down"',
    "We are hungry, find us something to eat.": 'whatever that answers "we are hungry. to eat"',
    "I am cold, bring me the blanket.": "blanket",
    "Where can I charge my phone?": 'whatever that answers "where can i charge my phone"',
    "What can I use to open this bottle?": 'whatever that answers "what can i use to open this bottle"',
    "Where can we have dinner?": 'whatever that answers "where can we have dinner"',
    "something to sit on next to the window": 'whatever that answers "to sit on", near window',
    "somewhere to hang my coat": 'whatever that answers "to hang my coat"',
    "anything to clean the floor with": 'whatever that answers "to clean the floor with"',
    "a place to sleep": 'whatever that answers "a place to sleep"',
    "a device for making coffee": 'device that answers "a device for making coffee"',
    "Furniture in which books are kept": 'furniture that answers "furniture in which books are kept"',
    "An appliance used for washing clothes.": 'appliance that answers "an appliance used for washing clothes"',
    "a thing that tells the time": 'whatever that answers "that tells the time"',
    "the game with balls": "game with balls",
    "the poster about whales": "poster about whale",
    "a bottle of water": "bottle of water",
    "the piece of furniture that holds the television": "furniture, has on it television",
    "the set of drawers": "drawer",
    "a row of chairs": "chair",
    "the trash can": "trash can",
    "the flat screen TV": "flat screen tv",
    "the coffee table": "coffee table",
    "the one that is next to the door": "anything, near door",
    "the red one": "red anything",
    "The brown, wooden chest": "brown wooden chest",
    "the chair I sat on": "chair i sat on",
    "the ONE with the Laptop on it!!!": "anything, has on it laptop",
    "find   the    sofa   ,  please": "sofa",
    'Find the so-called "dragon" lamp': "so-called dragon lamp",
}


def test_there_are_enough_sentences():
    assert len(SENTENCES) >= 150


@pytest.mark.parametrize(("text", "meaning"), SENTENCES.items())
def test_meaning(text, meaning):
    assert describe(parse(text)) == meaning


def test_nested_anchor_keeps_its_own_parts():
    constraint = parse("Bring me the second smallest green bottle from the left of the two low shelves near the door")
    assert constraint.phrase.colors == ("green",)
    assert constraint.rank is not None
    assert (constraint.rank.kind, constraint.rank.descending, constraint.rank.ordinal) == (RankKind.SIZE, False, 2)


def test_distance_to_an_anchor_with_colour_and_relation():
    constraint = parse("the stool farthest from the white cabinet that is next to the window")
    assert constraint.rank is not None
    anchor = constraint.rank.anchor
    assert anchor is not None
    assert anchor.phrase.head == "cabinet"
    assert anchor.phrase.colors == ("white",)
    assert anchor.relations[0].kind is RelationKind.NEAR
    assert anchor in constraint.anchors()


@pytest.mark.parametrize(
    ("text", "unique"),
    [("the basket", True), ("a basket", False), ("the baskets", False), ("baskets", False), ("my basket", True)],
)
def test_unique_means_one_thing(text, unique):
    assert parse(text).phrase.unique is unique


@pytest.mark.parametrize(
    "text",
    [
        "I am hungry.",
        "My feet hurt.",
        "something to read",
        "Where can I wash my hands?",
        "It is too dark in here.",
        "A place for storing plates.",
        "The milk will go bad.",
    ],
)
def test_needs_are_implicit(text):
    assert parse(text).phrase.implicit


def test_need_before_a_named_thing_names_the_thing():
    phrase = parse("I am freezing, so please hand me the red blanket.").phrase
    assert (phrase.head, phrase.colors, phrase.implicit) == ("blanket", ("red",), False)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "EMPTY_TEXT"),
        ("  \t\n", "EMPTY_TEXT"),
        ("?! ...", "EMPTY_TEXT"),
        ("\U0001f6cb", "EMPTY_TEXT"),
        ("x" * (MAX_INSTRUCTION_CHARACTERS + 1), "TEXT_TOO_LONG"),
        ("table " * 2000, "TEXT_TOO_LONG"),
        ("12 34", "NOT_UNDERSTOOD"),
        ("qwrtz plmk vvx", "NOT_UNDERSTOOD"),
        ("Bring mir bitte die grüne Flasche vom Tisch", "NOT_UNDERSTOOD"),
        ("Wo steht der Stuhl?", "NOT_UNDERSTOOD"),
        ("Apporte-moi la bouteille verte", "NOT_UNDERSTOOD"),
        ("Quelle est la plus grande table ?", "NOT_UNDERSTOOD"),
        ("Tráeme la botella verde de la mesa", "NOT_UNDERSTOOD"),
        ("¿Dónde está la mesa?", "NOT_UNDERSTOOD"),
        ("Portami la bottiglia verde", "NOT_UNDERSTOOD"),
        ("Onde está a cadeira vermelha", "NOT_UNDERSTOOD"),
        ("Breng me de groene fles", "NOT_UNDERSTOOD"),
        ("请把绿色的瓶子拿给我", "NOT_UNDERSTOOD"),
        ("緑のボトルはどこですか", "NOT_UNDERSTOOD"),
        ("Принеси зелёную бутылку", "NOT_UNDERSTOOD"),
        ("أين الكرسي", "NOT_UNDERSTOOD"),
        ("초록색 병을 찾아줘", "NOT_UNDERSTOOD"),
        ("please find", "NOT_UNDERSTOOD"),
    ],
)
def test_refused_with_a_code_and_a_sentence(text, code):
    with pytest.raises(InstructionError) as refusal:
        parse(text)
    assert refusal.value.code == code
    assert refusal.value.message.endswith(".")
    assert len(refusal.value.message) < 300


@pytest.mark.parametrize(
    "text", ["Find the didgeridoo", "the zamboni next to the door", "a café table", "FIND THE CHAIR"]
)
def test_unknown_names_and_accents_are_english_enough(text):
    assert parse(text).phrase.head


def test_longest_accepted_text_is_parsed():
    text = ("the red box on the table next to the sofa and " * 60)[:MAX_INSTRUCTION_CHARACTERS]
    assert parse(text).phrase.head == "box"


WORDS = st.sampled_from(
    sorted(lexicon.COLORS)
    + sorted(lexicon.SHAPES)
    + [" ".join(words) for words in lexicon.RELATIONS]
    + [" ".join(words) for words in lexicon.EXCLUSIONS]
    + [
        "the",
        "a",
        "and",
        "or",
        ",",
        ".",
        "not",
        "but",
        "which",
        "that",
        "is",
        "are",
        "has",
        "with",
        "it",
        "one",
        "ones",
        "of",
        "to",
        "from",
        "left",
        "right",
        "class",
        "most",
        "chair",
        "table",
    ]
    * 6
    + sorted(lexicon.SUPERLATIVES)
)


def outcome(text):
    """Return the meaning or the code of the refusal; anything else fails the test."""
    try:
        constraint = parse(text)
    except InstructionError as error:
        return {"EMPTY_TEXT": 1, "TEXT_TOO_LONG": 2, "NOT_UNDERSTOOD": 3}[error.code]
    return describe(constraint) + str(len(constraint.anchors()))


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_any_sequence_of_words_gives_a_constraint_or_an_instruction_error(text):
    assert outcome(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=120))
def test_any_string_gives_a_constraint_or_an_instruction_error(text):
    assert outcome(text)


def test_reasonrecon_grammar_is_parsed_as_meant():
    file = SHARED / "data/language/lira_reasonrecon/instruction_templates.json"
    if not file.is_file():
        pytest.skip(f"no {file}")
    templates = json.loads(file.read_text(encoding="utf-8"))
    for template in templates["class_color_bbox_size"]:
        text = template.replace("A*", "shower curtain").replace("C*", "gold").replace("howsize", "next to largest")
        assert describe(parse(text)) == "gold shower curtain, the second largest", text
    for template in templates["class_color_bbox_distance"]:
        text = template.replace("A*", "counter").replace("B*", "toilet").replace("C*", "pink")
        text = text.replace("howfar", "second remotest")
        assert describe(parse(text)) == "toilet, the second farthest from pink counter", text


def test_human_prompts_never_fail():
    file = SHARED / "data/language/vigil3d/vigil3d_scannet.csv"
    if not file.is_file():
        pytest.skip(f"no {file}")
    with file.open(encoding="utf-8") as stream:
        prompts = [row["description"] for row in csv.DictReader(stream)]
    refused = 0
    for prompt in prompts:
        try:
            assert describe(parse(prompt))
        except InstructionError:
            refused += 1
    assert refused <= 0.01 * len(prompts)


@pytest.mark.parametrize(
    "words", ["the is ", "which that are ", "the one is the ", "not ", "between the ", "if the is here "]
)
def test_a_text_that_runs_in_circles_is_read_or_refused(words):
    assert outcome((words * MAX_INSTRUCTION_CHARACTERS)[:MAX_INSTRUCTION_CHARACTERS])
