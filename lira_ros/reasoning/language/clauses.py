"""What a text says besides naming things: asides that say nothing, clauses that only restrict, requests in a row."""

from __future__ import annotations

import re
from functools import cache

from lira_ros.reasoning.constraint import Rank, RankKind
from lira_ros.reasoning.knowledge import vocabulary
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.grammar import Cursor, Draft
from lira_ros.reasoning.language.lead_ins import looks_like_object
from lira_ros.reasoning.language.lexicon import phrases, word_set

# A clause that restricts what was named before is short; longer ones tell something of their own.
LONGEST_RESTRICTION = 16
# Unknown words that a restriction may hold ("reckon", "absolutely").
MAX_STRANGE_WORDS = 2

# Words about choosing, remembering and comparing: they say nothing about the thing itself.
_CHOOSING = word_set(
    """
    one ones thing things object objects item items kind kinds sort sorts choice option candidate candidates version
    color colors colored size sizes sized big small volume distance
    i we you me my mine it its they them he she
    remember recall believe think know guess suppose suspect mean want like prefer need care choose pick decide select
    take go give show mark compare judge sort rank ask asking look search restrict limit count counts matters matter
    make let sure certain must should would could may might be is are was were has have do does did will
    only just nothing anything everything whatever all any some other another else more than there here if several
    possible what that which who please too also really mainly most surely now then so as by in of for from among to the
    a an and or but not no never without best right fine ok interested interest yourself itself
    """
)
_NEGATING = word_set("not no never without except excluding skip ignore avoid exclude omit neither nothing none unless")
_NEGATING_PHRASES = phrases("leave out|left out|leave aside|leave away|set aside|other than|different from|apart from")
# What adds nothing to a positive statement, although it is a negation.
_EMPHASIS = phrases(
    "nothing else|no other color|no other colors|in no other color|no other one|no other ones|no other|no others|"
    "nothing more|no more|no less|not more|not less|none else|not any other|not just one|not only one"
)
# Shape words with other meanings ("at that level", "a short question").
_WEAK_SHAPES = word_set("great level high low short")
# Relations that a restriction does not have: "next to the red one" says where, not which.
_PLACING = frozenset(words for words in lexicon.RELATIONS if words not in {("in",), ("by",), ("at",), ("before",)})
_ASIDE_OPENERS = word_set("if otherwise else unless provided assuming supposing")
_ASIDE_WORDS = word_set(
    """
    if otherwise else unless provided so not possible there is are was one any some it they them that this can could
    you find see know do does did have has what case none nothing mark show point all of then i want to everything
    and or me out us else whole
    """
)
_QUANTITY_WORDS = word_set(
    """
    each every all one ones by of them these those every single however many few much there are is be may none left
    out not missing any forgotten altogether total in whole lot both neither fewer more less nor than no and or just
    only ones them their full complete at too also as well please thanks thank you kindly here around somewhere
    anywhere exactly this home house flat apartment place
    """
)
_SIZE_ASIDE = word_set(
    "by in of on size volume going judging judged alone only matters what counts is as for to the their"
)
_HOME = word_set("home house flat apartment place scene environment surroundings rooms")
_ROOMS = "|".join(sorted(lexicon.ROOM_NAMES))
_STATES = (
    "on|off|open|opened|closed|shut|locked|unlocked|full|empty|occupied|free|taken|available|clean|dirty|made|unmade|"
    "used|broken|working|running|lit|plugged in|unplugged|folded|tidy|messy|wet|dry|raised|lowered|set|missing"
)
_STORED = "kept|stored|located|placed|hidden|put|hung|standing|lying|hanging|positioned|situated|parked|left"
_LOOKED = "see|seen|saw|notice|noticed|spot|spotted|find|found|come across|came across|remember"
_PLACED = r"(?=(on|in|under|inside|at|near|next|beside|between|behind|above|below) )"
_ORDINALS = "|".join(lexicon.ORDINALS)
_GROUPS = "stack|pile|row|group|set|cluster|line|pair|collection|heap|column|bunch"
# Wordings and plainer ones of the same meaning.
_SAME_MEANING = (
    (
        r" (at first|(at|in|from) the (beginning|start)|all the time|so far|by now|even now|at the moment|"
        r"meanwhile)(?= )",
        "",
    ),
    (r" (still|now|nowadays|yet)(?= )", ""),
    (
        r" (has|have|had) (always |just |only |simply )?(stayed|remained|been (left|lying|standing|sitting|kept)) "
        rf"{_PLACED}",
        " is ",
    ),
    (
        rf"^ (the|my|our) ({_ROOMS}) (has|holds|contains|have) (more than one|several|some|many|a few|plenty of) "
        r"(.+) $",
        r" find \5 in the \2 ",
    ),
    (rf" (would|will|should|might|could|can|may) (i|we|you|one) (see|find|spot|notice|meet) {_PLACED}", " are "),
    (r" (that |which )?(you|i|we) (can |could |may |might )?(find|see|spot|notice|come across)(?= $)", ""),
    (r" (share|shares|have|has) the color (\w+)(?= )", r" are \2"),
    (
        r" (look at|compare|see|check|consider|judge|mind|regard) how (big|large|small|tall|high|long|wide|thick|"
        r"sizable) (the|my|our|these) (.+?) (is|are)(?= )",
        r" look at the \4",
    ),
    (r"^ should there be ", " if there are "),
    (r"^ (do|does) (i|we|you|they|somebody|anybody) (still )?have (?=(a|an|any|some) )", " find "),
    # Questions for a state, a place or a name: the thing itself is looked for.
    (
        r"^ (is|are|was|were) (?=(the|my|our) )(.+?)(?<! the)(?<! a)(?<! my)(?<! on)(?<! in)(?<! of)"
        r" (turned |switched )?\w+ or \w+ $",
        r" find \3 ",
    ),
    (rf"^ (is|are|was|were) (?=(the|my|our) )(.+?) (turned |switched )?({_STATES}) $", r" find \3 "),
    (
        r"^ where (did|has|have) (?=(the|my|our) )(.+?) (end up|ended up|go|gone|gone to|get to|got to|land|landed|"
        r"disappear|disappeared|vanish|vanished)(?= )",
        r" find \3",
    ),
    (
        r"^ (has|have|is|are) (?=(the|my|our) )(.+?) (gone|disappeared|vanished|been moved|been taken away|"
        r"been removed)(?= )",
        r" find \3",
    ),
    (rf"^ where (is|are|was|were) (?=(the|my|our) )(.+?) ({_STORED}) $", r" find \3 "),
    (r"^ (what|which) color (is|are) (most of |all of |both of )?", " find "),
    (r"^ what (is|are) (the )?(color|size|shape|material|height|name) of (?=(the|my|our|this|that|these) )", " find "),
    (r"^ (what|which) (objects?|things?|items?) (is|are) (?!the )", " what is "),
    (
        rf"^ (does|do) (this|the|my|our|your) ({_ROOMS}|home|house|flat|apartment|place|room) have (?=an? |any )",
        " find ",
    ),
    (r"^ how (i|we|one) (can|could|should) ", r" how \2 \1 "),
    (r" (tell me |show me )?where (i|we|one|you) (can|could|may|might|will) (find|see|locate|spot) ", " find "),
    (
        r"^ (from|of|among|out of) (?=(the|these|those) )([^,]+?s) (choose|pick|select|take|show|find) ",
        r" among \3 , \4 ",
    ),
    (rf"^ what (is|are) ({_STORED}) {_PLACED}", " what is "),
    (
        r"^ which (?!thing|object|item|one|of )(\w+) (should|can|could|do|may|would|must) (i|we|one|you) "
        r"(?!find|see|spot|have)",
        r" the \1 to ",
    ),
    (rf" (the )?({_ORDINALS}) ((?:\w+ ){{0,2}})(from|at) the (very )?top(?= )", r" the \2 highest \3"),
    (rf" (the )?({_ORDINALS}) ((?:\w+ ){{0,2}})(from|at) the (very )?bottom(?= )", r" the \2 lowest \3"),
    (rf" (is|are|was) (the )?({_ORDINALS}) from the left(?= )", r" \1 the \3 leftmost one "),
    (rf" (is|are|was) (the )?({_ORDINALS}) from the right(?= )", r" \1 the \3 rightmost one "),
    (rf"^ (in|within|from|out of|of|among) (the|this|that|a) ({_GROUPS}) of ", " among the "),
    (r" such (?=ones? )", " "),
    (r" (\w+(er|est)) of the (two|three|four|five) (?!of )", r" \1 "),
    (r"^ (.+) (do|does|should|will|would) not count(?= )", r" except \1"),
    (r"^ (i|we) (am|are|do|did) not (count|counting|include|including|consider|considering|mean) ", " except "),
    (r" (has|have|having|with) on (top of it|top|it) (.+?)(?= ,| and | $)", r" with \3 on it"),
    (
        r"^ ((a|an|the|some) .+?) (is|are|can be found|can be seen|lies|stands|sits|was placed|rests) "
        r"(on|on top of) this (.+) $",
        r" this \5 with \1 on it ",
    ),
    (
        r" (the |a )?(place|spot|position|location) (where|of) (?=(the|my|our) )(.+?)( is| are| stands| lies)?(?= $)",
        r" \5",
    ),
    (
        r"^ (i|we) (need|want|would like|have) to (know|see|learn) (where|which|what) (.+?) (is|are)( at| now)?(?= $)",
        r" find \5",
    ),
    (r" at (its|their) (latest|current|present|new|last) (place|position|spot|location)(?= )", ""),
    (r" and (is|are|has|have) (not )?(left|on|in|there|here)( it| them)?(?= $)", ""),
    (r"^ not only (.+?) , (but )?(also )?(.+?)( too| as well)?(?= $| ,)", r" \1 and \4"),
    (r"^ (apart from|aside from|besides|except for|except|other than) ([^,]+) , (.+) $", r" \3 except \2 "),
    (r" what else ", " what "),
    (r" , not (the|my) [^,]+ itself(?= )", ""),
    (
        r"^ ((the|my|a|an) [^,]+) (is|are) (on top of|on|in|inside) (something|anything)( else)?(?= $)",
        r" what is \1 on ",
    ),
    (r"^ ((the|my|a|an) [^,]+) (is|are) what (i|we) (need|want|mean|like|asked for)(?= )", r" find \1"),
    (
        r"^ (do|would|could|can) you (happen to )?(know|remember|recall|say|tell me) (where|which|what) "
        r"(.+?) (is|are) $",
        r" find \5 ",
    ),
    (r"^ what would you (say|call|consider|think) (is|are) ", " find "),
    (r"^ (i am |we are )?(only |just |mainly |really )*interested in ", " find "),
    (
        r"^ (i|we) (would like|would love|want|wish|need|have) to "
        r"(see|look at|have a look at|find|locate|clean|visit) ",
        " find ",
    ),
    (
        r"^ (i|we|someone|somebody) (have )?(put|placed|left|lost|saw) (?=(the|a|an|my) .*(between|on|in|under) )",
        " find ",
    ),
    (r" (i|we) (want|need|would like) to take (.+) out of (?=(the|my) )", r" find \3 in "),
    (r" search the (space|room|area|gap) (.+) for (?=(a|an|the) )", r" \2 find "),
    (r"^ (before|after|when|while) (i|we|you) \w+ (?=(the|my) )", " look at "),
    (r"^ (first|firstly) (find|locate|take|look at|look for|go to) ", " look at "),
    (rf" (walk|go|look|have a look|move) (around|through|about)( in)? (?=(the|my) ({_ROOMS}) )", " look at "),
    (r"(?<= )(start|begin|stand)( over| back)? (at|from|with|by) (?=(the|a|an|my) )", "look at "),
    (
        r"(?<! do)(?<! did)(?<! can)(?<! could)(?<! would) you (will |can |would |may |might |could )?"
        r"(find|see|notice) (?=(a|an|the|some) )",
        " there is ",
    ),
    (r" (will do|is fine|are fine|is ok) (as long as|provided that|provided|if) (it|they) (is|are) ", " that is "),
    (r" with (\w+) as (its|their|the) color(?= )", r" in \1"),
    (r" , (\w+) in color(?= )", r" that is \1"),
    (r" by (their )?(size|volume)(?= (and|,))", ""),
    (r"^ (choose|select|pick|decide|judge|go) by (the |its |their )?(color|size|volume) $", " "),
    (r" of (them all|all of them|all)(?= $)", ""),
    (r"^ (.* )?(if|whether) (?=(the|a|an|my) )(.*) (is|are) (around|here|there)(?= )", r" find \4"),
    (r"(?<! if there is)(?<! if there are) more than one ", " "),
    (
        rf" (all|everything|whatever|anything)( that| which)? (is|are|rests?|lies?|stands?|sits?|stayed) {_PLACED}",
        " everything ",
    ),
    (r"^ .*?(whatever|everything|anything)( that| which)? (is|are) (called |named |either )*(?=(a|an) )", " find "),
    (r" (whatever|everything|anything)( that| which)? (is|are) (called |named |either )*(?=(a|an) )", " "),
    (r" (whatever|everything|anything)( that| which)? (is|are) (called|named) ", " find "),
    (
        r" (takes up|take up|takes|fills|occupies|needs) the (second |third )?(most|the most) (space|room|volume)(?= )",
        r" is the \2largest",
    ),
    (
        r" (takes up|take up|takes|fills|occupies|needs) the (second |third )?least (space|room|volume)(?= )",
        r" is the \2smallest",
    ),
    (r" (but )?none of (those|these|the ones|them) " + _PLACED, " not "),
    (r" (that|which) you (do|can|will|could|would) not (find|see) " + _PLACED, " not "),
    (r" (but )?(only not|not however) (?=the )", " except "),
    (r" (but )?leave (the .+) there(?= )", r" except \2"),
    (r"^ (i (have|need|want) to |i must |please )?clear (off )?(?=(the|my) )", " everything on "),
    (r"^ (if i |i (have|need|want) to )empt(y|ied) (?=(the|my) )", " everything in "),
    (r" (are|is) (left|left over|remaining)(?= $)", ""),
    (r" together with ", " and "),
    (r"^ i am (collecting|gathering|listing|counting) ", " find "),
    (r" (in|inside|into|within) the (gap|space|room|area) between ", " between "),
    (
        r" which (of )?(all )?(these |the )?(things|objects|items)( here| there)? (is|are)( called| named)? "
        r"(?!(on|in|under|inside|at|near|next|beside|between|not|behind|above|below) )",
        " find the ",
    ),
    (rf" (do you know )?where (did|have|do|can|could|might) (you|we|i) (ever |last )?({_LOOKED}) ", " find "),
    (rf" (have|did) (you|we|i) (ever |last )?({_LOOKED}) ", " find "),
    (rf" i (have )?(counted|count|{_LOOKED}) (?!that )", " find "),
    (r" where (can|could|may|might|will) (.+?) be (seen|found|spotted|located)(?= )", r" find \2"),
    (r" what (i|we) (want|need|mean|am looking for|am searching for|look for|seek|am after) (is|are) ", " find "),
    (
        r" (that |which )?(i|we) (mean|meant|want|wanted|need|seek|have in mind|am looking for|am searching for|"
        r"think of|am thinking of|ask for)(?= (is|are|was) )",
        "",
    ),
    (rf" belong(s|ing)? (to|into) (?=(the|my|our) ({_ROOMS}) )", " in "),
    (rf" (that|which) (the|my|our) ({_ROOMS}) (has|holds|contains|have)(?= )", r" in the \3"),
    (r" (that|which) (there (is|are)|exists?|you (can )?(see|know|find)( of)?)(?= $)", ""),
    (r" as well as (for )?", " and "),
    (r" outside (of )?(?=the )", " not in "),
    (r" (elsewhere|anywhere else) than in ", " not in "),
    (
        r" (of|in|with) (another|any other|a different|any|some other) color (other )?than (the color )?(\w+) ",
        r" not \5 ",
    ),
    (r" the (contents|content|inside|insides) of (?=the |my |a )", " everything in "),
    (r" what (stands|lies|sits|rests|hangs|stood|lay) ", " what is "),
    (r" (has|have|had) been (put|placed|left|laid|set|stored|kept) ", " is "),
    (r" where in (?=the \w+( room)? is )", " in "),
)
# Where the words of a request in a row begin: "look into the box and find the ball".
_JOINTS = word_set(", and then but so")


def without_asides(tokens: list[str]) -> list[str]:
    """Return a sentence without the segments that say nothing: "if there is one", "each of them", "in this home"."""
    tokens = _reworded(_without_home(tokens))
    segments = _segments(tokens)
    alone = bool({"size", "volume"} & set(tokens)) or tokens[:1] in (["otherwise"], ["else"])
    if len(segments) == 1 and alone and _says_nothing(segments[0]):
        return []
    kept = [segment for segment in segments if not (len(segments) > 1 and _says_nothing(segment))]
    if kept and len(kept[-1]) > 1:
        kept[-1] = _without_tail(kept[-1])
    return [token for number, segment in enumerate(kept) for token in ([","] if number else []) + segment]


def _without_home(tokens: list[str]) -> list[str]:
    """Drop "in this home", "in the whole house": everything that is asked for is there."""
    result: list[str] = []
    index = 0
    while index < len(tokens):
        if tokens[index] in {"in", "around", "within", "inside", "throughout", "at", "over", "anywhere"}:
            after = index + 1
            while after < len(tokens) and tokens[after] in word_set("in the this that my our whole entire one of any"):
                after += 1
            if after < len(tokens) and tokens[after] in _HOME and after - index <= 4:
                owner = tokens[after + 1 : after + 2]
                if not owner or owner[0] in lexicon.FUNCTION_WORDS | {","}:
                    index = after + 1
                    continue
        result.append(tokens[index])
        index += 1
    return result or tokens


def _reworded(tokens: list[str]) -> list[str]:
    """Replace wordings by plainer ones of the same meaning."""
    text = f" {' '.join(tokens)} "
    for wording, plain in _rewordings():
        text = wording.sub(plain, text)
    return text.split()


@cache
def _rewordings() -> tuple[tuple[re.Pattern[str], str], ...]:
    # Compiled once here: they are more than the cache of the regular expressions is made for.
    return tuple((re.compile(wording), plain) for wording, plain in _SAME_MEANING)


def _segments(tokens: list[str]) -> list[list[str]]:
    segments: list[list[str]] = [[]]
    for token in tokens:
        if token == ",":
            segments.append([])
        else:
            segments[-1].append(token)
    return [segment for segment in segments if segment]


def _says_nothing(segment: list[str]) -> bool:
    opening = segment[1:] if segment[0] in {"and", "but"} and len(segment) > 1 else segment
    if opening[0] in _ASIDE_OPENERS and all(token in _ASIDE_WORDS for token in segment):
        return True
    if any(tuple(segment[-len(words) :]) == words for words in lexicon.EXCLUSIONS):
        return False
    if {"size", "volume"} & set(segment) and all(token in _SIZE_ASIDE for token in segment):
        return True
    counted = all(token in _QUANTITY_WORDS for token in segment)
    return counted and not {"not", "nor"} & set(segment[:1]) - {"not"} and segment != ["both"]


def _without_tail(segment: list[str]) -> list[str]:
    """Drop "if there is one" at the end of a segment."""
    for index in range(len(segment) - 1, 0, -1):
        if segment[index] in _ASIDE_OPENERS:
            tail = segment[index:]
            if len(tail) > 1 and all(token in _ASIDE_WORDS for token in tail):
                return segment[: index - 1] if segment[index - 1] in {"and", "but", "or"} else segment[:index]
    return segment


def split_requests(tokens: list[str]) -> list[list[str]]:
    """Split where a second request begins: "look into the box and find the ball in it"."""
    parts: list[list[str]] = [[]]
    index = 0
    while index < len(tokens):
        joint = index
        while joint < len(tokens) and tokens[joint] in _JOINTS:
            joint += 1
        if joint > index and parts[-1] and joint < len(tokens) and _begins_request(tokens[joint:]):
            parts.append([])
            index = joint
            continue
        parts[-1].append(tokens[index])
        index += 1
    return [part for part in parts if part]


def _begins_request(tokens: list[str]) -> bool:
    if len(tokens) < 2:
        return False
    if tokens[0] in lexicon.REQUEST_VERBS:
        if tokens[0] in {"leave", "not"} or tokens[1] in {"it", "them"}:
            return False
        return looks_like_object(tokens[1]) or tokens[1] in lexicon.REQUEST_FILLERS
    asked = tokens[0] in {"which", "where", "what"} and tokens[1] in lexicon.COPULAS | lexicon.MODALS | {"one", "ones"}
    wished = tuple(tokens[:2]) in {("i", "need"), ("i", "want"), ("i", "mean")} and tokens[2:3] != ["to"]
    return asked or wished or tuple(tokens[:2]) == ("tell", "me")


def read_restriction(tokens: list[str]) -> Draft | None:
    """Return what a clause says of something named before, None when it says more than colours, shapes and ranks.

    "It has to be red", "leave out what is not white", "the smaller one, please", "compare their sizes and take the
    second largest". Two negations make an affirmation ("skip whatever is of another colour than blue").
    """
    words = [token for token in tokens if token != ","]
    if not words or len(words) > LONGEST_RESTRICTION:
        return None
    words = _without_phrases(words, _EMPHASIS)
    cursor = Cursor(words)
    draft = Draft(pronoun=True)
    negations = strange = 0
    while not cursor.done:
        if _taken(cursor, draft):
            continue
        word = words[cursor.position]
        place = next((p for p in _PLACING if tuple(words[cursor.position : cursor.position + len(p)]) == p), None)
        negating = _negating_at(words, cursor.position)
        if negating:
            negations += 1
        elif place is not None:
            return None
        elif word not in _CHOOSING and word not in lexicon.FUNCTION_WORDS:
            if word in vocabulary() or lexicon.singular(word) in vocabulary() or strange == MAX_STRANGE_WORDS:
                return None
            strange += 1
        cursor.position += 1
    if not (draft.colors or draft.shapes or draft.rank):
        return None
    return _denied(draft) if negations % 2 else draft


def _negating_at(words: list[str], index: int) -> bool:
    word = words[index]
    if word in _NEGATING:
        return True
    if any(tuple(words[index : index + len(phrase)]) == phrase for phrase in _NEGATING_PHRASES):
        return True
    if word in {"aside", "out", "away"} and {"leave", "leaving", "put", "set"} & set(words[:index]):
        return words[index - 1] not in {"leave", "left", "set"}
    if word == "than" and {"other", "another", "different"} & set(words[max(0, index - 3) : index]):
        return tuple(words[index - 1 : index + 1]) != ("other", "than")
    return word == "but" and index > 0 and words[index - 1] in word_set("all nothing anything everything none any")


def _taken(cursor: Cursor, draft: Draft) -> bool:
    """Read a colour, a shape or a rank where the cursor is."""
    word = cursor.peek()
    if word in lexicon.COLORS:
        draft.colors += lexicon.COLORS[word]
        cursor.position += 1
        return True
    rank = cursor.rank_at()
    if rank is not None:
        kind, descending, ordinal, length = rank
        if kind is RankKind.DISTANCE:
            return False
        draft.rank = Rank(kind, descending, ordinal)
        cursor.position += length
        return True
    if word in lexicon.SHAPES and word not in _WEAK_SHAPES and cursor.peek(-1) != "how":
        draft.shapes.append(lexicon.SHAPES[word])
        cursor.position += 1
        return True
    return False


def _denied(draft: Draft) -> Draft:
    other = Draft(pronoun=True, excluded_colors=draft.colors, excluded_shapes=draft.shapes)
    if draft.rank is not None:
        other.excluded.append(Draft(pronoun=True, rank=draft.rank))
    return other


def _without_phrases(words: list[str], unwanted: tuple[tuple[str, ...], ...]) -> list[str]:
    result: list[str] = []
    index = 0
    longest_first = sorted(unwanted, key=len, reverse=True)
    while index < len(words):
        found = next((phrase for phrase in longest_first if tuple(words[index : index + len(phrase)]) == phrase), None)
        if found is None:
            result.append(words[index])
        index += 1 if found is None else len(found)
    return result
