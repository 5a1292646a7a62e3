"""Package metadata of lira_ros. It lives here and not in pyproject.toml, because colcon reads only this place."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
NODES = (
    "mapping_node",
    "reasoning_node",
    "fusion_node",
    "tracking_node",
    "planning_node",
    "replay_node",
    "web_node",
    "view_node",
    "suite",
)


def version() -> str:
    """Return the version that lira_ros/__init__.py states."""
    for line in (HERE / "lira_ros" / "__init__.py").read_text(encoding="utf-8").splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise RuntimeError("lira_ros/__init__.py states no __version__")


def share(folder: str) -> list[tuple[str, list[str]]]:
    """Return a folder of the repository, with all folders below, as entries of data_files under share/lira_ros."""
    files: dict[str, list[str]] = {}
    for path in sorted((HERE / folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            relative = path.relative_to(HERE)
            files.setdefault(f"share/lira_ros/{relative.parent}", []).append(str(relative))
    return sorted(files.items())


setup(
    name="lira_ros",
    version=version(),
    description="Map only the instances that conform to an instruction, while the robot moves",
    maintainer="lira_ros developers",
    maintainer_email="lira_ros@example.org",
    license="Apache-2.0",
    packages=find_packages(include=["lira_ros", "lira_ros.*"]),
    package_data={
        "lira_ros": ["**/*.json", "**/*.yaml", "**/*.txt", "**/*.csv", "**/*.html", "web/static/*", "py.typed"]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/lira_ros"]),
        ("share/lira_ros", ["package.xml"]),
        *share("launch"),
        *share("config"),
        *share("models"),
    ],
    python_requires=">=3.10",
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "lira = lira_ros.cli.main:main",
            *(f"{node} = lira_ros.nodes.{node}:main" for node in NODES),
        ]
    },
)
