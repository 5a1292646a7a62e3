"""Sentences that name nothing to look for and still ask: "the dog wants to run after it", "in what do I boil rice?"."""

from __future__ import annotations

from itertools import pairwise

from lira_ros.reasoning.constraint import Constraint
from lira_ros.reasoning.knowledge import find_class, kinds, vocabulary
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.grammar import Draft
from lira_ros.reasoning.language.lexicon import phrases, word_set

# Everyday verbs by their base form: what somebody does, or what happens to a thing.
_VERBS = word_set(
    """
    absorb accept add admire allow announce appear arrive ask attend attract bake bark bathe become begin
    believe belong bend bite bleed blink blow boil borrow bother bounce break breathe brew bring brush build
    burn burst buy buzz call care carry catch celebrate change chase cheer chew choose clap clean climb close
    collapse collect come complain contain cook cool cost cough count crack crawl creak create cry cut dance
    decorate deliver demand die dig disappear disturb drag dream dress drift drip drop dry earn eat emit empty
    enjoy enter escape exercise expect explain explode fade fall fear feed feel fetch fight fill finish fit fix
    flash flicker float flow fly foam fold follow forget freeze gather get give glow go grind grow growl guard
    hammer happen harm hate hear heat help hide hire hit hold hop hope hug hurt iron itch jam join jump keep
    kick kill kiss knead kneel knit knock know laugh lead leak lean learn leave lend let lick lie lift like
    listen live lock look lose love make marry measure meet melt mend miss move need notice obey offer open owe
    pack paint pass pay peel perform pile play pour practise pray prefer prepare press prevent produce promise
    protect provide pull purr push put queue quit raise reach read receive reflect refuse relax release remain
    remember remind remove repair repeat require rescue rest return ride ring rinse rise roast roll rot run rust
    say scare scream scrub search see seem sell send separate serve sew shake share shave shine shiver show
    shrink shut sing sink sleep slide slip smell smile smoke sneeze snore soak sort speak spend spill spin split
    spoil sponge spread squeak squeeze stare start stay steal stick sting stink stir stop store stretch study
    suffer suit support survive sweat sweep swell swim swing take talk taste teach tear tell tend thank think
    throw tidy tie travel treat tremble trickle trip trust try turn twist use vacuum visit wait wake walk want
    warm warn wash waste watch wear weep weigh whisper whistle wilt win wipe wish wonder work worry wrap write
    yawn yell hum tick grieve rain snow gurgle
    """
)
# What a thing looks like or where it is, and nothing that happens.
_DESCRIBING = lexicon.POSTURES | word_set(
    """
    hold holds contain contains carry carries support supports cover covers face faces belong belongs match matches look
    looks have has seem seems appear appears touch touches surround surrounds
    """
)
# Irregular participles of what is done with things.
_PARTICIPLES = word_set(
    "worn eaten drunk read thrown shaken driven ridden sung written cut broken torn bitten beaten blown drawn fed sewn "
    "shut swept bought sold lent given taken woken rung"
)
_PASTS = word_set(
    "went came ran fell grew woke ate drank forgot began broke wrote threw sang flew drove rode gave took spoke shook "
    "froze stole wore tore swam sank rang lost felt slept wept needed wanted started stopped happened spilled"
)
# What was done to a thing says nothing of its use.
_CHANGES = word_set("moved removed changed added lost dropped separated")
# How a thing is placed, without the small words among the postures.
_PLACED = lexicon.POSTURES - lexicon.COPULAS - lexicon.ADVERBS - word_set("that which being")
_RELATIVES = lexicon.RELATIVE | word_set("whose where , with without")
_PRONOUN_SUBJECTS = word_set("it they")
_ASKING = lexicon.MODALS | lexicon.COPULAS | word_set("which what whose where who how do does did")
_PERSONS = word_set("i we you one someone somebody people he she")
# Where a question for a use may begin.
_QUESTION_PREPOSITIONS = word_set("in on from with into onto at under by for out through behind against over to of")
_AUXILIARIES = lexicon.MODALS | word_set("do does did has have")
# "What can I see", "what do you find": the answer is a thing in view.
_LOOKING = word_set("see find spot notice have need want mean call say think recommend suggest know keep")
_QUESTION_WORDS = phrases("what|which thing|which object|which item|what thing|what kind of thing")


def states_situation(tokens: list[str]) -> bool:
    """Tell whether an unrequested clause says what happens, and not what something is or where it is."""
    if tokens[0] in _PRONOUN_SUBJECTS:
        return len(tokens) > 1
    if tokens[0] in _ASKING | _QUESTION_PREPOSITIONS:
        return False
    if tokens[0] in {"after", "before", "while", "when"} and tokens[1:2] and tokens[1].endswith("ing"):
        return True
    if _speaks_of_it(tokens):
        return True
    verb = _main_verb(tokens)
    if verb is None:
        return False
    if tokens[verb] not in _AUXILIARIES:
        return tokens[verb] not in _DESCRIBING
    rest = [token for token in tokens[verb + 1 :] if token not in lexicon.ADVERBS | {"not", "to"}]
    if tokens[verb] in {"has", "have"} and tokens[verb + 1 : verb + 2] != ["to"]:
        return False
    if not rest or rest[0] not in {"be", "stand", "lie", "sit", "hang"}:
        return bool(rest)
    predicate = [token for token in rest[1:] if token not in lexicon.POSTURES | lexicon.DETERMINERS]
    described = lexicon.COLORS.keys() | lexicon.SHAPES.keys() | lexicon.SUPERLATIVES.keys()
    longest = min(lexicon.LONGEST_RELATION, len(predicate) - 1)  # "lie around" places nothing
    placed = any(tuple(predicate[:length]) in lexicon.RELATIONS for length in range(1, longest + 1))
    asked = bool(predicate) and predicate[0].removesuffix("ed").removesuffix("n") in lexicon.REQUEST_VERBS
    return bool(predicate) and not (predicate[0] in described or placed or asked)


def _speaks_of_it(tokens: list[str]) -> bool:
    """Tell whether something is said to be done with "it", which nothing was called before: "wine is kept in it"."""
    copula = next((index for index, token in enumerate(tokens) if token in lexicon.COPULAS | _RELATIVES), None)
    if copula is None or tokens[copula] in _RELATIVES:
        return False
    near = tokens[copula + 1 : copula + 4]
    return any(a in _QUESTION_PREPOSITIONS and b == "it" for a, b in pairwise(near))


def _main_verb(tokens: list[str]) -> int | None:
    """Return where the finite verb of a sentence stands, None for a noun phrase."""
    for index in range(1, len(tokens)):
        word, before = tokens[index], tokens[index - 1]
        if word in _RELATIVES or word in lexicon.COPULAS:
            return None
        if before in lexicon.DETERMINERS or before in lexicon.COLORS or before in lexicon.SHAPES or before == "to":
            continue
        following = tokens[index + 1 : index + 2]
        if word == "can" and (before in lexicon.CAN_NOUNS or not following or following[0] not in _VERBS | {"be"}):
            continue
        if word in _AUXILIARIES or word in _PASTS:
            return index
        if word in vocabulary() or lexicon.singular(word) in vocabulary():
            continue
        if word in _VERBS and (lexicon.is_plural(before) or before in _PERSONS):
            return index
        base = _base(word)
        if base in _VERBS and base != word and not lexicon.is_plural(before):
            return index
    return None


def _base(word: str) -> str:
    """Return the base form of a verb in the third person: "washes" -> "wash"."""
    for ending, base in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("oes", "o")):
        if word.endswith(ending):
            return word[: -len(ending)] + base
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _is_participle(word: str) -> bool:
    """Tell whether a word says what is done with a thing: "opened", "worn"."""
    stem = word.removesuffix("ed")
    regular = word.endswith("ed") and bool({stem, stem + "e", stem[:-1]} & _VERBS)
    return (regular and word not in _CHANGES) or word in _PARTICIPLES


def asks_for_use(tokens: list[str]) -> bool:
    """Tell whether a question asks for something by what is done with it: "in what do I boil rice?"."""
    start = 1 if tokens[0] in _QUESTION_PREPOSITIONS else 0
    word = next((words for words in _QUESTION_WORDS if tuple(tokens[start : start + len(words)]) == words), None)
    if word is None:
        return False
    rest = [token for token in tokens[start + len(word) :] if token not in lexicon.ADVERBS]
    if len(rest) < 2:
        return False
    if rest[0] in _AUXILIARIES:
        verb = next((index for index, token in enumerate(rest[1:], 1) if token in _VERBS), None)
        if verb is None or rest[verb] in _LOOKING or _PLACED & set(rest):
            return False
        return rest[0] in lexicon.MODALS or bool(_PERSONS & set(rest[1:verb])) or rest[verb] not in _DESCRIBING
    if rest[0] in lexicon.COPULAS:
        return start == 0 and _is_participle(rest[1]) and not _PLACED & set(rest)
    return start == 0 and (rest[0] in _VERBS or _base(rest[0]) in _VERBS) and rest[0] not in _DESCRIBING


def is_riddle(draft: Draft) -> bool:
    """Tell whether a noun phrase describes a thing that it does not name ("two hands, but no fingers").

    Its head is the name of nothing known, it is no definite thing, and what follows the head was not understood. Or it
    has no head and is told by a use near what no map holds ("something to put under my elbow").
    """
    unknown = [anchor for relation in draft.relations for anchor in relation.anchors if not is_known(anchor)]
    if not draft.head:
        return draft.purpose and bool(unknown)
    if draft.definite or is_known(draft.constraint()):
        return False
    return bool(unknown or draft.alternatives or draft.excluded)


def is_known(constraint: Constraint) -> bool:
    """Tell whether what a constraint names is a class, a kind of things, a room or part of one."""
    phrase = constraint.phrase
    words = phrase.text.split()
    if phrase.implicit or not phrase.head:
        return not words
    if phrase.head in kinds() | lexicon.HYPERNYM_HEADS | lexicon.GENERIC_HEADS | lexicon.ROOM_WORDS | lexicon.VIEWER:
        return True
    return find_class(phrase.head) is not None or any(find_class(" ".join(words[i:])) for i in range(len(words)))
