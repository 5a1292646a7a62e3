"""The services save_map and load_map: names instead of paths, codes instead of exceptions, all nodes in one file."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from rclpy.task import Future as RosFuture

from lira_msgs.srv import LoadMap, SaveMap
from lira_ros.configuration import parameter
from lira_ros.fusion.map_export import glb_with_instances, json_of
from lira_ros.fusion.map_state import SavedInstances, read_instances
from lira_ros.mapping.distance_field import DistanceSlice
from lira_ros.mapping.kept_keyframes import KeptKeyframes
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.mesh_files import ply_to
from lira_ros.mapping.nav2_map import nav2_files
from lira_ros.mapping.storage import MapFile, MapFileError, MapState, write
from lira_ros.mapping.surface import Mesh
from lira_ros.ros.free_space_output import FreeSpaceConfiguration
from lira_ros.ros.map_output import MapOutput
from lira_ros.ros.node import LiraNode
from lira_ros.ros.state_services import OtherStates
from lira_ros.state.columns import StateError
from lira_ros.state.guarded_folder import FolderError, GuardedFolder

MAP_NAME = re.compile(r"(?!\.)[A-Za-z0-9_.-]{1,128}")  # as SaveMap.srv says
EXPORTS = ("ply", "glb", "json", "nav2")


@dataclass(frozen=True)
class MapFilesConfiguration:
    """Where maps are kept, and what goes into them."""

    map_directory: str = parameter("~/.ros/lira_maps", "Folder of the files of save_map and load_map")
    map_keyframe_mib: int = parameter(
        128,
        "Most memory of the keyframes that are saved with a map, as they are sent [MiB], about 3 for ten at 640x480; "
        "the oldest are left out first",
        minimum=0,
        maximum=100_000,
    )
    state_timeout_s: float = parameter(
        20.0,
        "How long the other nodes are waited for when a map is saved or loaded [s]; then it goes without them",
        minimum=0.1,
        maximum=600.0,
    )


@dataclass(frozen=True)
class _Snapshot:
    """What is written while mapping goes on.

    surface, distances: where an export needs them. problems: why one has none.
    """

    state: MapState
    surface: Mesh | None
    distances: DistanceSlice | None
    problems: tuple[str, ...]


class MapFiles:
    """Saves and loads the maps of one folder, one after the other; its coroutines run in the executor thread.

    The worker only takes a snapshot and takes over a map that was read; files are read and written in a thread, and
    other nodes are waited for without keeping anybody waiting.
    """

    def __init__(
        self,
        node: LiraNode,
        folder: str,
        state_timeout_s: float,
        free_space: FreeSpaceConfiguration,
        others: OtherStates,
    ) -> None:
        self._node = node
        self._folder = GuardedFolder(Path(folder).expanduser())
        self._timeout_s = state_timeout_s
        self._free_space = free_space
        self._others = others
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="map_files")
        self._busy: RosFuture | None = None
        self.is_loading = False  # the map is one that others do not know yet: nothing of it is published

    def close(self) -> None:
        """End the thread when what it writes is written."""
        self._thread.shutdown(wait=False)

    async def _turn(self) -> RosFuture:
        """Wait until no other map is saved or loaded; returns what is to be set when this is done."""
        while self._busy is not None:
            await self._busy
        self._busy = RosFuture()
        return self._busy

    def _end(self, turn: RosFuture) -> None:
        self._busy = None
        turn.set_result(None)

    @staticmethod
    def _refuses(name: str, response: SaveMap.Response | LoadMap.Response) -> bool:
        if MAP_NAME.fullmatch(name) is not None:
            return False
        response.code = response.NAME_INVALID
        response.message = f"name: expected 1 to 128 of A-Z, a-z, 0-9, _ . - without a leading dot, got {name[:150]!r}"
        return True

    # ---- saving ------------------------------------------------------------------------------------------------

    async def save(
        self,
        request: SaveMap.Request,
        response: SaveMap.Response,
        mapper: Mapper,
        output: MapOutput,
        kept: KeptKeyframes,
        close_fragment: Callable[[], None],
    ) -> None:
        """Write <name>.liramap and what is exported beside it."""
        if self._refuses(request.name, response):
            return
        unknown = [kind for kind in request.exports if kind not in EXPORTS]
        if unknown:
            response.code = response.EXPORT_INVALID
            response.message = f"exports: expected any of {', '.join(EXPORTS)}, got {unknown[0][:80]!r}"
            return
        turn = await self._turn()
        try:
            session = output.session

            def is_empty() -> bool:
                close_fragment()
                return not mapper.fragments()

            if await self._node.in_worker(is_empty):
                response.code, response.message = response.EMPTY_MAP, "there is no map yet: no frame was mapped"
                return
            # The others first: what they know is of keyframes that the map then knows as well.
            parts, problems = await self._others.collect(session, self._timeout_s)

            def snapshot() -> _Snapshot:
                close_fragment()
                if output.session != session:
                    problems.append("a new session began meanwhile: neither instances nor instructions were saved")
                    parts.clear()
                return self._snapshot(mapper, kept, parts, request.exports)

            taken = await self._node.in_worker(snapshot)
            await self._node.until(
                self._thread.submit(self._write, taken, request.name, tuple(request.exports), response)
            )
            response.message = "; ".join((response.message, *problems))
        finally:
            self._end(turn)

    def _snapshot(
        self, mapper: Mapper, kept: KeptKeyframes, parts: Mapping[str, bytes], exports: list[str]
    ) -> _Snapshot:
        state = mapper.snapshot()
        state = replace(state, keyframes=kept.placed(state.keyframe_poses), parts=dict(parts))
        surface = mapper.mesh() if {"ply", "glb"} & set(exports) else None
        distances, problems = None, []
        if "nav2" in exports:
            c = self._free_space
            try:
                resolution_m = max(c.resolution_m, mapper.configuration.voxel_size_m)
                distances = mapper.distance_slice(c.bottom_m, c.top_m, resolution_m, unknown=c.unknown)
            except ValueError as error:
                problems.append(f"nav2: {error}")
        return _Snapshot(state, surface, distances, tuple(problems))

    def _write(self, taken: _Snapshot, name: str, exports: tuple[str, ...], response: SaveMap.Response) -> None:
        written: list[str] = []
        problems = list(taken.problems)

        def put(ending: str, fill: Callable[..., object]) -> None:
            self._folder.write(name + ending, fill)
            written.append(str(self._folder.path_of(name + ending).absolute()))

        try:
            put(".liramap", lambda file: write(file, taken.state))
            for kind in dict.fromkeys(exports):
                try:
                    for ending, data in self._exported(kind, taken, name).items():
                        put(ending, data)
                except (ValueError, StateError) as error:
                    problems.append(f"{kind}: {error}")
        except (FolderError, MapFileError, ValueError) as error:
            response.code, response.message, response.files = response.WRITE_FAILED, str(error), written
            return
        response.success, response.code, response.files = True, response.OK, written
        count, keyframes = len(tuple(taken.state.fragments)), len(taken.state.keyframes)
        said = [f"saved {count} fragments and {keyframes} keyframes to {' and '.join(written)}", *problems]
        response.message = "; ".join(said)

    def _exported(self, kind: str, taken: _Snapshot, name: str) -> dict[str, Callable[..., object]]:
        """Return what fills each file of an export, by ending; {} for one of which it was said why it cannot be."""
        surface = taken.surface
        if kind == "ply" and surface is not None:
            return {".ply": lambda file: ply_to(file, surface)}
        if kind == "glb" and surface is not None:
            glb = glb_with_instances(surface, taken.state.up, _instances(taken.state))
            return {".glb": lambda file: file.write(glb)}
        if kind == "json":
            saved = _instances(taken.state)
            if saved is None:
                raise ValueError("there are no instances to be written")
            return {".json": lambda file: file.write(json_of(saved))}
        if kind == "nav2" and taken.distances is not None:
            image, text = nav2_files(taken.distances, f"{name}.pgm")
            return {".pgm": lambda file: file.write(image), ".yaml": lambda file: file.write(text.encode())}
        return {}

    # ---- loading -----------------------------------------------------------------------------------------------

    async def load(
        self,
        request: LoadMap.Request,
        response: LoadMap.Response,
        mapper: Mapper,
        output: MapOutput,
        kept: KeptKeyframes,
        frame_id: str,
        begin: Callable[[int], None],
    ) -> None:
        """Replace the map by that of <name>.liramap.

        begin(session): is called in the worker when mapping goes on with the loaded map under a new session.
        """
        if self._refuses(request.name, response):
            return
        turn = await self._turn()
        try:
            path = self._folder.path_of(f"{request.name}.liramap")
            try:
                file = await self._node.until(self._thread.submit(self._read, path.name))
                await self._node.in_worker(functools.partial(self._take, file, path, mapper, kept))
            except FileNotFoundError:
                response.code, response.message = response.NOT_FOUND, f"{path}: there is no such map"
                return
            except (FolderError, MapFileError) as error:
                response.code, response.message = response.FILE_BROKEN, str(error)
                return
            parts = {name: bytes(data) for name, data in file.state.parts.items()}
            session = output.next_session()
            said, problems = await self._others.give_back(session, frame_id, parts, self._timeout_s)
            await self._node.in_worker(functools.partial(begin, session))
            response.success, response.code = True, response.OK
            counts = f"{len(mapper.fragments())} fragments and {len(kept)} keyframes"
            if file.version < 3:
                problems = [f"the file is of version {file.version}, which has nothing but the map"]
            response.message = "; ".join((f"loaded {counts} from {path}", *said, *problems))
        finally:
            self.is_loading = False
            self._end(turn)

    def _read(self, name: str) -> MapFile:
        with self._folder.reading(name) as file:
            return MapFile(self._folder.path_of(name), opened=file)

    def _take(self, file: MapFile, path: Path, mapper: Mapper, kept: KeptKeyframes) -> None:
        mapper.restore(file.state, path)
        self.is_loading = True
        kept.restore(
            replace(keyframe, color=bytes(keyframe.color), depth=bytes(keyframe.depth))
            for keyframe in file.state.keyframes
        )


def _instances(state: MapState) -> SavedInstances | None:
    part = state.parts.get("instances")
    return None if part is None else read_instances(bytes(part))
