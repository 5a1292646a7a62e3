"""Bring the files of a model from the hub into its folder: checked, resumed, whole files only."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lira_ros.reasoning.models.cards import ModelCard, ModelFile, ModelRepository, is_pattern
from lira_ros.reasoning.models.files import ManifestFile, format_bytes, matches, model_folder, write_manifest
from lira_ros.reasoning.models.hub import Hub, HubError, HubFile, HubListing
from lira_ros.reasoning.models.verification import PARTIAL_SUFFIX, hash_file

# What stays free on the disk, for everything else that runs there.
SPARE_DISK_BYTES = 500_000_000


@dataclass(frozen=True)
class PlannedFile:
    """A file to fetch. path: relative to the model's folder. sha256: "" = only Git's hash is known beforehand."""

    path: PurePosixPath
    listing: HubListing
    file: HubFile
    sha256: str


@dataclass(frozen=True)
class Plan:
    """What a fetch is going to bring, and where to."""

    card: ModelCard
    folder: Path
    files: tuple[PlannedFile, ...]

    @property
    def bytes(self) -> int:
        """Return the size of all files together."""
        return sum(item.file.bytes for item in self.files)


def plan_fetch(card: ModelCard, hub: Hub, revision: str = "") -> Plan:
    """Ask the hub which files a model has, and compare them with the card.

    revision: for the first repository of the card, "" = that of the card. Raises HubError when the hub lacks a file,
    or states another size or hash than the card does.
    """
    planned: dict[PurePosixPath, PlannedFile] = {}
    for number, repository in enumerate(card.repositories):
        chosen = dataclasses.replace(repository, revision=revision) if revision and number == 0 else repository
        listing = hub.list_files(chosen.hub_id, chosen.revision)
        wanted = [(wish, file) for wish in chosen.files for file in _find(listing, wish, chosen)]
        for wish, file in wanted:
            path = PurePosixPath(chosen.part) / file.path
            _check(wish, file, listing)
            planned[path] = PlannedFile(path, listing, file, wish.sha256 or file.sha256 or "")
    return Plan(card, model_folder(card), tuple(planned.values()))


def fetch(plan: Plan, hub: Hub, on_bytes: Callable[[int], None] = lambda _: None) -> Path:
    """Bring the files of a plan into the model's folder, and return that.

    A file gets its name only after its hash was found right; one that is there and right is kept; the part of a
    broken download is continued. The manifest is written first, so that an interrupted fetch is seen as incomplete.
    on_bytes: called with every count of bytes that is there, negative when a download begins again.
    Raises HubError, and OSError when the disk is full or the folder cannot be written.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        str(item.path): ManifestFile(item.file.bytes, item.sha256, item.listing.hub_id, item.listing.commit)
        for item in plan.files
    }
    absent = [item for item in plan.files if not _is_right(item, plan.folder / item.path)]
    _check_disk(plan, absent)
    for item in plan.files:
        (plan.folder / item.path).parent.mkdir(parents=True, exist_ok=True)
        if item not in absent:
            on_bytes(item.file.bytes)
    write_manifest(plan.folder, manifest)
    for item in plan.files:
        name = str(item.path)
        if item in absent:
            _bring(item, plan.folder / item.path, hub, on_bytes)
        if not manifest[name].sha256:
            found = hash_file(plan.folder / item.path, hashlib.sha256())
            manifest[name] = dataclasses.replace(manifest[name], sha256=found)
    write_manifest(plan.folder, manifest)
    return plan.folder


def _find(listing: HubListing, wish: ModelFile, repository: ModelRepository) -> list[HubFile]:
    found = [file for file in listing.files if matches(PurePosixPath(file.path), PurePosixPath(wish.path))]
    if not found and not wish.optional:
        kind = "file of the form" if is_pattern(wish.path) else "file"
        raise HubError(f"{listing.hub_id} (revision {repository.revision}) has no {kind} {wish.path}")
    return found


def _check(wish: ModelFile, file: HubFile, listing: HubListing) -> None:
    where = f"{listing.hub_id}: {file.path} at commit {listing.commit[:12]}"
    if wish.bytes is not None and wish.bytes != file.bytes:
        raise HubError(f"{where} has {file.bytes} bytes, the card says {wish.bytes}: it is another model")
    if None not in (wish.sha256, file.sha256) and wish.sha256 != file.sha256:
        raise HubError(f"{where} has sha256 {file.sha256}, the card says {wish.sha256}: it is another model")


def _check_disk(plan: Plan, absent: list[PlannedFile]) -> None:
    needed = 0
    for item in absent:
        partial = _partial(item, plan.folder / item.path)
        needed += item.file.bytes - (min(item.file.bytes, partial.stat().st_size) if partial.is_file() else 0)
    free = shutil.disk_usage(plan.folder).free
    if needed and needed + SPARE_DISK_BYTES > free:
        raise HubError(
            f"model {plan.card.name}: {format_bytes(needed)} are still to come and {format_bytes(SPARE_DISK_BYTES)} "
            f"shall stay free, but {plan.folder} has {format_bytes(free)}"
        )


def _bring(item: PlannedFile, path: Path, hub: Hub, on_bytes: Callable[[int], None]) -> None:
    partial = _partial(item, path)
    held = partial.stat().st_size if partial.is_file() else 0
    on_bytes(held)
    hub.download(item.listing, item.file, partial, on_bytes)
    if not _is_right(item, partial) and held:
        # What lay here of an earlier attempt may have been damaged since: once from the beginning.
        on_bytes(-item.file.bytes)
        partial.unlink()
        hub.download(item.listing, item.file, partial, on_bytes)
    if not _is_right(item, partial):
        partial.unlink()
        raise HubError(
            f"{item.listing.hub_id}: {item.file.path} arrived with another hash than the hub and the card state; "
            "it was deleted, fetch the model again"
        )
    partial.replace(path)
    for stale in path.parent.glob(f".{path.name}.*{PARTIAL_SUFFIX}"):
        stale.unlink()


def _partial(item: PlannedFile, path: Path) -> Path:
    # Of this very content: a part of another revision is never continued.
    content = item.sha256 or item.file.git_sha1 or item.listing.commit
    return path.with_name(f".{path.name}.{content[:16]}{PARTIAL_SUFFIX}")


def _is_right(item: PlannedFile, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != item.file.bytes:
        return False
    if item.sha256:
        return hash_file(path, hashlib.sha256()) == item.sha256
    if item.file.git_sha1:
        # Git hashes a header with the size before the content.
        blob = hashlib.sha1(f"blob {item.file.bytes}\0".encode(), usedforsecurity=False)
        return hash_file(path, blob) == item.file.git_sha1
    return True
