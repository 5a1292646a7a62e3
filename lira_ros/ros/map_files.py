"""The services save_map and load_map: names instead of paths, codes instead of exceptions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lira_msgs.srv import LoadMap, SaveMap
from lira_ros.mapping import mesh_files
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.storage import MapFileError

MAP_NAME = re.compile(r"(?!\.)[A-Za-z0-9_.-]{1,128}")  # as SaveMap.srv says
EXPORTS = ("ply", "glb")


class MapFiles:
    """Reads and writes the maps of one folder; used in the worker thread."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).expanduser()

    def _path(self, name: str, ending: str) -> Path:
        return self._folder / (name + ending)

    @staticmethod
    def _refuses(name: str, response: SaveMap.Response | LoadMap.Response) -> bool:
        if MAP_NAME.fullmatch(name) is not None:
            return False
        response.code = response.NAME_INVALID
        response.message = f"name: expected 1 to 128 of A-Z, a-z, 0-9, _ . - without a leading dot, got {name[:150]!r}"
        return True

    def save(self, mapper: Mapper, name: str, exports: Sequence[str], response: SaveMap.Response) -> None:
        """Write <name>.liramap (to be loaded again) and what is exported beside it."""
        if self._refuses(name, response):
            return
        if not mapper.fragments():
            response.code, response.message = response.EMPTY_MAP, "there is no map yet: no frame was mapped"
            return
        unknown = [kind for kind in exports if kind not in EXPORTS]
        if unknown:
            response.code = response.EXPORT_INVALID
            response.message = f"exports: expected any of {', '.join(EXPORTS)}, got {unknown[0][:80]!r}"
            return
        map_path = self._path(name, ".liramap")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            count = mapper.save(map_path)
            files = [map_path]
            if exports:
                surface = mapper.mesh()
            if "ply" in exports:
                files.append(self._path(name, ".ply"))
                mesh_files.write_ply(files[-1], surface)
            if "glb" in exports:
                files.append(self._path(name, ".glb"))
                mesh_files.write_glb(files[-1], surface, mapper.up)
        except (MapFileError, OSError, ValueError) as error:
            response.code, response.message = response.WRITE_FAILED, f"{map_path}: {error}"
            return
        response.success, response.code = True, response.OK
        response.files = [str(path.absolute()) for path in files]
        response.message = f"saved {count} fragments to {' and '.join(map(str, files))}"

    def load(self, mapper: Mapper, name: str, response: LoadMap.Response) -> tuple[Fragment, ...]:
        """Replace the map by that of <name>.liramap and return its fragments, none when it was refused."""
        if self._refuses(name, response):
            return ()
        path = self._path(name, ".liramap")
        if not path.is_file():
            response.code, response.message = response.NOT_FOUND, f"{path}: there is no such map"
            return ()
        try:
            fragments = mapper.load(path)
        except MapFileError as error:
            response.code, response.message = response.FILE_BROKEN, str(error)
            return ()
        response.success, response.code = True, response.OK
        response.message = f"loaded {len(fragments)} fragments from {path}"
        return fragments
