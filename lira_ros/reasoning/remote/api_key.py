"""The key for a server: from an environment variable or a file, and never shown to anybody else."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from lira_ros.reasoning.contracts import ReasoningError

# What a header may carry (RFC 9110, section 5.5): visible ASCII, so that a key can end neither the line nor the header.
_KEY = re.compile(r"[\x21-\x7e]+")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Longer than any token in use (a JWT has about 1 kB), short enough that a wrong file is told at once.
MAX_KEY_BYTES = 16384
# A shorter one may be part of ordinary words and numbers of an answer: it could not be blotted out of what is shown.
MIN_KEY_CHARACTERS = 8


class ApiKey:
    """A key that does not show itself: ``str``, ``repr`` and error messages never hold it."""

    def __init__(self, key: str = "", source: str = "") -> None:
        self._key = key
        self._echo = _echo_of(key) if key else None
        self.source = source
        self.warning = ""

    def __repr__(self) -> str:
        return f"ApiKey({self.source or 'none'})"

    def __bool__(self) -> bool:
        return bool(self._key)

    def headers(self) -> dict[str, str]:
        """Return the header that carries the key, for the configured server only."""
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def hide(self, text: str) -> str:
        """Return the text with the key blotted out, should a server send it back, as it is or escaped."""
        return self._echo.sub("[key]", text) if self._echo is not None else text


def read_api_key(variable: str, file: str, prefix: str) -> ApiKey:
    """Read the key of a server; without a variable and a file there is none.

    prefix: of the parameters' names in messages, such as "reasoner.remote.". Raises ReasoningError naming the
    parameter when the source is missing, or when what it holds cannot be a key; what it holds is not told.
    """
    if variable and file:
        raise ReasoningError(f"{prefix}api_key_variable and {prefix}api_key_file: expected one of them, got both")
    if variable:
        if not _VARIABLE_NAME.fullmatch(variable):
            # Somebody may have put the key itself here: the value is not repeated.
            raise ReasoningError(
                f"{prefix}api_key_variable: expected the name of an environment variable (letters, digits, _), got "
                f"{len(variable)} characters that are none; the key itself must not be a parameter"
            )
        if variable not in os.environ:
            raise ReasoningError(f"{prefix}api_key_variable: the environment variable {variable} is not set")
        return _checked(os.environ[variable], f"environment variable {variable}", f"{prefix}api_key_variable")
    if file:
        return _read_file(Path(file).expanduser(), f"{prefix}api_key_file")
    return ApiKey()


def _read_file(path: Path, name: str) -> ApiKey:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ReasoningError(f"{name}: {path}: expected a regular file")
        content = path.read_bytes() if status.st_size <= MAX_KEY_BYTES else b""
    except OSError as error:
        raise ReasoningError(f"{name}: {path}: {error.strerror or error}") from error
    if status.st_size > MAX_KEY_BYTES:
        raise ReasoningError(f"{name}: {path}: expected a key of at most {MAX_KEY_BYTES} bytes, got {status.st_size}")
    # Editors end a file with a line break; anything else around a key is an error.
    key = _checked(content.decode("utf-8", "replace").rstrip("\r\n"), f"file {path}", name)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        key.warning = f"{path} with the key can be used by others (mode {stat.S_IMODE(status.st_mode):04o}): chmod 600"
    return key


def _checked(key: str, source: str, name: str) -> ApiKey:
    if not key:
        raise ReasoningError(f"{name}: the {source} is empty")
    if len(key) < MIN_KEY_CHARACTERS:
        raise ReasoningError(
            f"{name}: expected a key of at least {MIN_KEY_CHARACTERS} characters, the {source} has {len(key)}"
        )
    if len(key) > MAX_KEY_BYTES or not _KEY.fullmatch(key):
        raise ReasoningError(
            f"{name}: the {source} does not hold a key: expected visible ASCII characters without blanks, line "
            f"breaks and control characters"
        )
    return ApiKey(key, source)


def _echo_of(key: str) -> re.Pattern[str]:
    """Return what the key looks like in a body: escaped as in JSON or in an address, with what is not shown between."""
    codes = ((re.escape(character), f"(?i:{ord(character):02x})") for character in key)
    return re.compile(r"[^\x21-\x7e]*".join(rf"(?:\\*{plain}|\\+u00{code}|%{code})" for plain, code in codes))
