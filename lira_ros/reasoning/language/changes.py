"""Questions for what was changed: what stands there now does not tell what once stood elsewhere."""

from __future__ import annotations

import re

# The thing is what is asked for; a thing with a name ("where did my mug go") is looked for where it is.
_UNNAMED = (
    r"(anything|something|thing|things|object|objects|item|items|what|whatever|everything|"
    r"which (is|are|was|were|has|have|had|one|ones))"
)
_MOVED = (
    r"(moved|shifted|carried|taken|took|changed|removed|swapped|replaced|rearranged|relocated|displaced|"
    r"pushed|dragged|brought|cleared)"
)
_ELSEWHERE = (
    r"(elsewhere|somewhere else|anywhere else|(in|to|at|into) (another|a different|a new|some other) "
    r"(place|spot|position|location|room|corner))"
)
_PUT = r"(put|placed|laid|set|left|hid|hidden|stowed|stood|positioned)"
_CHANGED = re.compile(
    "|".join(
        (
            rf"\b{_UNNAMED}\b.*\b(been|has|have|had|was|were|got) (been )?{_MOVED}\b(?! (on|in|under|next|near)\b)",
            rf"\b(has|have|had) {_MOVED} (anything|something|a thing|things)\b",
            rf"\b{_UNNAMED}\b.*\b(somebody|someone|anybody|anyone|they|he|she|people) (has |have |had )?{_MOVED}\b",
            rf"\b{_UNNAMED}\b.*\b(somebody|someone|anybody|anyone|they|he|she|people) (has |have |had )?{_PUT} "
            rf"(it |them )?{_ELSEWHERE}\b",
            rf"\b{_UNNAMED}\b.*\b(was|were|has been|have been|got) {_PUT} {_ELSEWHERE}\b",
            rf"\b{_UNNAMED}\b.*\b(is|are|no longer|not) .*\b(any ?more|any longer)\b",
            rf"\b{_UNNAMED}\b.*\bno longer\b|\bno longer\b.*\b{_UNNAMED}\b",
            rf"\b{_UNNAMED}\b.*\b(once|formerly|previously|earlier|originally) (stood|lay|sat|was|were|hung|rested)\b",
            rf"\b{_UNNAMED}\b.*\b(stood|lay|sat|was|were|hung|rested) (once|formerly|previously|earlier|originally)\b",
            rf"\b{_UNNAMED}\b.*\bused to (be|stand|lie|sit|hang|rest)\b",
            rf"\b{_UNNAMED}\b.*\b(has|have|had) (changed|swapped|switched) (its |their )?(place|places|position)\b",
        )
    )
)


def asks_for_change(text: str) -> bool:
    """Tell whether a text, as words in lower case with blanks between, asks for an unnamed thing that was changed."""
    return _CHANGED.search(text.lower()) is not None
