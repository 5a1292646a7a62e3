"""Generated homes as they are learned from: keyframes with true instances, drawn once and kept in files."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lira_ros.configuration import ConfigurationError
from lira_ros.datasets.rooms.pose_errors import POSE_ERRORS
from lira_ros.datasets.rooms.room import split_of
from lira_ros.datasets.rooms.sensor import SENSORS
from lira_ros.datasets.rooms.sequence import RoomSequence
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.gravity import UP_AXES
from lira_ros.library_threads import ONE_THREAD
from lira_ros.mapping.atomic_file import partial_file
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.keyframes import KeyframeSelector

# What may be learned from, and what a training may be judged by. Homes to be tested with are for neither.
SPLITS = ("train", "validation")
# Frames among which keyframes are chosen, as in the evaluation of instances; 6 a second give 1.6 times as many.
RATE_HZ = 3.0
# A quarter of the pixels of 640 x 480 and of the time to draw them; 5 mm a pixel at 1.3 m are still below a voxel.
WIDTH_PX = 320
# Layout of the files; to be raised with it.
FILE_FORMAT = 1
# Sensors count whole millimetres, so their depth is kept as numbers of them.
_MILLIMETRE = np.float32(0.001)


@dataclass(frozen=True)
class HomeObject:
    """What is known of a true object: id as in the instance images, label, and attributes ("color", "supported_by")."""

    id: int
    label: str
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class HomeRecording:
    """The keyframes of a walk through a generated home, with the truth.

    seed: of the home. pose_errors: what was reported for its true poses. keyframes: as the mapper chooses and describes
    them, up +z and the floor at its true height. instance_images: (K, H, W) uint16 ids of objects, 0 = none.
    objects: all objects of the home, also those that no keyframe shows.
    """

    seed: int
    pose_errors: str
    keyframes: tuple[Keyframe, ...]
    instance_images: NDArray[np.uint16]
    objects: tuple[HomeObject, ...]


def pose_errors_of(seed: int) -> str:
    """Return the pose errors that a home is recorded with unless told otherwise: "noise" for every second seed."""
    return "none" if seed % 2 else "noise"


def check_seed(seed: int, splits: Iterable[str] = SPLITS) -> None:
    """Raise ConfigurationError for a home that does not belong to one of the splits."""
    allowed = tuple(splits)
    if seed < 0 or split_of(seed) not in allowed:
        what = f"belongs to the split {split_of(seed)}" if seed >= 0 else "is negative"
        raise ConfigurationError(
            f"home {seed} {what}: expected a seed of {' or '.join(allowed)} (train: 1 to 999, validation: 1000 to 1999)"
        )


def record_home(
    seed: int, pose_errors: str = "none", sensor: str = "kinect", width_px: int = WIDTH_PX
) -> HomeRecording:
    """Walk through a home and draw the keyframes, and nothing else.

    Raises ConfigurationError for seeds of neither SPLITS, SequenceError for what RoomSequence does not know.
    """
    check_seed(seed)
    sequence = RoomSequence(seed, RATE_HZ, width_px, sensor=sensor, pose_errors=pose_errors)
    rule = MappingConfiguration()
    selector = KeyframeSelector(rule.keyframe_angle_deg, rule.keyframe_distance_m)
    # The lowest surface is the floor, which the mapper finds with the first keyframes.
    floor_height_m = float(sequence.room.mesh.vertices[:, 2].min())
    keyframes, instance_images = [], []
    for index in range(len(sequence)):
        identity = selector.select(sequence.reported_pose(index))
        if identity is not None:
            keyframes.append(Keyframe(identity, sequence.frame(index), UP_AXES["+z"], floor_height_m))
            instance_images.append(np.asarray(sequence.instance_image(index), dtype=np.uint16))
    objects = tuple(
        HomeObject(item.id, item.label, {"color": item.color, "supported_by": str(item.supported_by)})
        for item in sequence.room.objects
    )
    return HomeRecording(seed, pose_errors, tuple(keyframes), np.stack(instance_images), objects)


class HomeStore:
    """Recordings of homes in a folder, one compressed file each; what is missing is drawn and kept.

    Several processes may use one folder. Files are read without pickles. After a change of the room generator the
    folder has to be emptied.
    """

    def __init__(self, folder: str | Path, sensor: str = "kinect", width_px: int = WIDTH_PX) -> None:
        """Use a folder, made when it is missing; raises ConfigurationError for an unknown sensor."""
        if sensor not in SENSORS:
            raise ConfigurationError(f"sensor: expected {', '.join(SENSORS)}, got {sensor}")
        self.folder = Path(folder)
        self.sensor = sensor
        self.width_px = width_px
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, seed: int, pose_errors: str | None = None) -> Path:
        """Return where a home is kept. pose_errors: pose_errors_of() unless given."""
        errors = pose_errors_of(seed) if pose_errors is None else pose_errors
        return self.folder / f"home-{seed:04d}-{errors}-{self.sensor}-{self.width_px}.npz"

    def get(self, seed: int, pose_errors: str | None = None) -> HomeRecording:
        """Return a home from its file, or draw and keep it. pose_errors: pose_errors_of() unless given.

        Raises ConfigurationError for seeds of neither SPLITS and for a file that cannot be read, naming it.
        """
        check_seed(seed)
        errors = pose_errors_of(seed) if pose_errors is None else pose_errors
        if errors not in POSE_ERRORS:
            raise ConfigurationError(f"pose_errors: expected {', '.join(POSE_ERRORS)}, got {errors}")
        path = self.path(seed, errors)
        if path.is_file():
            return _read(path)
        recording = record_home(seed, errors, self.sensor, self.width_px)
        _write(path, recording)
        return recording

    def prepare(self, seeds: Iterable[int], jobs: int = 1) -> None:
        """Draw the homes that are not yet in the folder, in ``jobs`` processes of one thread each.

        Shows a progress bar on stderr. Raises ConfigurationError for seeds of neither SPLITS before anything is drawn.
        """
        if jobs < 1:
            raise ConfigurationError(f"jobs: expected at least 1, got {jobs}")
        wanted = list(dict.fromkeys(seeds))
        for seed in wanted:
            check_seed(seed)
        missing = [seed for seed in wanted if not self.path(seed).is_file()]
        if not missing:
            return
        with tqdm(total=len(missing), desc="homes", unit="home", file=sys.stderr, dynamic_ncols=True) as bar:
            if jobs == 1:
                for seed in missing:
                    self.get(seed)
                    bar.update()
                return
            context = multiprocessing.get_context("spawn")
            before = {name: os.environ.get(name) for name in ONE_THREAD}
            os.environ.update(ONE_THREAD)
            executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_interrupts_to_the_parent)
            try:
                # All processes are started by the first so many submissions, with the environment of that moment.
                arguments = (str(self.folder), self.sensor, self.width_px)
                futures = [executor.submit(_draw, *arguments, seed) for seed in missing]
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            finally:
                executor.shutdown(wait=True, cancel_futures=True)
                for name, value in before.items():
                    if value is None:
                        os.environ.pop(name, None)
                    else:
                        os.environ[name] = value


def _leave_interrupts_to_the_parent() -> None:
    # Ctrl-C reaches every process of the terminal; the parent lets the homes that are being drawn be finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw(folder: str, sensor: str, width_px: int, seed: int) -> None:
    # In a process of its own; the recording stays in its file, as handing it over costs more than reading it.
    HomeStore(folder, sensor, width_px).get(seed)


def _write(path: Path, recording: HomeRecording) -> None:
    frames = [keyframe.frame for keyframe in recording.keyframes]
    depth_m = np.stack([frame.depth_m for frame in frames])
    depth_mm = np.rint(depth_m / _MILLIMETRE).astype(np.uint16)
    whole = bool(np.array_equal(depth_mm.astype(np.float32) * _MILLIMETRE, depth_m))
    color = np.stack([frame.color for frame in frames])
    description = {
        "format": FILE_FORMAT,
        "seed": recording.seed,
        "pose_errors": recording.pose_errors,
        "camera": dataclasses.asdict(frames[0].camera),
        "floor_height_m": recording.keyframes[0].floor_height_m,
        "objects": [
            {"id": item.id, "label": item.label, "attributes": dict(item.attributes)} for item in recording.objects
        ],
    }
    with partial_file(path) as partial:
        np.savez_compressed(
            partial,
            description=np.frombuffer(json.dumps(description).encode(), dtype=np.uint8),
            ids=np.array([keyframe.id for keyframe in recording.keyframes], dtype=np.int64),
            stamps_ns=np.array([frame.stamp_ns for frame in frames], dtype=np.int64),
            poses=np.stack([frame.T_map_camera for frame in frames]),
            up=np.stack([keyframe.up for keyframe in recording.keyframes]),
            # Differences along the rows are small numbers: a quarter fewer bytes than the pictures themselves.
            color=np.diff(color, axis=2, prepend=np.uint8(0)),
            depth=np.diff(depth_mm, axis=2, prepend=np.uint16(0)) if whole else depth_m,
            instance_images=recording.instance_images,
        )


def _read(path: Path) -> HomeRecording:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        description = json.loads(arrays["description"].tobytes())
        if description["format"] != FILE_FORMAT:
            raise ValueError(f"expected format {FILE_FORMAT}, got {description['format']}")
        camera = Camera(**description["camera"])
        depth = arrays["depth"]
        if depth.dtype == np.uint16:
            depth = np.cumsum(depth, axis=2, dtype=np.uint16).astype(np.float32) * _MILLIMETRE
        color = np.cumsum(arrays["color"], axis=2, dtype=np.uint8)
        keyframes = tuple(
            Keyframe(
                int(identity),
                Frame(int(stamp_ns), color[row], depth[row], camera, arrays["poses"][row]),
                arrays["up"][row],
                float(description["floor_height_m"]),
            )
            for row, (identity, stamp_ns) in enumerate(zip(arrays["ids"], arrays["stamps_ns"], strict=True))
        )
        objects = tuple(HomeObject(item["id"], item["label"], item["attributes"]) for item in description["objects"])
        return HomeRecording(
            int(description["seed"]), str(description["pose_errors"]), keyframes, arrays["instance_images"], objects
        )
    except (ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigurationError(
            f"{path}: not a recording of a home ({type(error).__name__}: {error}); remove it to have it drawn anew"
        ) from error
