"""Model cards: what is known of a model before its files are here (``models/*.yaml``)."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.plain_text import plain_text

KINDS = ("lisa", "vision_language", "segmenter", "detector", "image_encoder")
_REQUIRED = ("name", "kind", "family", "description", "license", "memory_gib", "repositories")
_REPOSITORY_FIELDS = ("hub_id", "revision", "files", "part")
_FILE_FIELDS = ("path", "bytes", "sha256", "optional")
# The name of a card is the name of a folder, and typed by people.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# Names and revisions as the hub allows them (huggingface_hub.utils.validate_repo_id; Git's branch names).
_HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Longer than any description that fits a table, short enough for a terminal.
_MAX_TEXT_CHARACTERS = 400
_MAX_SHOWN_NAME = 80


class ModelCardError(ReasoningError):
    """A card is unknown or broken; names the card, the field, what was expected and what came."""


@dataclass(frozen=True)
class ModelFile:
    """A file of a model: path within its repository, size and hash where they are known (None = not known).

    A path with * or ? stands for every file of that form at the hub; it has neither size nor hash. optional: the model
    loads without it; it is fetched where the repository has it.
    """

    path: str
    bytes: int | None = None
    sha256: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class ModelRepository:
    """A repository of a model hub. part: the folder in which its files lie below the model's own folder, "" = in it."""

    hub_id: str
    revision: str
    files: tuple[ModelFile, ...]
    part: str = ""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model.

    kind: one of KINDS. family: which code loads it ("lira", "qwen3_vl", "sam2", ...). options: what that code needs
    (prompt, box units, mask rule, embedding size, ...), checked by it. memory_gib: of the weights in bfloat16.
    """

    name: str
    kind: str
    family: str
    description: str
    license: str
    memory_gib: float
    repositories: tuple[ModelRepository, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def card_folder() -> Path:
    """Return the folder of the shipped cards: of the clone, or of the installed package's share."""
    import sys

    for folder in (Path(__file__).resolve().parents[3] / "models", Path(sys.prefix) / "share" / "lira_ros" / "models"):
        if folder.is_dir():
            return folder
    raise ModelCardError("the model cards (models/*.yaml) are not beside the package: install it again")


def load_cards() -> dict[str, ModelCard]:
    """Return the shipped cards by name."""
    cards = [read_card(path) for path in card_folder().glob("*.yaml")]
    return {card.name: card for card in sorted(cards, key=lambda card: card.name)}


def find_card(name: str) -> ModelCard:
    """Return a card by its name, or from a file when the name ends in .yaml.

    Raises ModelCardError for an unknown name, with those that exist.
    """
    if name.endswith((".yaml", ".yml")):
        return read_card(Path(name).expanduser())
    cards = load_cards()
    if name not in cards:
        shown, near = plain_text(name, _MAX_SHOWN_NAME), _names_like(name, sorted(cards))
        said = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(cards))}."
        raise ModelCardError(f"model {shown!r} has no card; {said} A card of your own is a file that ends in .yaml")
    return cards[name]


def _names_like(name: str, names: list[str]) -> list[str]:
    """Return names that hold what was typed ("qwen3" or "Qwen/Qwen3-VL-8B-Instruct"), else those that are near it."""
    typed = re.sub(r"[^a-z0-9]", "", name.rpartition("/")[2].lower())
    bare = {known: known.translate({ord(sign): None for sign in ".-_"}) for known in names}
    holding = [known for known in names if typed and (typed in bare[known] or bare[known] in typed)]
    return holding or [known for known in names if bare[known] in difflib.get_close_matches(typed, bare.values())]


def read_card(path: Path) -> ModelCard:
    """Read and check a card; raises ModelCardError naming the file and the field."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelCardError(f"{path}: the model card cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelCardError(f"{path}: expected a mapping of fields, got {type(content).__name__}")
    missing = [name for name in _REQUIRED if name not in content]
    unknown = sorted(str(name) for name in set(content) - set(_REQUIRED) - {"options"})
    if missing or unknown:
        raise ModelCardError(
            f"{path}: missing {', '.join(missing) or 'nothing'}; unknown {', '.join(unknown) or 'nothing'}"
        )
    try:
        return _card(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"misses {error}" if isinstance(error, KeyError) else str(error)
        raise ModelCardError(f"{path}: {said}") from error


def is_pattern(path: str) -> bool:
    """Tell whether a path of a card stands for every file of a form."""
    return "*" in path or "?" in path


def checked_path(value: Any, name: str) -> str:
    """Return a relative path that stays below the folder to which it is added; raises ValueError for any other."""
    text = value if isinstance(value, str) else ""
    parts = text.split("/")
    if not text.isprintable() or any(part in ("", ".", "..") for part in parts) or re.search(r"[\\:\[\]]", text):
        raise ValueError(f"{name}: expected a path below the model's folder, like part/file.bin, got {value!r}")
    return text


def _card(content: Mapping[str, Any]) -> ModelCard:
    if content["kind"] not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {content['kind']!r}")
    memory_gib = content["memory_gib"]
    if isinstance(memory_gib, bool) or not isinstance(memory_gib, (int, float)) or not 0 < memory_gib < math.inf:
        raise ValueError(f"memory_gib: expected a number above 0, got {content['memory_gib']!r}")
    options = content.get("options") or {}
    if not isinstance(options, dict):
        raise ValueError(f"options: expected names and values, got {type(options).__name__}")
    repositories = tuple(_repository(item) for item in _list(content["repositories"], "repositories"))
    places = [PurePosixPath(item.part) / file.path for item in repositories for file in item.files]
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise ValueError(f"files: {twice} is listed twice")
    return ModelCard(
        name=_matching(content["name"], _NAME, "name"),
        kind=content["kind"],
        family=_text(content["family"], "family"),
        description=_text(content["description"], "description"),
        license=_text(content["license"], "license"),
        memory_gib=float(memory_gib),
        repositories=repositories,
        options=dict(options),
    )


def _repository(item: Any) -> ModelRepository:
    _only(item, _REPOSITORY_FIELDS, "repositories")
    part = item.get("part", "")
    return ModelRepository(
        _matching(item["hub_id"], _HUB_ID, "hub_id"),
        _matching(item["revision"], _REVISION, "revision"),
        tuple(_file(file) for file in _list(item["files"], "files")),
        checked_path(part, "part") if part else "",
    )


def _file(item: Any) -> ModelFile:
    _only(item, _FILE_FIELDS, "files")
    path = checked_path(item["path"], "path")
    size, sha256 = item.get("bytes"), item.get("sha256")
    if size is not None and (type(size) is not int or size < 0):
        raise ValueError(f"files: {path}: bytes: expected a whole number or nothing, got {size!r}")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ValueError(f"files: {path}: sha256: expected 64 digits 0-9 a-f or nothing, got {sha256!r}")
    if is_pattern(path) and (size is not None or sha256 is not None):
        raise ValueError(f"files: {path}: a form of names has neither bytes nor sha256")
    optional = item.get("optional", False)
    if not isinstance(optional, bool):
        raise ValueError(f"files: {path}: optional: expected true or false, got {optional!r}")
    return ModelFile(path, size, sha256, optional)


def _matching(value: Any, form: re.Pattern[str], name: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value) or ".." in value:
        raise ValueError(f"{name}: expected the form {form.pattern}, got {value!r}")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: expected a text, got {value!r}")
    return plain_text(value, _MAX_TEXT_CHARACTERS)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name}: expected a list with at least one entry, got {value!r}")
    return value


def _only(item: Any, allowed: tuple[str, ...], name: str) -> None:
    if not isinstance(item, dict):
        raise ValueError(f"{name}: expected entries with {', '.join(allowed)}, got {item!r}")
    unknown = sorted(str(field) for field in set(item) - set(allowed))
    if unknown:
        raise ValueError(f"{name}: unknown {', '.join(unknown)}; there are {', '.join(allowed)}")
