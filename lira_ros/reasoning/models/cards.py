"""Model cards: what is known of a model before its files are here (``models/*.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lira_ros.reasoning.contracts import ReasoningError

KINDS = ("lisa", "vision_language", "segmenter", "detector", "image_encoder")
_REQUIRED = ("name", "kind", "family", "description", "license", "memory_gib", "repositories")


class ModelCardError(ReasoningError):
    """A card is unknown or broken; names the card, the field, what was expected and what came."""


@dataclass(frozen=True)
class ModelFile:
    """A file of a model: path within its repository, size and hash where they are known (None = not known)."""

    path: str
    bytes: int | None = None
    sha256: str | None = None


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
    cards = [read_card(path) for path in sorted(card_folder().glob("*.yaml"))]
    return {card.name: card for card in cards}


def find_card(name: str) -> ModelCard:
    """Return a card by its name, or from a file when the name ends in .yaml.

    Raises ModelCardError for an unknown name, with those that exist.
    """
    if name.endswith((".yaml", ".yml")):
        return read_card(Path(name).expanduser())
    cards = load_cards()
    if name not in cards:
        raise ModelCardError(f"model {name!r} has no card; there are {', '.join(sorted(cards))}, or give a .yaml file")
    return cards[name]


def read_card(path: Path) -> ModelCard:
    """Read and check a card; raises ModelCardError naming the file and the field."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelCardError(f"{path}: the model card cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelCardError(f"{path}: expected a mapping of fields, got {type(content).__name__}")
    missing = [name for name in _REQUIRED if name not in content]
    unknown = sorted(set(content) - set(_REQUIRED) - {"options"})
    if missing or unknown:
        raise ModelCardError(
            f"{path}: missing {', '.join(missing) or 'nothing'}; unknown {', '.join(unknown) or 'nothing'}"
        )
    try:
        if content["kind"] not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {content['kind']!r}")
        repositories = tuple(
            ModelRepository(
                str(item["hub_id"]),
                str(item["revision"]),
                tuple(ModelFile(str(file["path"]), file.get("bytes"), file.get("sha256")) for file in item["files"]),
                str(item.get("part", "")),
            )
            for item in content["repositories"]
        )
        return ModelCard(
            name=str(content["name"]),
            kind=str(content["kind"]),
            family=str(content["family"]),
            description=str(content["description"]),
            license=str(content["license"]),
            memory_gib=float(content["memory_gib"]),
            repositories=repositories,
            options=dict(content.get("options") or {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelCardError(f"{path}: {type(error).__name__} {error}") from error
