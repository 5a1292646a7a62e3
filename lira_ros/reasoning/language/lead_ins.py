"""What stands before a wish: politeness, request verbs and questions."""

from __future__ import annotations

from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.lexicon import word_set

_LEAD_INS = sorted(lexicon.LEAD_INS + lexicon.WANT_LEAD_INS, key=len, reverse=True)


def looks_like_object(token: str) -> bool:
    """Return whether a word after a verb begins what is asked for, so that the verb is a request."""
    return (
        token in lexicon.DETERMINERS
        or token in lexicon.REQUEST_FILLERS
        or lexicon.singular(token) in lexicon.GENERIC_HEADS
        or token in {"where", "what", "which", "and"}
        or token in lexicon.COLORS
        or token in lexicon.SUPERLATIVES
        or token in lexicon.NUMBERS
        or token in lexicon.INDEFINITE_PRONOUNS
        or token in {"how", "each", "both"}
    )


def strip_lead_ins(tokens: list[str]) -> tuple[int, bool]:
    """Return where the wish begins and whether a request or question stood before it."""
    start, requested = 0, False
    while start < len(tokens):
        if any(tuple(tokens[start : start + len(question)]) == question for question in lexicon.NEED_QUESTIONS):
            locating = tokens[start] == "where" and tokens[start + 3 : start + 4] in (["find"], ["see"])
            left = tokens[start : start + 3] == ["where", "did", "i"]
            if not locating and not left:
                return start, False
        if tokens[start] == ",":
            start += 1
            continue
        match = next((p for p in _LEAD_INS if tuple(tokens[start : start + len(p)]) == p), None)
        if match is not None and not _blocked(tokens, start, match):
            start += len(match)
            polite = match[-1] in word_set("please and then so ok okay now well hi hey hello")
            requested = requested or not polite
            continue
        token = tokens[start]
        following = tokens[start + 1] if start + 1 < len(tokens) else ""
        if token in lexicon.REQUEST_VERBS and following:
            placed = token in {"look", "search", "check"} and (following,) in lexicon.RELATIONS
            if token in lexicon.AMBIGUOUS_VERBS and not looks_like_object(following) and not placed:
                break
            if following in lexicon.COPULAS:
                break
            start += 1
            requested = True
            while start < len(tokens) - 1 and tokens[start] in lexicon.REQUEST_FILLERS - {"the", "all"}:
                start += 1
            continue
        break
    return start, requested


def _blocked(tokens: list[str], start: int, match: tuple[str, ...]) -> bool:
    """Whether a lead-in is really the beginning of a need ("i want to sleep", "it is too dark")."""
    following = tokens[start + len(match) : start + len(match) + 2]
    if match in lexicon.WANT_LEAD_INS:
        if not following:
            return True
        if match[-1] in word_set("left lost forgot dropped misplaced miss missing prefer"):
            return following[0] not in lexicon.DETERMINERS
        return following[0] in {"to", "rest", "you"} or following[0] in {"it", "help"}
    if match in {("it", "is"), ("they", "are"), ("there", "is"), ("that", "is"), ("this", "is")}:
        return not following or following[0] in word_set(
            """
            too so very getting quite cold dark hot raining late really rather warm dirty wet noisy loud
            lunchtime bedtime time nothing no dinner smelly
            """
        )
    if match in {("i", "see"), ("you", "see"), ("we", "see"), ("we", "have"), ("can", "i"), ("can", "we")}:
        return following[:1] in (["nothing"], ["not"], ["sit"], ["eat"], ["to"]) or (
            match[0] == "can" and (following[:1] not in (["see"], ["find"], ["have"], ["get"]))
        )
    return False
