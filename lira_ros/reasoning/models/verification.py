"""Whether the files of a model are the ones that its card or the manifest of its fetch means, byte by byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from lira_ros.reasoning.models.cards import ModelCard, ModelFile, is_pattern
from lira_ros.reasoning.models.files import (
    MANIFEST_NAME,
    find_lacking,
    matching_files,
    model_folder,
    present_files,
    read_manifest,
    wanted_files,
)

# An unfinished download: <name>.<start of its hash>.partial.
PARTIAL_SUFFIX = ".partial"
# Large enough that the disk and not Python sets the pace.
CHUNK_BYTES = 1 << 20


class FileState(Enum):
    """What was found of a file; the value is the word for people."""

    WELL = "ok"
    UNPROVEN = "no hash known"
    MISSING = "missing"
    WRONG_SIZE = "wrong size"
    WRONG_HASH = "wrong hash"
    UNREADABLE = "unreadable"
    EXTRA = "not of this model"
    UNFINISHED = "unfinished download"


# With these the model cannot be trusted; the others are well, or do no harm.
FAULTS = frozenset({FileState.MISSING, FileState.WRONG_SIZE, FileState.WRONG_HASH, FileState.UNREADABLE})


@dataclass(frozen=True)
class FileFinding:
    """What was found of one file. path: relative to the model's folder. detail: more for people, or ""."""

    path: str
    state: FileState
    detail: str = ""


def verify(card: ModelCard, on_bytes: Callable[[int], None] = lambda _: None) -> list[FileFinding]:
    """Read every file of a model and compare it with the hash of the card, else of the manifest.

    on_bytes: called with every count of bytes that was read; ``bytes_to_verify`` tells how many there will be.
    Raises ReasoningError when the manifest cannot be read.
    """
    folder = model_folder(card)
    lacking = {str(lack.wanted.path): lack for lack in find_lacking(card, folder)}
    files = _files(card, folder)
    findings: list[FileFinding] = []
    for name, file in files.items():
        if file.optional and name not in lacking and not (folder / name).exists():
            continue
        if name not in lacking:
            findings.append(_compare(folder / name, name, file, on_bytes))
        elif (folder / name).is_file():
            findings.append(FileFinding(name, FileState.WRONG_SIZE, lacking[name].reason))
        else:
            findings.append(FileFinding(name, FileState.MISSING, lacking[name].reason))
    for path in present_files(folder):
        name = path.relative_to(folder).as_posix()
        if name not in files and name != MANIFEST_NAME:
            state = FileState.UNFINISHED if name.endswith(PARTIAL_SUFFIX) else FileState.EXTRA
            findings.append(FileFinding(name, state))
    return findings


def bytes_to_verify(card: ModelCard) -> int:
    """Return how many bytes ``verify`` is going to read."""
    folder = model_folder(card)
    paths = (folder / name for name in _files(card, folder))
    return sum(path.stat().st_size for path in paths if path.is_file())


def hash_file(path: Path, digest: hashlib._Hash, on_bytes: Callable[[int], None] = lambda _: None) -> str:
    """Add the content of a file to a digest and return it in hexadecimal; raises OSError."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            on_bytes(len(chunk))
    return digest.hexdigest()


def _files(card: ModelCard, folder: Path) -> dict[str, ModelFile]:
    # What a pattern stands for is what is there; where nothing is, the pattern itself is what is missing.
    files: dict[str, ModelFile] = {}
    for wanted in wanted_files(card, folder, read_manifest(folder)):
        found = matching_files(folder, wanted.path) if is_pattern(wanted.file.path) else []
        for path in [PurePosixPath(item.relative_to(folder)) for item in found] or [wanted.path]:
            files.setdefault(str(path), wanted.file)
    return files


def _compare(path: Path, name: str, file: ModelFile, on_bytes: Callable[[int], None]) -> FileFinding:
    link = f"through the link {path.readlink()}" if path.is_symlink() else ""
    try:
        found = hash_file(path, hashlib.sha256(), on_bytes)
    except OSError as error:
        return FileFinding(name, FileState.UNREADABLE, error.strerror or str(error))
    if file.sha256 is None:
        return FileFinding(name, FileState.UNPROVEN, "; ".join(filter(None, (f"sha256 {found}", link))))
    if found != file.sha256:
        return FileFinding(name, FileState.WRONG_HASH, f"expected sha256 {file.sha256}, got {found}")
    return FileFinding(name, FileState.WELL, link)
