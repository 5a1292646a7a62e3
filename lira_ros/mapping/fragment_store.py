"""FragmentStore: the closed fragments of a map, in memory or on disk."""

from __future__ import annotations

import mmap
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.pose import checked_transform
from lira_ros.mapping import pages
from lira_ros.mapping.fragment import BLOCK_SIZE, Fragment
from lira_ros.mapping.page_folder import PageFolder, default_parent, remove_left_behind
from lira_ros.mapping.storage import MapFile, MapFileError, write_fragment

_Result = TypeVar("_Result")

# After a write has failed, for instance because the disk is full, the next one is tried this much later.
_RETRY_S = 10.0
# When the memory exceeds the budget by this part of it, the disk is slower than the map grows: settle() waits for it.
_EXCESS_SHARE = 0.25
# Pages of mapped files count as memory of the process while they are mapped in: this much of them stays between get()
# and settle().
_MAPPED_BYTES = 16 << 20


@dataclass
class _Page:
    """A file with the voxels of a fragment as they are now; its pose may be an older one."""

    path: Path
    file: MapFile
    signature: tuple[int, ...]

    def check(self, thoroughly: bool = False) -> None:
        """Raise MapFileError, which names the file, when it was altered; ``thoroughly`` also when it seems not to be.

        A file whose name was taken away is still there where it is mapped.
        """
        try:
            signature = _signature(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise MapFileError(f"{self.path}: cannot read what was put out of memory: {error}") from error
        if signature[0] == self.signature[0] and (thoroughly or signature != self.signature):
            MapFile(self.path)
            self.signature = signature


def _signature(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@dataclass
class _Entry:
    fragment: Fragment
    resident: bool
    page: _Page | None
    lower_m: NDArray[np.float64]
    upper_m: NDArray[np.float64]


class FragmentStore:
    """Closed fragments: in memory up to a budget, the farthest ones in a file each beyond it.

    Poses, revisions, blocks and bounds of all fragments stay in memory, so moving a fragment never waits for a disk.
    Files are written and read by a thread of the store while the caller goes on; a fragment leaves the memory only
    when its file is complete. Files are map files of one fragment (storage.py), memory-mapped, in a folder that is
    removed with the store. They are plain copies of the arrays, so what comes back is bit-equal.

    Not safe for use by several threads at once.
    """

    def __init__(self, maximum_bytes: int = 0, directory: Path | None = None) -> None:
        """Make an empty store; maximum_bytes 0 keeps all voxels in memory.

        directory: where the store makes its folder once it needs one; None means TMPDIR or /var/tmp.
        """
        if maximum_bytes < 0:
            raise ValueError(f"maximum_bytes: must not be negative, got {maximum_bytes}")
        self.maximum_bytes = maximum_bytes
        self._parent = default_parent() if directory is None else Path(directory)
        self._folder: PageFolder | None = None
        self._files_made = 0
        self._entries: dict[int, _Entry] = {}
        self._executor: ThreadPoolExecutor | None = None
        self._writes: dict[int, tuple[Fragment, Path, Future[_Page]]] = {}
        self._reads: dict[int, tuple[_Page, Future[Fragment]]] = {}
        self._looked_at: OrderedDict[int, _Page] = OrderedDict()
        self._paged_out: list[int] = []
        self._returned: list[int] = []
        self._retry_after_s = -np.inf
        if maximum_bytes > 0:
            remove_left_behind(self._parent)

    # --- fragments ------------------------------------------------------------------------------------------------

    def put(self, fragment: Fragment) -> None:
        """Take a fragment, new or a newer revision of a known id.

        Voxels that lie in a map file are copied, into memory as far as the budget reaches, otherwise to a file of the
        store. Raises MapFileError when that cannot be written; the store is as it was.
        """
        resident, page = True, None
        if _is_mapped(fragment):
            room = self.maximum_bytes - self._resident_bytes()
            if self.maximum_bytes == 0 or fragment.nbytes <= room:
                fragment = _copied(fragment)
            else:
                page = _written(fragment, self._new_path())
                resident, fragment = False, _with_voxels_of(fragment, page.file)
        self._forget_files(fragment.id)
        self._entries[fragment.id] = _Entry(fragment, resident, page, *_bounds_m(fragment))

    def get(self, fragment_id: int) -> Fragment:
        """Return a fragment; the voxels of one on disk are read-only memory maps of its file.

        Raises KeyError for an unknown id, MapFileError when the file was altered.
        """
        entry = self._entries[fragment_id]
        if not entry.resident and entry.page is not None:
            entry.page.check()
            self._looked_at[fragment_id] = entry.page
            self._looked_at.move_to_end(fragment_id)
            self._release(_MAPPED_BYTES)
        return entry.fragment

    def move(self, fragment_id: int, T_map_fragment: NDArray[np.float64]) -> Fragment:
        """Give a fragment another (4, 4) pose and the next revision and return it; no voxel is read or copied.

        Raises KeyError for an unknown id, ValueError for what is not a pose.
        """
        entry = self._entries[fragment_id]
        checked_transform(T_map_fragment, f"pose of fragment {fragment_id}")
        pose = np.array(T_map_fragment, dtype=np.float64)
        entry.fragment = replace(entry.fragment, T_map_fragment=pose, revision=entry.fragment.revision + 1)
        entry.lower_m, entry.upper_m = _bounds_m(entry.fragment)
        return entry.fragment

    def block_coordinates(self, fragment_id: int) -> NDArray[np.int32]:
        """Return the (B, 3) blocks of a fragment in its own frame; always in memory."""
        return self._entries[fragment_id].fragment.block_coordinates

    def pose(self, fragment_id: int) -> NDArray[np.float64]:
        """Return the (4, 4) T_map_fragment; always in memory."""
        return self._entries[fragment_id].fragment.T_map_fragment

    def bounds_m(self, fragment_id: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lower and the upper corner (3,) [m] of a box along the map's axes around a fragment."""
        entry = self._entries[fragment_id]
        return entry.lower_m, entry.upper_m

    def ids(self) -> tuple[int, ...]:
        """Return the ids of all fragments, ascending."""
        return tuple(sorted(self._entries))

    def is_resident(self, fragment_id: int) -> bool:
        """Return whether the voxels of a fragment are in memory; raises KeyError for an unknown id."""
        return self._entries[fragment_id].resident

    def remove(self, ids: Iterable[int]) -> None:
        """Forget fragments and their files; unknown ids are ignored."""
        for fragment_id in ids:
            self._forget_files(fragment_id)
            self._entries.pop(fragment_id, None)

    def clear(self) -> None:
        """Forget all fragments and their files."""
        self.remove(self.ids())
        self._paged_out.clear()
        self._returned.clear()

    def close(self) -> None:
        """Forget all fragments and remove the folder; voxels that somebody still holds stay readable."""
        self.clear()
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def statistics(self) -> dict[str, int]:
        """Return counts of fragments and of bytes of voxels, in memory and on disk."""
        resident = [entry.fragment.nbytes for entry in self._entries.values() if entry.resident]
        paged = [entry.fragment.nbytes for entry in self._entries.values() if not entry.resident]
        return {
            "resident_fragments": len(resident),
            "paged_fragments": len(paged),
            "resident_bytes": sum(resident),
            "paged_bytes": sum(paged),
        }

    # --- memory and disk ------------------------------------------------------------------------------------------

    def settle(
        self, position_m: NDArray[np.floating], reach_m: float, finish: bool = False
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Keep the memory within the budget around a position (3,) [m] of the map.

        Beyond the budget the farthest fragments go to disk, by the distance of their boxes; those within ``reach_m``
        go last, the oldest of them first. What is within reach comes back as far as there is room, one fragment with
        each call, as what is made of it takes memory as well. This starts the work and takes in what was finished since
        the last call; with ``finish`` all of it is waited for.

        Returns the ids that went to disk and those that came back since the last call. Raises MapFileError that names
        the file when one could not be written or read; its fragment stays where it was, and it is tried again later.
        """
        if self.maximum_bytes == 0:
            return (), ()
        self._release(0)
        self._collect()
        while True:
            self._start(np.asarray(position_m, dtype=np.float64), reach_m)
            if not self._writes and not self._reads:
                break
            excess = self._resident_bytes() - self.maximum_bytes
            if not finish and (not self._writes or excess <= _EXCESS_SHARE * self.maximum_bytes):
                break
            writes = [write for _, _, write in self._writes.values()]
            wait(writes if finish else writes[:1])
            if finish:
                wait([read for _, read in self._reads.values()])
            self._collect()
        result = tuple(self._paged_out), tuple(self._returned)
        if self._paged_out:
            self._submit(pages.trim)
        self._paged_out.clear()
        self._returned.clear()
        return result

    def _resident_bytes(self) -> int:
        return sum(entry.fragment.nbytes for entry in self._entries.values() if entry.resident)

    def _release(self, remaining_bytes: int) -> None:
        held = sum(self._entries[fragment_id].fragment.nbytes for fragment_id in self._looked_at)
        while self._looked_at and held > remaining_bytes:
            fragment_id, page = self._looked_at.popitem(last=False)
            held -= self._entries[fragment_id].fragment.nbytes
            page.file.release()

    def _start(self, position_m: NDArray[np.float64], reach_m: float) -> None:
        ids = [fragment_id for fragment_id in self._entries if fragment_id not in self._writes]
        entries = [self._entries[fragment_id] for fragment_id in ids]
        resident = sum(entry.fragment.nbytes for entry in entries if entry.resident)
        if resident <= self.maximum_bytes and all(entry.resident for entry in entries):
            return
        lower_m, upper_m = np.array([e.lower_m for e in entries]), np.array([e.upper_m for e in entries])
        outside_m = np.maximum(np.maximum(lower_m - position_m, position_m - upper_m), 0.0)
        distance_m = np.maximum(np.linalg.norm(outside_m, axis=1) - reach_m, 0.0)
        order = np.lexsort((-np.array(ids), distance_m))
        # The nearest that fit are wanted in memory.
        wanted = np.cumsum([entries[i].fragment.nbytes for i in order]) <= self.maximum_bytes
        coming = [ids[i] for i in order[wanted] if distance_m[i] == 0.0 and not entries[i].resident]
        total = resident + sum(self._entries[fragment_id].fragment.nbytes for fragment_id in coming)
        for i in order[::-1]:
            if total <= self.maximum_bytes:
                break
            if entries[i].resident and self._put_out(ids[i]):
                total -= entries[i].fragment.nbytes
        if coming and self._resident_bytes() + self._entries[coming[0]].fragment.nbytes <= self.maximum_bytes:
            self._bring_back(coming[0])

    def _put_out(self, fragment_id: int) -> bool:
        # Returns whether the voxels are out of memory or on their way.
        entry = self._entries[fragment_id]
        if entry.page is not None:
            try:
                entry.page.check()
            except MapFileError:  # written again, as the voxels are still in memory
                self._forget_files(fragment_id)
                entry.page = None
            else:
                self._use_page(fragment_id, entry.page)
                return True
        if time.monotonic() < self._retry_after_s:
            return False
        try:
            path = self._new_path()
        except MapFileError:
            self._retry_after_s = time.monotonic() + _RETRY_S
            raise
        self._writes[fragment_id] = entry.fragment, path, self._submit(_written, entry.fragment, path)
        return True

    def _bring_back(self, fragment_id: int) -> None:
        entry = self._entries[fragment_id]
        if self._reads or entry.page is None or time.monotonic() < self._retry_after_s:
            return
        self._reads[fragment_id] = entry.page, self._submit(_read_back, entry.page, entry.fragment)

    def _collect(self) -> None:
        problems: list[str] = []
        for fragment_id, (fragment, path, future) in list(self._writes.items()):
            if future.done():
                del self._writes[fragment_id]
                try:
                    page = future.result()
                except MapFileError as error:
                    problems.append(f"{error}; fragment {fragment_id} stays in memory")
                    continue
                entry = self._entries.get(fragment_id)
                if entry is None or entry.fragment.tsdf is not fragment.tsdf:  # removed or changed meanwhile
                    path.unlink(missing_ok=True)
                    continue
                self._use_page(fragment_id, page)
        for fragment_id, (page, read) in list(self._reads.items()):
            if read.done():
                del self._reads[fragment_id]
                entry = self._entries.get(fragment_id)
                try:
                    copy = read.result()
                except (MapFileError, MemoryError) as error:
                    problems.append(f"fragment {fragment_id} cannot come back into memory: {error}")
                    continue
                if entry is not None and entry.page is page and not entry.resident:
                    entry.fragment = _with_voxels(entry.fragment, copy)
                    entry.resident = True
                    self._looked_at.pop(fragment_id, None)
                    page.file.release()
                    self._returned.append(fragment_id)
        if problems:
            self._retry_after_s = time.monotonic() + _RETRY_S
            raise MapFileError("; ".join(problems))

    def _use_page(self, fragment_id: int, page: _Page) -> None:
        entry = self._entries[fragment_id]
        entry.page = page
        entry.fragment = _with_voxels_of(entry.fragment, page.file)
        entry.resident = False
        self._paged_out.append(fragment_id)

    def _forget_files(self, fragment_id: int) -> None:
        self._looked_at.pop(fragment_id, None)
        entry = self._entries.get(fragment_id)
        if entry is not None and entry.page is not None:
            entry.page.path.unlink(missing_ok=True)

    def _new_path(self) -> Path:
        if self._folder is not None and not self._folder.path.is_dir():
            self._folder = None  # somebody removed it; what is mapped is still there
        if self._folder is None:
            try:
                self._folder = PageFolder(self._parent)
            except OSError as error:
                raise MapFileError(f"{self._parent}: cannot put fragments out of memory: {error}") from error
        self._files_made += 1
        return self._folder.path / f"{self._files_made}.lira"

    def _submit(self, function: Callable[..., _Result], *arguments: object) -> Future[_Result]:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="fragment_store")
        return self._executor.submit(function, *arguments)


def _written(fragment: Fragment, path: Path) -> _Page:
    write_fragment(path, fragment)
    file = MapFile(path, verify=False)
    try:
        return _Page(path, file, _signature(path))
    except OSError as error:
        raise MapFileError(f"{path}: cannot read what was put out of memory: {error}") from error


def _read_back(page: _Page, fragment: Fragment) -> Fragment:
    page.check(thoroughly=True)  # all of it is read anyway
    return _copied(_with_voxels_of(fragment, page.file))


def _with_voxels_of(fragment: Fragment, file: MapFile) -> Fragment:
    (mapped,) = file.state.fragments
    return _with_voxels(fragment, mapped)


def _with_voxels(fragment: Fragment, other: Fragment) -> Fragment:
    return replace(
        fragment,
        tsdf=other.tsdf,
        weight=other.weight,
        color=other.color,
        label=other.label,
        label_confidence=other.label_confidence,
    )


def _copied(fragment: Fragment) -> Fragment:
    def copied(array: NDArray) -> NDArray:
        result = pages.empty(array.shape, array.dtype)
        result[:] = array
        return result

    return replace(
        fragment,
        tsdf=copied(fragment.tsdf),
        weight=copied(fragment.weight),
        color=copied(fragment.color),
        label=None if fragment.label is None else copied(fragment.label),
        label_confidence=None if fragment.label_confidence is None else copied(fragment.label_confidence),
    )


def _is_mapped(fragment: Fragment) -> bool:
    owner: object = fragment.tsdf
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    return isinstance(owner, mmap.mmap) and not isinstance(owner, pages.Memory)


def _bounds_m(fragment: Fragment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    T = fragment.T_map_fragment
    if len(fragment.block_coordinates) == 0:
        return T[:3, 3].copy(), T[:3, 3].copy()
    lower = fragment.block_coordinates.min(axis=0) * BLOCK_SIZE - 0.5
    upper = (fragment.block_coordinates.max(axis=0) + 1) * BLOCK_SIZE - 0.5
    centre_m = T[:3, :3] @ (0.5 * (lower + upper) * fragment.voxel_size_m) + T[:3, 3]
    half_m = np.abs(T[:3, :3]) @ (0.5 * (upper - lower) * fragment.voxel_size_m)
    return centre_m - half_m, centre_m + half_m
