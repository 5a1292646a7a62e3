"""Where the files of a model are on this computer. Nothing here touches the network."""

from __future__ import annotations

import fnmatch
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.models.cards import ModelCard, ModelFile, ModelRepository, checked_path, is_pattern
from lira_ros.reasoning.plain_text import plain_text

FOLDER_VARIABLE = "LIRA_MODELS"
DEFAULT_FOLDER = "~/.cache/lira_ros/models"
# The variables by which Hugging Face's own programs are told to leave the network alone.
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
# Written by ``lira models fetch``: which commit the files are of, their sizes and hashes.
MANIFEST_NAME = "lira_manifest.json"
# Folders that other programs leave among a model's files: Git's own and the download notes of Hugging Face's.
FOREIGN_FOLDERS = (".git", ".cache")
# Weights that are split over files come with an index that names them all (transformers' naming).
_INDEX_PATTERN = "*.index.json"
# No index or manifest of a model comes near; a larger file is something else.
_MAX_JSON_BYTES = 50_000_000


class ModelMissing(ReasoningError):
    """Files of a model are not on this computer; says which to copy where.

    files: the paths that are missing or of another size, relative to the model's folder.
    """

    def __init__(self, message: str, files: tuple[str, ...]) -> None:
        super().__init__(message)
        self.files = files


class Presence(Enum):
    """Whether the files of a model are here; the value is the word for people.

    BROKEN: in part, in wrong size, or with a manifest that cannot be read.
    """

    HERE = "here"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True)
class ManifestFile:
    """What is known of a fetched file. sha256: "" until it is here. commit: of the repository from which it came."""

    bytes: int
    sha256: str
    hub_id: str
    commit: str


@dataclass(frozen=True)
class WantedFile:
    """A file, or a pattern of files, that a model needs. path: relative to the model's folder, with the part."""

    path: PurePosixPath
    repository: ModelRepository
    file: ModelFile


@dataclass(frozen=True)
class Lack:
    """A wanted file that cannot be used as it is, and why ("" = it is simply not there)."""

    wanted: WantedFile
    reason: str = ""


def offline() -> bool:
    """Tell whether the environment forbids downloads (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)."""
    return any(os.environ.get(name, "").strip().upper() in ("1", "ON", "YES", "TRUE") for name in OFFLINE_VARIABLES)


def forbid_downloads() -> None:
    """Keep the libraries that load models from asking a hub in this process; ``lira models fetch`` does not use them.

    They are given folders only, but some look up more by the way (a converted checkpoint, a newer tokenizer).
    """
    os.environ[OFFLINE_VARIABLES[0]] = "1"
    # It reads its environment once, when it is imported.
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        vars(constants)["HF_HUB_OFFLINE"] = True


def models_folder() -> Path:
    """Return the folder of all models: that of the environment variable LIRA_MODELS, or the one in the user's cache."""
    return Path(os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER).expanduser().absolute()


def model_folder(card: ModelCard) -> Path:
    """Return the folder in which the files of a model belong; it need not exist."""
    return models_folder() / card.name


def locate(card: ModelCard) -> Path:
    """Return the folder with the files of a model; files of other parts lie in its sub-folders.

    Every file of the card must be there with the size that the card or the manifest states, for every pattern at
    least one, and every file that an index of split weights names. Hashes are not read: that is ``verify``.
    Raises ModelMissing, which says what to copy from where to where.
    """
    folder = model_folder(card)
    lacking = find_lacking(card, folder)
    if lacking:
        raise ModelMissing(copy_instructions(card, folder, lacking), tuple(str(item.wanted.path) for item in lacking))
    return folder


def find_lacking(card: ModelCard, folder: Path) -> list[Lack]:
    """Return the files of a model that are missing from a folder or have another size than stated."""
    manifest = read_manifest(folder)
    lacking: list[Lack] = []
    for wanted in wanted_files(card, folder, manifest):
        path = folder / wanted.path
        if is_pattern(wanted.file.path):
            if not matching_files(folder, wanted.path) and not wanted.file.optional:
                lacking.append(Lack(wanted))
            continue
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            if wanted.file.optional and not path.is_symlink():
                continue
            lacking.append(Lack(wanted, "a broken link" if path.is_symlink() else ""))
            continue
        except OSError as error:
            lacking.append(Lack(wanted, error.strerror or str(error)))
            continue
        if not path.is_file():
            lacking.append(Lack(wanted, "not a file"))
        elif wanted.file.bytes is not None and size != wanted.file.bytes:
            lacking.append(Lack(wanted, f"here it has {size} of {wanted.file.bytes} bytes"))
    return lacking


def presence(card: ModelCard) -> Presence:
    """Tell whether the files of a model are here, without reading them."""
    folder = model_folder(card)
    try:
        lacking = find_lacking(card, folder)
    except ReasoningError:
        return Presence.BROKEN
    if not lacking:
        return Presence.HERE
    return Presence.BROKEN if any(present_files(folder)) else Presence.MISSING


def copy_instructions(card: ModelCard, folder: Path, lacking: list[Lack]) -> str:
    """Return which files to copy from where to where, for people."""
    are = "is" if len(lacking) == 1 else "are"
    lines = [
        f"model {card.name}: {len(lacking)} of its files {are} not in {folder}. Copy there "
        f"(or set {FOLDER_VARIABLE} to the folder that has {card.name}/):"
    ]
    for repository in card.repositories:
        files = [item for item in lacking if item.wanted.repository == repository]
        if files:
            lines.append(f"from {repository.hub_id} (revision {repository.revision}) into {folder / repository.part}:")
            lines.extend(f"  {_describe(item)}" for item in files)
            optional = [file for file in repository.files if file.optional]
            lines.extend(f"  {_describe_file(file, ['if the repository has it'])}" for file in optional)
    lines.append(f"Where there is a network, this does it: lira models fetch {card.name}")
    return "\n".join(lines)


def wanted_files(card: ModelCard, folder: Path, manifest: Mapping[str, ManifestFile]) -> list[WantedFile]:
    """Return what a model needs: the files of its card, those of the manifest, and those of indices that are here.

    A pattern of the card stands for the files of the manifest that match it, where there are some. Sizes and hashes
    are those of the card, else those of the manifest.
    """
    found: dict[PurePosixPath, WantedFile] = {}
    for repository in card.repositories:
        for file in repository.files:
            path = PurePosixPath(repository.part) / file.path
            fetched = [name for name in manifest if matches(PurePosixPath(name), path)]
            for name in fetched or [str(path)]:
                inside = str(PurePosixPath(name).relative_to(repository.part)) if repository.part else name
                found[PurePosixPath(name)] = _wanted(repository, inside, file, manifest.get(name))
        for index in _indices(folder, found):
            for inside in _indexed(folder / index):
                path = index.parent / inside
                if path not in found:
                    unknown = ModelFile(str(path.relative_to(repository.part)) if repository.part else str(path))
                    found[path] = _wanted(repository, unknown.path, unknown, manifest.get(str(path)))
    return list(found.values())


def matching_files(folder: Path, pattern: PurePosixPath) -> list[Path]:
    """Return the files of a folder that a pattern of a card stands for, in order."""
    return sorted(path for path in present_files(folder) if matches(PurePosixPath(path.relative_to(folder)), pattern))


def present_files(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, links followed; leaves out what Git and Hugging Face's programs keep."""
    entered: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        # A link to a folder above would lead round in circles.
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if name not in FOREIGN_FOLDERS)
        for name in sorted(names):
            yield Path(place) / name


def matches(path: PurePosixPath, pattern: PurePosixPath) -> bool:
    """Tell whether a path is the one that a card names; * and ? in a card stand for characters other than /."""
    return len(path.parts) == len(pattern.parts) and all(
        fnmatch.fnmatchcase(part, wanted) for part, wanted in zip(path.parts, pattern.parts, strict=True)
    )


def read_manifest(folder: Path) -> dict[str, ManifestFile]:
    """Return what was written when the files of a folder were fetched, by relative path; empty without a manifest.

    Raises ReasoningError when there is one that cannot be read.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return {}
    try:
        files = _read_json(path)["files"]
        return {checked_path(name, "files"): _manifest_file(item) for name, item in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ReasoningError(
            f"{path}: the manifest of a fetched model cannot be read ({type(error).__name__} {error}); "
            "delete it and fetch the model again"
        ) from error


def write_manifest(folder: Path, files: Mapping[str, ManifestFile]) -> None:
    """Write the manifest of a folder in one step."""
    entries = {
        name: {"bytes": item.bytes, "sha256": item.sha256, "hub_id": item.hub_id, "commit": item.commit}
        for name, item in sorted(files.items())
    }
    temporary = folder / (MANIFEST_NAME + ".new")
    temporary.write_text(json.dumps({"files": entries}, indent=1) + "\n", encoding="utf-8")
    temporary.replace(folder / MANIFEST_NAME)


def format_bytes(count: int) -> str:
    """Return a size for people, in decimal units as the hub shows them."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _manifest_file(item: Mapping[str, Any]) -> ManifestFile:
    return ManifestFile(int(item["bytes"]), str(item["sha256"]), str(item["hub_id"]), str(item["commit"]))


def _wanted(repository: ModelRepository, path: str, stated: ModelFile, fetched: ManifestFile | None) -> WantedFile:
    size, sha256 = (stated.bytes, stated.sha256) if not is_pattern(stated.path) else (None, None)
    if fetched is not None:
        size = fetched.bytes if size is None else size
        sha256 = (fetched.sha256 or None) if sha256 is None else sha256
    optional = stated.optional and fetched is None
    return WantedFile(PurePosixPath(repository.part) / path, repository, ModelFile(path, size, sha256, optional))


def _indices(folder: Path, paths: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    found: list[PurePosixPath] = []
    for path in paths:
        here = matching_files(folder, path) if is_pattern(str(path)) else []
        found += [PurePosixPath(item.relative_to(folder)) for item in here] or [path]
    return [path for path in found if path.match(_INDEX_PATTERN)]


def _indexed(path: Path) -> list[str]:
    # A broken index is the loader's to report; here it only names no further files.
    try:
        names = {str(name) for name in _read_json(path)["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    # An index comes from outside: it may name files beside itself, nothing else.
    return sorted(name for name in names if name and PurePosixPath(name).name == name and name != "..")


def _read_json(path: Path) -> Any:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise ValueError(f"more than {format_bytes(_MAX_JSON_BYTES)}")
    return json.loads(path.read_text(encoding="utf-8"))


def _describe(lack: Lack) -> str:
    return _describe_file(lack.wanted.file, [lack.reason] if lack.reason else [])


def _describe_file(file: ModelFile, more: list[str]) -> str:
    notes = [format_bytes(file.bytes)] if file.bytes is not None else []
    if is_pattern(file.path):
        notes.append("all files of this form")
    notes += more
    return plain_text(file.path, 300) + (f" ({'; '.join(notes)})" if notes else "")
