"""The words that the parser knows by themselves: colours, shapes, ranks, relations, fillers and common English."""

from __future__ import annotations

from functools import cache

from lira_ros.reasoning.constraint import RankKind, RelationKind


@cache
def word_set(text: str) -> frozenset[str]:
    """Return the words of a text as a set; lists of words read better that way."""
    return frozenset(text.split())


def phrases(text: str) -> tuple[tuple[str, ...], ...]:
    """Return phrases separated by "|" as tuples of words."""
    return tuple(tuple(phrase.split()) for phrase in text.split("|"))


# Colour words and the basic colours that they may mean. The fifteen keys that map to themselves are the basic
# colours of the ReasonRecon grammar (LIRA, 2025); the others are everyday names near one or two of them.
COLORS: dict[str, tuple[str, ...]] = {
    **{
        name: (name,)
        for name in (
            "green", "copper", "brown", "red", "white", "gold", "blue", "orange", "purple", "gray", "beige", "pink",
            "yellow", "silver", "black",
        )
    },
    "grey": ("gray",), "greyish": ("gray",), "grayish": ("gray",), "charcoal": ("gray", "black"),
    "anthracite": ("gray", "black"), "violet": ("purple",), "lilac": ("purple",), "lavender": ("purple",),
    "mauve": ("purple",), "magenta": ("pink", "purple"), "fuchsia": ("pink",), "rose": ("pink",),
    "salmon": ("pink", "orange"), "coral": ("pink", "orange"), "crimson": ("red",), "scarlet": ("red",),
    "maroon": ("red", "brown"), "burgundy": ("red",), "reddish": ("red",), "navy": ("blue",), "azure": ("blue",),
    "cyan": ("blue", "green"), "turquoise": ("blue", "green"), "teal": ("blue", "green"), "bluish": ("blue",),
    "lime": ("green",), "olive": ("green",), "greenish": ("green",), "emerald": ("green",),
    "golden": ("gold", "yellow"),
    "yellowish": ("yellow",), "mustard": ("yellow",), "silvery": ("silver",), "bronze": ("copper", "brown"),
    "coppery": ("copper",), "tan": ("beige", "brown"), "cream": ("beige", "white"), "ivory": ("beige", "white"),
    "khaki": ("beige", "green"), "brownish": ("brown",), "chestnut": ("brown",), "pinkish": ("pink",),
    "purplish": ("purple",), "whitish": ("white",), "blackish": ("black",),
}  # fmt: skip
# "Dark" and "light" alone name a group of basic colours; before a colour they only shade it.
DARK_COLORS = ("black", "brown", "gray")
LIGHT_COLORS = ("white", "beige", "yellow", "silver")
SHADES = word_set("dark light bright pale deep vivid pastel")

SHAPES: dict[str, str] = {
    "round": "round", "circular": "round", "rounded": "round", "disc-shaped": "round", "round-shaped": "round",
    "oval": "oval", "elliptical": "oval",
    "square": "square", "squared": "square", "square-shaped": "square",
    "rectangular": "rectangular", "oblong": "rectangular", "box-shaped": "rectangular", "boxy": "rectangular",
    "long": "long", "elongated": "long", "lengthy": "long",
    "flat": "flat", "level": "flat",
    "tall": "tall", "high": "tall", "towering": "tall",
    "short": "low", "low": "low",
    "wide": "wide", "broad": "wide",
    "narrow": "narrow", "thin": "narrow", "slim": "narrow", "slender": "narrow",
    "small": "small", "little": "small", "tiny": "small", "compact": "small", "miniature": "small", "mini": "small",
    "small-sized": "small",
    "large": "large", "big": "large", "huge": "large", "giant": "large", "enormous": "large", "massive": "large",
    "sizable": "large", "bulky": "large", "large-sized": "large", "great": "large",
    "upright": "upright", "vertical": "upright",
    "cylindrical": "round", "spherical": "round",
}  # fmt: skip

_SUPERLATIVE_WORDS: dict[tuple[RankKind, bool], str] = {
    (RankKind.SIZE, True): "largest biggest greatest bulkiest hugest",
    (RankKind.SIZE, False): "smallest tiniest littlest",
    (RankKind.HEIGHT, True): "tallest",
    (RankKind.HEIGHT, False): "shortest",
    (RankKind.LENGTH, True): "longest",
    (RankKind.WIDTH, True): "widest broadest deepest",
    (RankKind.WIDTH, False): "narrowest thinnest slimmest",
    (RankKind.ELEVATION, True): "highest topmost uppermost",
    (RankKind.ELEVATION, False): "lowest bottommost lowermost",
    (RankKind.DISTANCE, False): "closest nearest",
    (RankKind.DISTANCE, True): "farthest furthest remotest",
    (RankKind.LATERAL, False): "leftmost",
    (RankKind.LATERAL, True): "rightmost",
}
SUPERLATIVES: dict[str, tuple[RankKind, bool]] = {
    word: rank for rank, words in _SUPERLATIVE_WORDS.items() for word in words.split()
}
COMPARATIVES: dict[str, tuple[RankKind, bool]] = {
    "larger": (RankKind.SIZE, True), "bigger": (RankKind.SIZE, True),
    "smaller": (RankKind.SIZE, False), "tinier": (RankKind.SIZE, False),
    "taller": (RankKind.HEIGHT, True), "shorter": (RankKind.HEIGHT, False),
    "longer": (RankKind.LENGTH, True),
    "wider": (RankKind.WIDTH, True), "broader": (RankKind.WIDTH, True),
    "narrower": (RankKind.WIDTH, False), "thinner": (RankKind.WIDTH, False), "slimmer": (RankKind.WIDTH, False),
    "higher": (RankKind.ELEVATION, True), "lower": (RankKind.ELEVATION, False),
    "closer": (RankKind.DISTANCE, False), "nearer": (RankKind.DISTANCE, False),
    "farther": (RankKind.DISTANCE, True), "further": (RankKind.DISTANCE, True),
}  # fmt: skip
# "most X" and "least X".
GRADABLE: dict[str, tuple[RankKind, bool]] = {
    "sizable": (RankKind.SIZE, True), "spacious": (RankKind.SIZE, True), "massive": (RankKind.SIZE, True),
    "compact": (RankKind.SIZE, False), "distant": (RankKind.DISTANCE, True), "remote": (RankKind.DISTANCE, True),
    "tall": (RankKind.HEIGHT, True), "large": (RankKind.SIZE, True), "big": (RankKind.SIZE, True),
    "elongated": (RankKind.LENGTH, True), "long": (RankKind.LENGTH, True), "wide": (RankKind.WIDTH, True),
    "narrow": (RankKind.WIDTH, False), "space": (RankKind.SIZE, True), "room": (RankKind.SIZE, True),
    "volume": (RankKind.SIZE, True),
}  # fmt: skip
# Things that lie rather than stand: their "shortest" is about length.
LYING_HEADS = word_set("sofa couch bench bed table desk counter rod stick cable rope shelf rail board carpet rug")

_WORD_RELATIONS: dict[RelationKind, str] = {
    RelationKind.NEAR: (
        "next to|beside|close to|close by|near to|near by|near|nearby|by|by the side of|adjacent to|alongside|"
        "along|at|against|around|right by|in the vicinity of|in the neighborhood of|not far from|touching|"
        "in proximity to|surrounded by|leaning on|leaning against|together with"
    ),
    RelationKind.FAR: "far from|across the room from|far away from|away from|distant from|remote from|nowhere near",
    RelationKind.ON: (
        "on top of|on the top of|on the surface of|on|onto|upon|atop|resting on|sitting on|standing on|supported by|"
        "attached to|fixed to"
    ),
    RelationKind.UNDER: (
        "under|underneath|below|beneath|at the foot of|at the bottom of|on the underside of|covered in"
    ),
    RelationKind.ABOVE: "above|over|higher than|hanging over",
    RelationKind.INSIDE: (
        "inside|inside of|in|into|within|enclosed in|enclosed by|contained in|in the inside of|in the interior of"
    ),
    RelationKind.HOLDS: (
        "covered by|covered with|holding|supporting|carrying|containing|filled with|full of|loaded with|topped with|"
        "topped by|littered with|laden with"
    ),
    RelationKind.BETWEEN: "between|in between|in the middle of|amid",
    RelationKind.LEFT_OF: (
        "left of|to the left of|on the left of|on the left side of|on the left hand side of|at the left of|"
        "to the left side of|left from|on the left from|to the left from|at the left side of|at the left hand side of"
    ),
    RelationKind.RIGHT_OF: (
        "right of|to the right of|on the right of|on the right side of|on the right hand side of|at the right of|"
        "to the right side of|right from|on the right from|to the right from|at the right side of|"
        "at the right hand side of"
    ),
    RelationKind.IN_FRONT_OF: "in front of|in the front of|ahead of|before",
    RelationKind.BEHIND: "behind|in back of|at the back of|in the back of|on the other side of|beyond|in the rear of",
}
RELATIONS: dict[tuple[str, ...], RelationKind] = {
    tuple(words.split()): kind for kind, phrases in _WORD_RELATIONS.items() for words in phrases.split("|")
}
del RELATIONS[("covered", "in")]  # "covered in X" is HOLDS, like "covered with"
RELATIONS["covered", "in"] = RelationKind.HOLDS
# "In the middle of the room" has one place, not two things to be between.
LONGEST_RELATION = max(len(words) for words in RELATIONS)

# Participles and adverbs that carry no meaning of their own before a relation ("placed on", "directly under").
POSTURES = word_set(
    """
    placed located standing stands stand lying lies lie laying lays sitting sits sit hanging hangs hang hung
    mounted situated positioned resting rests rest leaning leans lean stacked stored kept put left found seen
    set parked arranged fixed attached installed stuck built resides residing remaining directly right just
    immediately exactly straight somewhere slightly somewhat almost nearly very quite really clearly currently
    also still completely partially partly mostly further closely seated laid perched hidden displayed shown
    spread are is was were being that which
    """
) - {"left", "right"}  # fmt: skip
ADVERBS = word_set(
    """
    directly just immediately exactly straight somewhere slightly somewhat almost nearly very quite really
    rather fairly pretty clearly currently also still completely partially partly mostly closely only actually
    even right roughly approximately prominently proportionally so too extremely particularly obviously both
    """
)

REQUEST_VERBS = word_set(
    """
    find segment locate pick select identify detect show highlight mark extract isolate retrieve gather collect
    get give fetch grab bring take lead guide go navigate drive move walk head point look search seek spot
    compare count sort rank group
    choose separate list tell outline mask return check see recognize recognise discover indicate name label
    display reveal determine hand pass deliver send approach reach fly travel drop cut crop delineate annotate
    localize localise report describe visit inspect examine observe watch use refill clean open close switch
    turn empty wipe wash remove catch steer track follow
    """
)
# Words that may also be things or descriptions; they count as verbs only at the start of a request.
REQUEST_FILLERS = word_set(
    """
    me us out up to for at all the please it them her him over there and then towards toward now kindly
    """
)
LEAD_INS = phrases(
    "please|kindly|hey|hi|hello|ok|okay|now|then|so|well|and|robot|dear robot|hey robot|lira|just|"
    "could you|can you|would you|will you|could we|can we|can i|may i|could i|"
    "would you mind|do you mind|would you be so kind as to|would you be so kind to|be so kind and|"
    "be so kind as to|are you able to|is it possible to|i want you to|i need you to|i would like you to|"
    "i would like to know|i want to know|i would like to see|i want to see|i would like to find|"
    "i want to find|i need to find|i am trying to find|i have to find|we need to find|help me to|help me|"
    "help us|let us|let me|go and|go ahead and|come and|try to|your task is to|your job is to|the task is to|"
    "i am looking for|i am searching for|we are looking for|we are searching for|i look for|i am after|"
    "do you see|do you know|can you see|do you have|have you seen|have you got|did you see|"
    "i am interested in|i would love|i am talking about|i mean|it would be nice to|you should|you must|"
    "you have to|you need to|i wonder|tell me|show me|thanks|thank you|"
    "there is|there are|is there|are there|there must be|there should be|was there|"
    "this is|these are|it is|this would be|it would be|these would be|this will be|it will be|they are|that is|"
    "those are|here is|here are|"
    "where is|where are|where was|where were|where did i leave|where did i put|where did we put|"
    "where can i find|where can we find|where could i find|where do i find|where do you see|"
    "where do we have|where do we keep|where do you keep|where would i find|where might i find|where has|"
    "what is|what are|what was|what about|which is|which are|how about|who is|how many|how much|"
    "what color is|what color are|what colour is|what colour are|what shape is|what shape are|"
    "what size is|what is the color of|what is the colour of|what is the size of|what is the shape of|"
    "how big is|how large is|how tall is|how long is|how wide is|how high is|how far is|how far away is|"
    "i see|we see|you see|you can see|we can see|we have|"
    "the target is|the object of interest is|the object is|the target object is|the item is|the goal is"
)
# Needs with a thing: what follows is a noun phrase.
WANT_LEAD_INS = phrases(
    "i need|i want|i would like|i would like to have|i want to have|i need to have|i could use|i require|"
    "we need|we want|we would like|we require|he needs|she needs|i would love to have|may i have|can i have|"
    "could i have|can i get|could i get|i should have|i would prefer|i prefer|i lost|i have lost|i forgot|"
    "i am missing|i miss|i left|i dropped|i misplaced"
)
# What a statement about a person or a situation starts with: a need, not a thing.
NEED_SUBJECTS = word_set(
    """
    i we he she they you my our his her their someone somebody everyone everybody people guests visitors nobody
    there's it's if when because since after before
    """
)
GENERIC_HEADS = word_set(
    """
    thing object item something anything everything one stuff entity instance element target piece somewhere
    anywhere someplace what candidate component part place spot option example all any each some those these
    both that
    """
)
DETERMINERS = word_set(
    """
    the a an any some this that these those my your our his her their its all every each whole entire single
    only same such certain particular available visible existing many several few various different multiple
    other another said of
    """
) - {"of", "other", "another", "several"}  # fmt: skip
TRANSPARENT_HEADS = word_set(
    """
    piece pieces set group pair kind kinds type types sort sorts bit bunch row stack pile cluster collection one
    ones each all some any part rest both half most number lot lots couple class category instance instances
    example examples member members selection range array series roll
    """
)
NUMBERS: dict[str, int] = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "both": 2, "dozen": 12,
}  # fmt: skip
ORDINALS: dict[str, int] = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "next": 2, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "6th": 6,
}  # fmt: skip
MATERIALS = word_set(
    """
    wooden wood metal metallic plastic glass leather fabric paper cardboard ceramic porcelain marble stone steel
    iron concrete rubber cotton woolen velvet wicker rattan bamboo old new modern soft hard comfortable comfy
    cushioned cushy padded folded folding open closed empty full clean dirty messy broken disposable antique
    vintage simple fancy patterned striped checkered transparent see-through shiny heavy industrial portable
    electric adjustable movable ergonomic healthy fresh hot cold warm dining drinking office
    """
)
# Anchors that are parts of a thing: "a surface on legs" relates it to nothing else in the room.
PART_WORDS = word_set(
    """
    leg legs wheel wheels rod rods handle handles drawer drawers armrest armrests arm arms backrest back cushion
    cushions lid button buttons glass letter letters word words stripe stripes pattern name number cover faucet
    tap drain compartment compartments mattress caster casters castor castors pole poles frame base side sides
    front top bottom edge edges surface end ends middle center centre corner roller rollers foot feet hinge
    hinges screw rim cord strap straps zipper pocket pockets label sticker logo
    """
)
ROOM_WORDS = word_set(
    """
    room house home flat apartment scene picture image view building space world environment here kitchen
    bathroom bedroom office hallway hall corridor garage living livingroom dining basement attic lab laboratory
    classroom lobby entrance area map general order front back
    """
)
ROOM_WORDS = (ROOM_WORDS - {"picture", "front", "back"}) | {"study", "lounge"}
# Rooms are no instances: the target inference tells them by what stands in them.
ROOM_NAMES: dict[str, str] = {
    "kitchen": "kitchen", "kitchenette": "kitchen", "bathroom": "bathroom", "restroom": "bathroom",
    "washroom": "bathroom", "bedroom": "bedroom", "study": "study", "office": "study", "corridor": "corridor",
    "hallway": "corridor", "hall": "corridor", "entrance": "corridor", "living room": "living room",
    "livingroom": "living room", "lounge": "living room", "sitting room": "living room",
}  # fmt: skip
FLOOR_WORDS = word_set("floor ground carpet")
PURPOSE_MARKERS = word_set(
    """
    used using use for to where designed intended meant suitable helpful useful made typically usually generally
    commonly often that which who such provide provides
    """
)
HYPERNYM_HEADS = word_set(
    """
    furniture appliance device machine fixture structure surface container cloth fabric tool seat unit barrier
    opening panel equipment vessel receptacle utensil instrument food drink
    beverage place thing object item something furnishing artwork image decoration workstation storage clothing
    garment accessory electronic electronics gadget vehicle toy
    """
)

MODALS = word_set("can could should must would will shall may might")
COPULAS = word_set("is are was were")
HAS = word_set("has have having had features featuring")
RELATIVE = word_set("that which who")
STOPS = word_set(
    """
    which who whose where when with without except excluding including but not and or nor is are was were has
    have having had should must would will shall may might to for of from used using so because if while than as
    belonging belongs belong classified labeled labelled named called titled made painted do does did need needs
    i you we they it he she featuring facing connected designed intended meant suitable be via unless until
    since seems looks appears that among amongst often typically usually generally commonly
    """
)
DEFINITE = word_set("the this that these those my your our his her their its")
FUNCTION_WORDS = (
    STOPS
    | MODALS
    | DEFINITE
    | DETERMINERS
    | REQUEST_VERBS
    | REQUEST_FILLERS
    | POSTURES
    | ADVERBS
    | NEED_SUBJECTS
    | GENERIC_HEADS
    | NUMBERS.keys()
    | {word for words in RELATIONS for word in words}
    | {word for words in LEAD_INS for word in words}
)
CLASS_WORDS = word_set("class category classes categories")
GROUP_WORDS = word_set("set group collection list")
NOT_COLOR_ALONE = word_set("orange rose olive lime cream gold silver salmon coral chestnut mustard copper tan")
CAN_NOUNS = word_set("trash garbage tin watering soda spray beer paint recycling rubbish waste cola coke food gas")
AMBIGUOUS_VERBS = word_set(
    """
    watch label name head light point switch check hand move use clean open empty close mark drop list turn walk
    drive fly travel report track lead guide show search display look see deliver send approach reach visit
    steer crop cut wash wipe outline mask return pass catch collect follow separate get
    """
)
VIEWER = word_set("me you us robot camera yourself myself here viewer observer")
EXTENT_WORDS = word_set("size distance height length width area volume extent footprint surface")
INDEFINITE_PRONOUNS = word_set("whatever something anything everything somewhere anywhere someplace nothing")
PLACED_ON_TOP = phrases(
    "on top of it|on top of them|on its top|on its surface|on the top|lying on it|on top|on it|"
    "on them|in it|inside it|inside of it|in them|over it|inside"
)
EXCLUSIONS = phrases(
    "but no|not including|other than|apart from|aside from|rather than|instead of|except for|"
    "with the exception of|except|excluding|nor|different from|besides|in addition to|leaving out|leave out|only not"
)
# Verbs that make a sentence about a thing a statement of what is going on ("the milk will go bad").
STATEMENT_VERBS = word_set(
    "will got gets goes went stopped broke smells stinks hurts cries wants needs keeps became stays"
)
PAST_STATES = word_set("gone become been got run gotten fallen broken grown")
USES = word_set(
    """
    used use provide provides designed intended typically usually generally commonly often meant for where
    """
)
VIEWPOINTS = word_set("if when as looking facing while from starting of after before")
NEED_QUESTIONS = phrases(
    "where can i|where could i|where should i|where do i|where to|where can we|where could we|"
    "where should we|where may i|where can someone|where would i|where would you|where can you|"
    "where can one|where should you|where does one|where might i|what can i|what could i|"
    "what should i|what do i|what can we|what can be|what would|what could be|what do you|what do we|"
    "what helps|what keeps|what lets|what will|how can i|how do i|how could i|how can we|what may i|"
    "what might|what should we"
)
# Things that stand on others: "the desk with a lamp" relates two things, "the chair with wheels" does not.
SMALL_THINGS = word_set(
    """
    teapot dish sponge ball cushion picture kettle cutlery telephone candle
    lamp laptop computer monitor screen television tv book mug cup glass bottle vase plant flower bowl plate
    basket fruit apple banana phone keyboard mouse printer box bag backpack pillow blanket towel clock radio
    speaker candle kettle toaster microwave newspaper magazine paper crate toy remote hat jacket coat cat dog
    bread cake food pot pan jar can notebook pen object thing item teddy bear umbrella hammer tool suitcase
    """
)
SUPPORTS = word_set(
    """
    table desk counter countertop shelf bookshelf bookcase cabinet dresser nightstand sofa couch bed chair
    armchair bench stool stand cupboard sideboard tray rack crate basket box refrigerator fridge fireplace
    island mantel windowsill furniture surface floor washing-machine machine piano armrest ottoman
    """
)

_IRREGULAR_PLURALS: dict[str, str] = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "shelves": "shelf", "bookshelves": "bookshelf", "knives": "knife", "loaves": "loaf",
    "leaves": "leaf", "scarves": "scarf", "halves": "half", "wolves": "wolf", "lives": "life", "potatoes": "potato",
    "tomatoes": "tomato", "heroes": "hero", "couches": "couch", "shoes": "shoe", "canoes": "canoe",
    "furnitures": "furniture", "vases": "vase", "cases": "case", "suitcases": "suitcase", "bookcases": "bookcase",
    "briefcases": "briefcase", "pillowcases": "pillowcase", "bases": "base", "houses": "house", "horses": "horse",
    "noses": "nose", "roses": "rose", "hoses": "hose", "purses": "purse", "nurses": "nurse", "cheeses": "cheese",
    "cookies": "cookie", "hoodies": "hoodie", "pies": "pie", "ties": "tie", "selfies": "selfie", "movies": "movie",
    "sofas": "sofa", "buses": "bus", "ones": "one", "axes": "axe", "dice": "die", "geese": "goose",
    "showcases": "showcase", "staircases": "staircase", "mattresses": "mattress", "vacuums": "vacuum",
}  # fmt: skip
_UNCHANGED = word_set(
    """
    scissors glasses sunglasses trousers pants jeans shorts tongs pliers stairs clothes headphones earphones
    series news bus gas lens plus this is was his its us yes less various cactus bias canvas atlas chess mess
    dress press glass grass class brass compass bass boss loss cross moss gauss address mattress process
    princess business fitness tennis basis axis oasis analysis iris virus campus status focus octopus walrus
    asparagus hummus circus bonus genius always perhaps across blinds groceries leftovers binoculars goggles
    tweezers furniture has does goes iss christmas couscous swiss topless wireless
    """
)


def singular(word: str) -> str:
    """Return the singular of an English noun; words that are not plurals come back unchanged."""
    if word in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[word]
    if word in _UNCHANGED or len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zes")):
        return word[:-2]
    return word[:-1]


def is_plural(word: str) -> bool:
    """Return whether a noun is a plural."""
    return singular(word) != word or (word in _UNCHANGED and word in {"clothes", "scissors", "glasses", "stairs"})


# Common English words, so that a sentence in another language is noticed. Short words that other languages share
# ("in", "an", "was", "die") are weighed against FOREIGN_WORDS.
ENGLISH_WORDS = word_set(
    """
    a able about above across action activity actually add adult after afternoon again against ago ahead air
    alarm all allergic allow almost alone along already also always am among amount an and angle animal another
    answer any any-thing anybody anymore anyone anything anywhere apart apartment appear apple appliance
    appliances are area arm armchair armrest around arrange art article artwork as ask asleep at attach attached
    away baby back backpack backrest bad bag bake baking ball banana bar barrel barrier basin basket basketball
    bath bathe bathing bathroom bathtub battery be bean bear because bed bedroom bedside been beer before
    beginning behind being bell belong belonging belongings belongs below belt bench beneath beside besides best
    better between bicycle big bigger biggest bike billiard bin binder bins bird biscuit biscuits black blanket
    bleach bleeding blender blind blinding blinds block blocks blow blue board boil boiling bone book bookcase
    bookcases books bookshelf boot boots bored both bottle bottles bottom bowl bowls box boxes boy bracelet
    bread break breakfast breathe bright brightest bring broom brother brought brown brush bucket build building
    bulb burger burn bus business busy but butter button buy by cabinet cabinets cable cake calculator calendar
    call called calm camera can can't candle candles candy cannot cap car card cardboard cards care carpet
    carrot carry cart carton case cat catch category ceiling center centre cereal certain chainsaw chair chairs
    chalk chance change charge charger charging cheap check cheese chicken child children chill chilled chilly
    chocolate choose circle circles circular class classified clean cleaning clear clearly clipboard clock close
    closed closer closest closet cloth clothes clothing coaster coat coats coffee coffee-table colander cold
    collect color colored colors colour colours comb come comfortable comfy common compare completely computer
    conditioner conference container containers contains cook cookie cookies cooking cool cooler cools copier
    copper corkscrew corner correct couch could counter counters countertop couple course cover covered covers
    crate crayon crayons cream cucumber cup cupboard cupboards cups curtain curtains cushion cushions cut
    cutting cylinder dark darkest darkness dartboard daughter day daylight decorate decoration deep dehydrated
    desk desks detect detergent device different dig dim dine dining dinner dirty discard dish dishes dishwasher
    dishwashers disinfect display disposable dispose distance distant do doctor does dog doing done door doors
    doorway down drain draw drawer drawers drawn dress dresser dressing dried drill drink drinking drinks drive
    drop dry dryer dumbbell dumbbells dust duster dustpan dusty each ear early earphones earring easel easier
    easily east easy eat eating edge egg eight either electric electronic elevator eleven else email empty end
    engine enjoy enough enter entire entities entity entrance envelope equipment eraser evening ever every
    everybody everyone everything everywhere exactly except excluding exercise exhausted exit extinguisher
    extract eye eyes fabric face facing fact fall family fan far farther farthest father faucet feed feel feet
    fell few fifth file fill find fine finger finish fire fireplace first fish fit five fix fixture flask flat
    floor floors flower flowers folded folder food foosball foot football footrest footstool for forget fork
    form found four fourth fragile frame free freezer freezing fresh fridge friend friends from front frozen
    fruit fruits fry full fun functional furniture further furthest game games garage garbage garden garlic
    gather gear get getting gift girl give glass glasses gloomy gloves go goes going gold gone good got grab
    grape grapes grater gray great green grey ground group guest guests guide guitar had hair hairbrush
    hairdryer half hall ham hammer hand handle hands handy hang hanging happy hard hat hats have having he head
    headache headphones headrest headset healthy hear heat heater heating heats heaviest heavy height held hello
    helmet help helpful her here high higher highest highlight highlighter him his hit hold holder holding holds
    hole home honey hook horizontal horse hose hot hour house household how human hungover hungry hurt hydrated
    hygiene i i'm ice idea identified identify if ill image important in including indoor information inside
    instance instances instead instrument interest internet into iron is island isolate it itchy item items its
    jacket jackets jam jar job join jug juice jump just keep keeps kept kettle key keyboard keyboards keys kid
    kids kill kind kitchen knife knives know labeled ladder ladle lamp lamps laptop large larger largest last
    late later laundry lawnmower lay lead leaf lean leaning leather leave leaves left leftmost leftovers leg
    legs lemon let letter letters lettuce level library lid lie lies lift light lightest lighting lights like
    likes lime line list listen little live living locate located long longer longest look looking looks loose
    lot lots loud low lower lowest luggage lunch lying machine made magazine magazines main make makes man mango
    many map mark marker markers mask mat match mattress may me meal meals mean means measure meat medicine meet
    meeting melon mess message messy met metal microphone microwave middle might milk mind mine mirror miss
    mobile modem modern moment money monitor monitors month mop more morning most mother mouse mouth move movie
    much muddy mug mugs multiple music must my nail nails name nap napkin near nearby nearest necklace need
    needed needs neither never new newspaper next nice night nightstand nine no nobody noise noisy none noodles
    north nose not note notebook notes nothing now number nut object objects of off office often oil ok okay old
    on once one ones onion only onto open opened opener opening opposite or orange order organise organize other
    others ottoman our out outlet outside oval oven over own pack package paint painting pair pan paper papers
    parcel park part parts party pass pasta paste path peach pear peeler pen pencil pencils pens people pepper
    perfume perhaps person personal phone photo photos piano pick picked picture pictures piece pieces pile
    pillow pillows pineapple ping-pong pink pipe pitcher pizza place placed placemat places plain plant plants
    plastic plate plates play player players playing please pliers plug plugged point pool poster posters pot
    potato pots potted pour power prepare present press printer privacy private product program projector
    protect provide provides pull purple purpose purse push put putting question quick quickly quiet quilt rack
    radiator radio rail rain raise rake range raw razor reach read reading ready real really rear receive
    recline record rectangle rectangles rectangular recyclable recycling red refrigerator relax remaining
    remember remote remotest remove repair rest resting retrieve return rice right rightmost ring road robot rod
    rods roll roller roof room rooms rope rotate round router row rubbish rug ruler run running sad safe said
    salad salmon salt same sandwich sat saucepan saucer sausage save saw say scanner scarf scene school scissors
    screen screens screw screwdriver sculpture search seat seated seats second see seek seem seen segment select
    sell send sentence separate serve set seven several shade shampoo shape shaped share sharp she sheet shelf
    shell shelves shine shiny shirt shoe shoes shop short shorter shortest should shoulder shovel show shower
    shredder shut sick side sideboard sign silver similar simple since sing single sink sister sit sits sitting
    six sizable size skateboard skillet skin skirt sky sleep sleeping sleepy slept slice slide slightly slim
    small smaller smallest smell smoke snack snacks sneeze so soap soccer sock socks sofa sofas soft some
    somebody someone something somewhere son song soon sort sound soup south space spacious spatula speak
    speaker speakers spill spilled spilt split sponge spoon sport spot square squares stack stacked staff stain
    stained stair stairs stamp stand standing stands stapler star start starving station stay steak steel step
    stick sticky still stomach stone stool stools stop storage store stored stores storing story stove straight
    strange strawberry street string strong structure student study studying stuff stuffy such sugar suit
    suitable suitcase sun sunlight supper supplies support supported supporting sure surface surrounded sweaty
    sweep sweet swim switch table tablecloth tables tablet tail take taken taking talk tall taller tallest tap
    tape task taste tea teapot tear teddy telephone television tell ten tennis text than thank thanks that the
    their them then there thermos these they thick thin thing things think third thirsty this those three
    through throw throwing thrown tidy tie tiniest tiny tired tissue tissues to toast toaster today together
    toilet told tomorrow tonight too took tool toolbox tools tooth toothbrush toothpaste top topmost touch
    toward towards towel towels tower toy toys train trampoline transparent trash travel tray treadmill tree
    trip trousers truck true try tub tuna turn tv twelve two type umbrella uncle under underneath unit unplugged
    until up upon upper upright upstairs us use used useful uses using usually vacuum various vase vegetable
    vegetables vertical very vessel video view visible visit visitor visitors voice wait wake walk wall wallet
    walls want wanted wants wardrobe warm was wash washed washing waste watch water watering wear weather webcam
    week weigh weight well went were west wet what whatever wheel wheeled wheels when where wherever which
    whichever while whisk white whiteboard who whole whom whose why wide wider widest wife will wind window
    windows wine winter wipe wire wireless with within without woman wonder wood wooden word words work working
    workout world worn would wrap wrench write writing written wrong yard year yellow yes yesterday yet yoga
    yogurt you young your yours
    """
)
FOREIGN_WORDS = word_set(
    """
    der die das den dem des ein eine einen einem einer und oder nicht ist sind mit auf für fur fuer von zu zum
    zur im wo welche welcher welches ich du wir ihr sie mir mich bitte finde suche zeige alle kein keine neben
    unter über uber ueber zwischen vor hinter stuhl tisch stühle rote roten grosse große grosste groesste größte
    le la les un une de et ou où est sont avec sur dans pour pas ne je tu il elle nous vous trouve trouvez
    cherche montre moi quel quelle plus grand grande petite petit rouge chaise à côté cote près pres au aux qui
    que el los las una unos unas y o no es son está esta están con en por para del al mi su busca encuentra
    muestra donde dónde cuál cual más mas silla mesa roja rojo sobre debajo junto quiero tengo hambre lo gli i
    uno e è sono nel nella sul sulla di da che dove trova cerca mostra più sedia tavolo rossa vicino sotto sopra
    os as um uma em na nos nas com encontre procure cadeira vermelha onde het een van aan op met voor niet zijn
    waar zoek vind stoel tafel rode grootste naast ik ben ett och på pa är ar som inte med hitta stol bord röd
    jag og er ikke finn rød stolen jest nie do się w z znajdź znajdz krzesło gdzie czerwone czerwony proszę ve
    bir bu bul nerede kırmızı kirmizi sandalye masa lütfen ja ei on missä etsi tuoli punainen kde najdi židle
    zidle stůl stul červená cervena prosím saya tolong cari kursi meja merah yang dan
    """
)
