"""One line of the doctor: what was looked at, whether it is well, and the line that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lira_ros.reasoning.plain_text import plain_text

# Topics and frames come from outside; a sentence with several of them has room in this.
MAX_CHARACTERS = 600


@dataclass(frozen=True)
class Finding:
    """What was found. mend: one line that mends it, needed unless all is well. required: nothing works without it."""

    subject: str
    well: bool
    message: str
    mend: str = ""
    required: bool = True

    def __post_init__(self) -> None:
        """Make every text one line; raises ValueError for a finding that leaves a person without help."""
        for name in ("subject", "message", "mend"):
            object.__setattr__(self, name, plain_text(getattr(self, name), MAX_CHARACTERS))
        if not self.well and not self.mend:
            raise ValueError(f"{self.subject}: a finding that is not well says what mends it")

    @property
    def sign(self) -> str:
        """Return "ok", "FAIL" or "note"."""
        return "ok" if self.well else ("FAIL" if self.required else "note")

    @property
    def failed(self) -> bool:
        """Tell whether something required is wrong."""
        return self.required and not self.well


def good(subject: str, message: str) -> Finding:
    """Return a finding of something that is well."""
    return Finding(subject, True, message)


def bad(subject: str, message: str, mend: str) -> Finding:
    """Return a finding of something without which nothing comes out."""
    return Finding(subject, False, message, mend)


def note(subject: str, message: str, mend: str) -> Finding:
    """Return a finding of something that could be better."""
    return Finding(subject, False, message, mend, required=False)


def lines(findings: Sequence[Finding]) -> Iterable[str]:
    """Yield the findings as lines for a terminal; what mends one stands below it."""
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        yield f"{finding.sign:<4}  {finding.subject:<{width}}  {finding.message}"
        if not finding.well:
            yield f"      {'':<{width}}  -> {finding.mend}"


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 when everything required is well, 1 otherwise."""
    return int(any(finding.failed for finding in findings))
