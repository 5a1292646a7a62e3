"""Mapper: frames in, keyframes, fragments and surfaces out. The one owner of the map."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import DepthUnitCheck
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.gravity import UP_AXES, GravityEstimator
from lira_ros.geometry.pose import checked_transform, inverse
from lira_ros.mapping import storage, voxel
from lira_ros.mapping.composition import Composition, add_records
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.devices import choose_device
from lira_ros.mapping.distance_field import DistanceSlice, Slab, distance_slice
from lira_ros.mapping.fragment import BLOCK_SIZE, Fragment
from lira_ros.mapping.fragment_store import FragmentStore
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.keyframes import FrameTracks, KeyframeSelector, motion, rigid_fit, spread_corrections
from lira_ros.mapping.lira_volume import LiraVolume, blocks_within, frustum_bounds, lira_volume, volume_origin
from lira_ros.mapping.open_fragment import OpenFragment
from lira_ros.mapping.surface import BlockMesh, Mesh, PointCloud, SurfaceMesh, draw_blocks
from lira_ros.mapping.tsdf import BYTES_PER_BLOCK, MapLimit, Volume, memory_share_bytes
from lira_ros.mapping.views import View, cast_view, look_up_depth_labels, look_up_labels, splat_view

# Frames over which statistics() averages: ten seconds of a 30 Hz camera.
_TIMED_FRAMES = 300
# Cameras whose depth unit is watched; more than that are one camera whose calibration keeps changing.
_WATCHED_CAMERAS = 16
# Cameras of one robot reach the map in this order or another; what is later than this comes from another clock.
_REORDER_NS = 1_000_000_000
# A fragment that was closed is put away over the next frames: at least so many blocks with each and at least this part
# of it, and more while the frame has taken less than this. At 2 cm a frame takes about 3 ms, the longest may take 15.
_CLOSING_BLOCKS = 512
_CLOSING_SHARE = 1.0 / 8.0
_CLOSING_UNTIL_S = 0.008
# How often it is looked whether the memory is within its budget; a frame adds some MB at most.
_SETTLE_FRAMES = 10
# Far fragments leave the memory before this part of the blocks is in use, so that there is room for what is near.
_BLOCK_SHARE = 0.9
# Part of the budget for what nobody counts: temporary arrays, tables, files while they are read, and what is added
# until it is looked again. On a walk through generated rooms (benchmark/memory.py) it came to 110 MB of 512 at most.
_UNCOUNTED_SHARE = 1.0 / 4.0
# A loaded map may first take this part of the budget: its composition and mesh need about three times as much.
_LOADED_SHARE = 0.25
# Blocks of fragments on disk are composed for a moment where all of the map is asked for: at most so many at once, or
# this part of the budget.
_REGION_BLOCKS = 4096
_REGION_SHARE = 1.0 / 16.0
# Blocks that refresh_surface() composes and draws at once: at 2 cm 50 to 75 us each, their neighbours included.
_REFRESHED_BLOCKS = 2048
# The blocks on each side of one take part in drawing its surface.
_AROUND = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)


@dataclass(frozen=True)
class MapperUpdate:
    """What one frame brought about.

    keyframe: set when the frame became one. fragment: set when one became complete with this frame; that is a few
    frames after its last keyframe when it is large. rejected: why the frame was not used, a sentence; the map is as it
    was before. warning: what went wrong although the frame was used.
    """

    keyframe: Keyframe | None = None
    fragment: Fragment | None = None
    rejected: str | None = None
    warning: str | None = None


@dataclass(frozen=True)
class CorrectionReport:
    """What came of poses that were given by stamp.

    moved: the closed fragments that moved, with their new revisions. matched, unmatched: how many of the poses belong
    to frames of the map, and how many do not. largest_m, largest_deg: farthest that a fragment moved [m] and most that
    one turned [degrees]. residual_m, residual_deg: how far the worst of the poses lies from where it was wanted, as
    fragments are rigid.
    """

    moved: tuple[Fragment, ...]
    matched: int
    unmatched: int
    largest_m: float
    largest_deg: float
    residual_m: float
    residual_deg: float


def _on(device: str, threads: int) -> tuple[Callable[[float, float, int], Volume], Callable[..., int]]:
    # The volume of the open fragment, and what draws its surface, on a device.
    if device == "cpu":
        return functools.partial(Volume, threads=threads), draw_blocks
    from lira_ros.mapping.cuda_surface import CudaDrawing
    from lira_ros.mapping.cuda_volume import CudaVolume

    return functools.partial(CudaVolume, threads=threads), CudaDrawing()


class Mapper:
    """Fuse posed RGB-D frames into fragments and keep their composition as the map.

    Each frame is integrated once, into the volume of the open fragment. A fragment closes with its n-th keyframe; its
    voxels then go into the store and the composition, a few blocks with each of the next frames. The map is the
    composition plus the open fragment, put together where it is asked for, so a frame costs the same in a small and in
    a large map.

    Fragments start with their axes along the map's and a whole number of blocks away, so their voxels coincide with
    those of the map and the composition is exact. Corrected poses move fragments, and no frame is integrated again.

    Not safe for use by several threads at once.
    """

    def __init__(self, configuration: MappingConfiguration | None = None) -> None:
        """Start with an empty map; raises ValueError for values that contradict each other.

        Raises DeviceError, a ConfigurationError, when a GPU is asked for and cannot be used.
        """
        self.configuration = configuration or MappingConfiguration()
        c = self.configuration
        if c.min_depth_m >= c.max_depth_m:
            raise ValueError(f"min_depth_m {c.min_depth_m} must be below max_depth_m {c.max_depth_m}")
        if c.integration == "open3d" and c.device == "cuda":
            raise ValueError("integration open3d runs on the device cpu only; device is cuda")
        truncation_m = c.truncation_distance_m
        # A volume without a limit of its own stops at half of the memory; so does the map.
        self._budget_bytes = c.memory_budget_mib << 20 or memory_share_bytes()
        self._region_blocks = int(np.clip(_REGION_SHARE * self._budget_bytes / BYTES_PER_BLOCK, 1, _REGION_BLOCKS))
        self._store = FragmentStore(self._budget_bytes)
        self._composition = Composition(self._store, c.voxel_size_m, truncation_m, c.max_blocks)
        self._device = "cpu" if c.integration == "open3d" else choose_device(c.device)
        volume_class, draw = _on(self._device, c.integration_threads)
        self._open = OpenFragment(self._composition, c.voxel_size_m, truncation_m, c.max_blocks, volume_class)
        self._surface = SurfaceMesh(c.mesh_weight, draw)
        self._keyframes = KeyframeSelector(c.keyframe_angle_deg, c.keyframe_distance_m)
        self._tracks = FrameTracks()
        self._gravity = GravityEstimator(c.up)
        self._revision = 0
        self._start_empty()

    def _start_empty(self) -> None:
        self._fragment_id = 1
        self._completed: deque[Fragment] = deque()
        self._jump = np.eye(4)
        self._map_blocks = 0
        self._last_stamp_ns: int | None = None
        self._camera_stamps_ns: dict[str, int] = {}
        self._frames = 0
        self._integrated = 0
        self._rejected: dict[str, int] = {"stamp": 0, "pose": 0, "depth": 0}
        self._unit_checks: dict[Camera, DepthUnitCheck] = {}
        self._refused_blocks = 0
        self._pending_dirty: list[NDArray[np.int32]] = []
        # Blocks of fragments on disk: composed for a moment, and changed but not yet drawn anew.
        self._borrowed: list[NDArray[np.int32]] = []
        self._far_dirty = np.zeros((0, 3), dtype=np.int32)
        self._milliseconds: deque[float] = deque(maxlen=_TIMED_FRAMES)
        self._longest_ms = 0.0

    @property
    def gravity(self) -> GravityEstimator:
        """Return the estimator of up and floor, which also takes measurements of an IMU and directions from TF."""
        return self._gravity

    @property
    def up(self) -> NDArray[np.float64]:
        """Return the (3,) float64 unit vector against gravity in the map frame."""
        return self._gravity.up

    @property
    def floor_height_m(self) -> float:
        """Return the height of the floor along ``up`` from the map origin [m], NaN until one has been seen."""
        return self._gravity.floor_height_m

    @property
    def revision(self) -> int:
        """Return a number that grows with every change of the map."""
        return self._revision

    @property
    def keyframe_poses(self) -> dict[int, NDArray[np.float64]]:
        """Return the (4, 4) T_map_camera of all keyframes by id, ascending, as they are after all corrections."""
        self._finish_closing()
        return {
            keyframe_id: self._pose_of(place.fragment_id) @ place.T_fragment_camera
            for keyframe_id, place in sorted(self._tracks.keyframes().items())
        }

    def fragments(self) -> tuple[Fragment, ...]:
        """Return the closed fragments, oldest first; the voxels of some may be read from disk when they are used."""
        self._finish_closing()
        return tuple(self._store.get(fragment_id) for fragment_id in self._store.ids())

    def fragment(self, fragment_id: int) -> Fragment | None:
        """Return a closed fragment, None when there is none with this id."""
        self._finish_closing()
        return self._store.get(fragment_id) if fragment_id in self._store.ids() else None

    def keyframe_pose(self, keyframe_id: int) -> NDArray[np.float64] | None:
        """Return the (4, 4) T_map_camera of a keyframe of a closed or the open fragment, None for an unknown id."""
        place = self._tracks.keyframes().get(keyframe_id)
        return None if place is None else self._pose_of(place.fragment_id) @ place.T_fragment_camera

    # --- frames in ------------------------------------------------------------------------------------------------

    def add_frame(
        self,
        frame: Frame,
        labels: NDArray[np.uint16] | None = None,
        label_confidence: NDArray[np.float32] | None = None,
    ) -> MapperUpdate:
        """Integrate one frame, with evidence for labels where given.

        labels: (H, W) uint16, 0 = none. label_confidence: (H, W) float32 > 0, 1 where not given. Frames older than
        the last one of their camera, from outside of the map's range, or without depth in range are rejected with a
        reason. Raises ValueError when the labels do not fit the image.
        """
        size = (frame.camera.height_px, frame.camera.width_px)
        for name, image in (("labels", labels), ("label_confidence", label_confidence)):
            if image is not None and image.shape != size:
                raise ValueError(f"{name}: expected shape {size} of the camera, got {image.shape}")
        started = time.perf_counter()
        rejected = self._rejection(frame)
        if rejected is not None:
            return MapperUpdate(rejected=rejected)
        self._camera_stamps_ns[frame.camera_name] = frame.stamp_ns
        self._last_stamp_ns = max(frame.stamp_ns, self._last_stamp_ns or frame.stamp_ns)
        self._frames += 1
        keyframe_id = self._keyframes.select(frame.T_map_camera, frame.camera_name)
        warning = None
        if keyframe_id is not None or (self._frames - 1) % self.configuration.integrate_every == 0:
            warning = self._integrate(frame, keyframe_id, labels, label_confidence)
        keyframe = None
        if keyframe_id is not None:
            self._gravity.add_keyframe(frame)
            self._open.keyframe_ids.append(keyframe_id)
            keyframe = Keyframe(keyframe_id, frame, self._gravity.up, self._gravity.floor_height_m)
            if len(self._open.keyframe_ids) >= self.configuration.fragment_keyframes:
                self._close()
        self._put_away(started + _CLOSING_UNTIL_S, keyframe_id is not None)
        fragment = self._completed.popleft() if self._completed else None
        if fragment is not None or self._frames % _SETTLE_FRAMES == 0:
            warning = self._settle(frame.T_map_camera[:3, 3]) or warning
        milliseconds = 1e3 * (time.perf_counter() - started)
        self._milliseconds.append(milliseconds)
        self._longest_ms = max(self._longest_ms, milliseconds)
        return MapperUpdate(keyframe, fragment, None, warning)

    def _rejection(self, frame: Frame) -> str | None:
        last_ns = self._camera_stamps_ns.get(frame.camera_name)
        if last_ns is None and self._last_stamp_ns is not None:
            last_ns = self._last_stamp_ns - _REORDER_NS
        if last_ns is not None and frame.stamp_ns < last_ns:
            self._rejected["stamp"] += 1
            behind_s = 1e-9 * (last_ns - frame.stamp_ns)
            return f"frame stamp {frame.stamp_ns} ns is {behind_s:.3f} s older than the last frame; reset to start anew"
        c = self.configuration
        reach_m = voxel.BLOCK_LIMIT * BLOCK_SIZE * c.voxel_size_m
        farthest_m = float(np.abs(frame.T_map_camera[:3, 3]).max())
        if farthest_m > reach_m - 10.0 * c.max_depth_m:
            self._rejected["pose"] += 1
            return (
                f"camera position {np.round(frame.T_map_camera[:3, 3], 1).tolist()} m is outside of the map, which "
                f"reaches {reach_m:.0f} m from its origin at {c.voxel_size_m} m voxels"
            )
        wrong_unit = self._unit_check(frame.camera).add(frame.depth_m)
        if wrong_unit is not None:
            self._rejected["depth"] += 1
            return wrong_unit
        selected = self._open.volume.select(
            frame.depth_m,
            c.min_depth_m,
            c.max_depth_m,
            not c.drop_discontinuities,
            smooth=c.depth_filter == "surface_mean",
            incidence_camera=frame.camera if "incidence" in c.weighting else None,
        )
        if selected == 0:
            self._rejected["depth"] += 1
            valid = frame.depth_m[frame.depth_m > 0]
            if len(valid) == 0:
                return "depth image has no valid pixel"
            return (
                f"no depth between {c.min_depth_m} and {c.max_depth_m} m that can be used: the image has "
                f"{float(valid.min()):.3f} to {float(valid.max()):.3f} m"
            )
        return None

    def _unit_check(self, camera: Camera) -> DepthUnitCheck:
        if camera not in self._unit_checks and len(self._unit_checks) >= _WATCHED_CAMERAS:
            self._unit_checks.clear()
        return self._unit_checks.setdefault(camera, DepthUnitCheck())

    def _integrate(
        self,
        frame: Frame,
        keyframe_id: int | None,
        labels: NDArray[np.uint16] | None,
        label_confidence: NDArray[np.float32] | None,
    ) -> str | None:
        c = self.configuration
        if self._open.frames == 0:
            self._open.start_at(frame.T_map_camera[:3, 3])
        T_fragment_camera = inverse(self._open.T_map_fragment) @ frame.T_map_camera
        base = self._composition.volume
        limit = self._limit(base)
        refused = self._fuse(frame, T_fragment_camera, labels, label_confidence, limit)
        self._map_blocks = limit.map_blocks
        # What is new to the map goes into the base when the fragment closes: spread the cost over its frames.
        base.prepare(self._map_blocks)
        self._open.note_frame(frame.stamp_ns, labels is not None)
        self._tracks.add(self._fragment_id, frame.stamp_ns, T_fragment_camera, keyframe_id, frame.camera_name)
        self._integrated += 1
        self._revision += 1
        failure = self._open.take_warning()
        if failure is not None:
            self._device = "cpu"
            return failure
        if refused == 0:
            return None
        self._refused_blocks += refused
        return (
            f"map is full: {self._map_blocks} blocks of at most {base.capacity} (max_blocks {c.max_blocks}); "
            "new space is not mapped, known space still is"
        )

    def _fuse(
        self,
        frame: Frame,
        T_fragment_camera: NDArray[np.float64],
        labels: NDArray[np.uint16] | None,
        label_confidence: NDArray[np.float32] | None,
        limit: MapLimit,
    ) -> int:
        # Put a frame into the open volume by the rules of the configuration; return how often a block was refused.
        c, volume = self.configuration, self._open.volume
        if c.integration == "open3d":
            return volume.integrate_as_open3d(
                frame.depth_m, frame.color, frame.camera, T_fragment_camera, c.max_depth_m, limit=limit
            )[1]
        return volume.integrate(
            frame.color,
            frame.camera,
            T_fragment_camera,
            c.max_depth_m,
            constant_weight="depth_noise" not in c.weighting,
            weight_cap=c.weight_cap,
            fading=c.behind_surface == "fading",
            carve_from_m=c.min_depth_m if c.free_space == "carve" else 0.0,
            stamp_s=1e-9 * frame.stamp_ns,
            half_life_s=c.decay_half_life_s,
            labels=labels,
            label_confidence=label_confidence,
            limit=limit,
        )[1]

    def _limit(self, base: Volume) -> MapLimit:
        offset = self._open.offset_blocks
        if offset is not None:
            return MapLimit(base.keys, base.values, offset, base.capacity, self._map_blocks)
        # Off the grid no block of the fragment is one of the map: count all of them.
        nothing = np.full(1, voxel.EMPTY, dtype=np.int64), np.zeros(1, dtype=np.int32)
        count = base.block_count + self._open.volume.block_count
        return MapLimit(*nothing, np.zeros(3, dtype=np.int64), base.capacity, count)

    # --- fragments ------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        self._finish_closing()
        self._collect_dirty()
        self._open.close(self._fragment_id)
        self._fragment_id += 1

    def _put_away(self, until_s: float, is_keyframe: bool) -> None:
        # Some blocks of a closed fragment with each frame, in equal parts whatever the clock says, and more in time.
        # Keyframes have enough to do: they only see to it that all is put away when the next fragment closes.
        count = self._open.closing_blocks
        share = max(_CLOSING_BLOCKS, int(_CLOSING_SHARE * count) + 1)
        if is_keyframe and count > _CLOSING_BLOCKS:
            steps = max(self.configuration.fragment_keyframes - 1, 1)
            due = count * min(len(self._open.keyframe_ids) + int(steps == 1), steps) // steps
            share = due - (count - self._open.closing_blocks_left)
            until_s = 0.0
        while self._open.is_closing and share > 0:
            self._advance(share)
            share = _CLOSING_BLOCKS
            if time.perf_counter() > until_s:
                return

    def _advance(self, blocks: int) -> None:
        fragment = self._open.advance(blocks)
        if fragment is not None:
            self._completed.append(fragment)
            self._map_blocks = self._composition.volume.block_count + self._open.volume.block_count

    def _finish_closing(self) -> None:
        while self._open.is_closing:
            self._advance(self._open.closing_blocks)

    # --- memory ---------------------------------------------------------------------------------------------------

    def _settle(self, position_m: NDArray[np.float64]) -> str | None:
        # Let far fragments go to disk and near ones come back; a sentence when a file could not be written or read.
        self._give_back()
        c = self.configuration
        composed, opened = self._composition.volume, self._open
        others = composed.bytes_used + opened.bytes_used + self._surface.bytes_used
        allowed = int((1.0 - _UNCOUNTED_SHARE) * self._budget_bytes) - others
        blocks = composed.block_count + opened.volume.block_count
        if c.max_blocks and blocks > _BLOCK_SHARE * c.max_blocks:
            near = self._near_bytes(position_m)
            resident = self._store.statistics()["resident_bytes"]
            allowed = min(allowed, max(near, int(resident * _BLOCK_SHARE * c.max_blocks / blocks)))
        self._store.maximum_bytes = max(allowed, 1)
        try:
            out, back = self._store.settle(position_m, c.max_depth_m)
        except storage.MapFileError as error:
            return str(error)
        if out:
            gone = self._composition.without_resident(self._composition.blocks_of(out))
            self._composition.forget(gone)
            self._surface.forget(gone)
        if back:
            self._pending_dirty.append(self._composition.stale_among(self._composition.blocks_of(back)))
        if out or back:
            self._map_blocks = composed.block_count + opened.volume.block_count
        return None

    def _near_bytes(self, position_m: NDArray[np.float64]) -> int:
        near = 0
        for fragment_id in self._store.ids():
            lower, upper = self._store.bounds_m(fragment_id)
            distance_m = float(np.linalg.norm(position_m - np.clip(position_m, lower, upper)))
            if distance_m <= self.configuration.max_depth_m:
                near += self._store.get(fragment_id).nbytes
        return near

    def _has_pages(self) -> bool:
        return self._store.statistics()["paged_fragments"] > 0

    def _require(self, blocks: NDArray[np.int32]) -> None:
        # Compose (B, 3) blocks. What only fragments on disk reach stays until the next frame.
        stale = self._composition.stale_among(blocks)
        if len(stale):
            self._composition.require(stale)
            self._borrowed.append(stale)

    def _give_back(self) -> None:
        if self._borrowed:
            borrowed = np.concatenate(self._borrowed)
            self._borrowed.clear()
            if self._has_pages():
                self._composition.forget(self._composition.without_resident(borrowed))

    def _join_last(self) -> Fragment | None:
        # Frames that followed the last fragment without a keyframe of their own belong to it: it comes back with them,
        # under its id and the next revision.
        ids = self._store.ids()
        if self._open.keyframe_ids or not ids:
            return None
        return self._open.joined_with(self._store.get(ids[-1]))

    def flush(self) -> tuple[Fragment, ...]:
        """Close the trailing fragment and return what has become complete, which may be nothing, one or two fragments.

        When it has no keyframe yet, its frames go into the last fragment, which is returned with a new revision.
        """
        self._finish_closing()
        if self._open.frames:
            joined = self._join_last()
            if joined is None:
                self._close()
                self._finish_closing()
            else:
                self._collect_dirty()
                T_last_open = inverse(joined.T_map_fragment) @ self._open.T_map_fragment
                self._tracks.join(joined.id, self._fragment_id, T_last_open)
                self._composition.put(joined)
                self._open.discard()
                self._map_blocks = self._composition.volume.block_count
                # The last fragment may be among those that are still to be handed out, in its older revision.
                self._completed = deque(fragment for fragment in self._completed if fragment.id != joined.id)
                self._completed.append(joined)
        complete = tuple(self._completed)
        self._completed.clear()
        return complete

    def reset(self) -> None:
        """Forget the map, the keyframes and gravity; ids start again at 1."""
        self._composition.clear()
        self._open.release()
        self._tracks.clear()
        self._surface.clear()
        self._keyframes.restart()
        self._gravity.reset()
        self._revision += 1
        self._start_empty()

    def clear_outside(self, position_m: ArrayLike, radius_m: float) -> tuple[int, ...]:
        """Forget the closed fragments that lie farther than ``radius_m`` from a place (3,) [m]; return their ids.

        A fragment goes as a whole, once no part of it is within the radius. Raises ValueError for an impossible place
        or radius.
        """
        position = np.asarray(position_m, dtype=np.float64)
        if position.shape != (3,) or not np.isfinite(position).all():
            raise ValueError(f"position_m: expected 3 finite numbers, got {position.tolist()}")
        if not (np.isfinite(radius_m) and radius_m >= 0):
            raise ValueError(f"radius_m: expected a finite number of at least 0, got {radius_m}")
        self._finish_closing()
        gone = []
        for fragment_id in self._store.ids():
            lower, upper = self._store.bounds_m(fragment_id)
            if float(np.linalg.norm(position - np.clip(position, lower, upper))) > radius_m:
                gone.append(fragment_id)
        if gone:
            self._pending_dirty.append(self._composition.remove(gone))
            self._tracks.remove(gone)
            self._completed = deque(fragment for fragment in self._completed if fragment.id not in gone)
            self._revision += 1
        return tuple(gone)

    # --- corrections ----------------------------------------------------------------------------------------------

    def correct(self, poses: Mapping[int, ArrayLike]) -> tuple[Fragment, ...]:
        """Move fragments to new (4, 4) T_map_camera of some keyframes, by id; return the closed ones that moved.

        A fragment is rigid: it moves by the best fit to those of its keyframes that are given, and stays when none is.
        What changes less than the least correction of the configuration stays as well. The open fragment moves too,
        with the last one while it has no keyframe of its own. Raises ValueError that names unknown keyframes and poses
        that are none.
        """
        self._finish_closing()
        keyframes = self._tracks.keyframes()
        unknown = sorted(set(poses) - set(keyframes))
        if unknown:
            raise ValueError(f"keyframes {unknown[:10]} are not in the map; it has {len(keyframes)}")
        wanted: dict[int, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
        for keyframe_id, pose in poses.items():
            place = keyframes[keyframe_id]
            T = checked_transform(pose, f"pose of keyframe {keyframe_id}")
            wanted.setdefault(place.fragment_id, []).append((place.T_fragment_camera, T))
        anchors = _fitted(wanted)
        last = self._fragment_id - 1
        if self._open.frames and not self._open.keyframe_ids and last in anchors:
            anchors[self._fragment_id] = anchors[last] @ inverse(self._pose_of(last)) @ self._pose_of(self._fragment_id)
        return self._place(anchors)[0]

    def correct_by_stamp(
        self, stamps_ns: ArrayLike, T_map_camera: ArrayLike, camera_name: str | None = None
    ) -> CorrectionReport:
        """Move fragments to new camera poses that are known by the stamps (N,) [ns] of frames, as (N, 4, 4).

        Poses between two frames are compared with the interpolated one; without a frame within the tolerance of the
        configuration they are left out. Fragments between corrected ones get a correction in between, those after the
        last one follow it, the open one too. camera_name: the camera whose poses they are, None = any.
        Raises ValueError for other shapes and poses that are none.
        """
        stamps = np.asarray(stamps_ns, dtype=np.int64)
        poses = np.asarray(T_map_camera, dtype=np.float64)
        if stamps.ndim != 1 or poses.shape != (len(stamps), 4, 4):
            raise ValueError(f"expected (N,) stamps and (N, 4, 4) poses, got {stamps.shape} and {poses.shape}")
        poses = np.array([checked_transform(T, f"pose {n}") for n, T in enumerate(poses)]).reshape(-1, 4, 4)
        self._finish_closing()
        places = self._tracks.places(stamps, int(1e9 * self.configuration.correction_tolerance_s), camera_name)
        wanted: dict[int, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
        for place, pose in zip(places, poses, strict=True):
            if place is not None:
                wanted.setdefault(place.fragment_id, []).append((place.T_fragment_camera, pose))
        matched = sum(len(pairs) for pairs in wanted.values())
        unmatched = len(stamps) - matched
        if matched == 0:
            return CorrectionReport((), 0, unmatched, 0.0, 0.0, 0.0, 0.0)
        anchors = _fitted(wanted)
        residuals = [
            motion(anchors[fragment_id] @ T_fragment_camera, pose)
            for fragment_id, pairs in wanted.items()
            for T_fragment_camera, pose in pairs
        ]
        corrections = {i: anchors[i] @ inverse(self._pose_of(i)) for i in anchors}
        for fragment_id, correction in spread_corrections(corrections, self._ids()).items():
            anchors.setdefault(fragment_id, correction @ self._pose_of(fragment_id))
        moved, largest_m, largest_deg = self._place(anchors)
        residual_m, residual_deg = np.max(residuals, axis=0).tolist()
        return CorrectionReport(moved, matched, unmatched, largest_m, largest_deg, residual_m, residual_deg)

    def apply_jump(self, T_new_old: ArrayLike) -> tuple[Fragment, ...]:
        """Follow the global frame, which jumped as a whole: what was at x (3,) is at T_new_old x from now on.

        Everything moves rigidly: the closed fragments, which are returned, the open one, keyframes and gravity. Jumps
        below the least correction of the configuration wait until they add up to more. Raises ValueError for a matrix
        that is no rigid transform.
        """
        self._finish_closing()
        self._jump = checked_transform(T_new_old, "T_new_old") @ self._jump
        anchors = {fragment_id: self._jump @ self._pose_of(fragment_id) for fragment_id in self._ids()}
        if not any(self._is_news(fragment_id, pose) for fragment_id, pose in anchors.items()):
            return ()
        jump, self._jump = self._jump, np.eye(4)
        return self._place(anchors, jump)[0]

    def _ids(self) -> list[int]:
        return [*self._store.ids(), *([self._fragment_id] if self._open.frames else [])]

    def _pose_of(self, fragment_id: int) -> NDArray[np.float64]:
        return self._open.T_map_fragment if fragment_id == self._fragment_id else self._store.pose(fragment_id)

    def _is_news(self, fragment_id: int, T_map_fragment: NDArray[np.float64]) -> bool:
        moved_m, turned_deg = motion(T_map_fragment, self._pose_of(fragment_id))
        c = self.configuration
        return moved_m > c.correction_distance_m or turned_deg > c.correction_angle_deg

    def _place(
        self, anchors: Mapping[int, NDArray[np.float64]], jump: NDArray[np.float64] | None = None
    ) -> tuple[tuple[Fragment, ...], float, float]:
        # Move fragments, all of them together when everything jumped. Returns the closed ones that moved, and how far
        # and by how much at most.
        news = {i: T for i, T in anchors.items() if jump is not None or self._is_news(i, T)}
        if not news:
            return (), 0.0, 0.0
        largest_m, largest_deg = np.max([motion(T, self._pose_of(i)) for i, T in news.items()], axis=0).tolist()
        ids = self._ids()
        before = np.array([self._pose_of(fragment_id) for fragment_id in ids])
        self._collect_dirty()
        closed = {i: T for i, T in news.items() if i != self._fragment_id}
        self._pending_dirty.append(self._composition.move(closed))
        if self._fragment_id in news:
            self._pending_dirty.append(self._open.move(news[self._fragment_id]))
        after = np.array([self._pose_of(fragment_id) for fragment_id in ids])
        # Frames go on from where the newest fragment is now; gravity and the floor are those of the map as a whole.
        self._keyframes.move(after[-1] @ inverse(before[-1]))
        self._gravity.move(rigid_fit(before, after) if jump is None else jump)
        self._revision += 1
        moved = {i: self._store.get(i) for i in sorted(closed)}
        self._completed = deque(moved.get(fragment.id, fragment) for fragment in self._completed)
        return tuple(moved.values()), largest_m, largest_deg

    # --- surfaces out ---------------------------------------------------------------------------------------------

    def _collect_dirty(self) -> None:
        dirty = self._open.take_dirty()
        if len(dirty):
            self._pending_dirty.append(dirty)

    def volumes(self, blocks: NDArray[np.int32] | None = None) -> tuple[Volume, Volume, NDArray[np.int64]]:
        """Return the two volumes that the map is the sum of, complete in (B, 3) map blocks.

        None: in all blocks of fragments that are in memory. The first lies in the map, the blocks of the second lie
        (3,) blocks further. Valid until the map changes.
        """
        self._finish_closing()
        self._collect_dirty()
        if self._composition.stale_count:
            if blocks is None:
                blocks = self._composition.stale_among(None)
                far = self._composition.without_resident(blocks)
                blocks = voxel.blocks_of_keys(np.setdiff1d(voxel.block_keys(blocks), voxel.block_keys(far)))
            self._require(blocks)
        return self._composition.volume, *self._open.in_map()

    def _draw(self, surface: SurfaceMesh, dirty: NDArray[np.int32]) -> None:
        # Renew a surface in (B, 3) blocks.
        if len(dirty):
            around = np.zeros((0, 3), dtype=np.int32)
            if self._composition.stale_count:
                around = voxel.unique_blocks((dirty[:, None, :] + _AROUND[None]).reshape(-1, 3))
            surface.update(*self.volumes(around), dirty)

    def _not_at_hand(self, blocks: NDArray[np.int32]) -> NDArray[np.int32]:
        # Those of (B, 3) blocks that neither the open fragment nor one in memory reaches.
        far = voxel.block_keys(self._composition.without_resident(blocks))
        return voxel.blocks_of_keys(np.setdiff1d(far, voxel.block_keys(self._open.blocks_in_map())))

    def _take_pending(self) -> NDArray[np.int32]:
        # The (B, 3) changed blocks that are at hand; those on disk are set aside.
        self._finish_closing()
        self._collect_dirty()
        if not self._pending_dirty:
            return np.zeros((0, 3), dtype=np.int32)
        dirty = voxel.unique_blocks(np.concatenate(self._pending_dirty))
        self._pending_dirty.clear()
        if self._has_pages():
            far = self._not_at_hand(dirty)
            dirty = voxel.blocks_of_keys(np.setdiff1d(voxel.block_keys(dirty), voxel.block_keys(far)))
            self._far_dirty = voxel.unique_blocks(np.concatenate([self._far_dirty, far]))
        return dirty

    def _update_surface(self) -> SurfaceMesh:
        self._draw(self._surface, self._take_pending())
        return self._surface

    def refresh_surface(self, near_m: ArrayLike | None = None) -> int:
        """Compose and draw a part of what a correction has changed; return how many blocks are still to be done.

        Those nearest to ``near_m`` (3,) come first. One call takes about a fifth of a second at most, so that who calls
        it again and again between frames, until it returns 0, has the corrected surface without holding up the frames.
        """
        if not self._composition.stale_count or not self._pending_dirty:
            return 0
        dirty = self._take_pending()
        stale = self._composition.stale_among(dirty)
        if len(stale) > _REFRESHED_BLOCKS:
            centre = np.zeros(3) if near_m is None else np.asarray(near_m, dtype=np.float64)
            away = np.abs((stale + 0.5) * (BLOCK_SIZE * self.configuration.voxel_size_m) - centre).max(axis=1)
            order = np.argsort(away, kind="stable")
            later = stale[order[_REFRESHED_BLOCKS:]]
            self._pending_dirty.append(later)
            dirty = voxel.blocks_of_keys(np.setdiff1d(voxel.block_keys(dirty), voxel.block_keys(later)))
        self._draw(self._surface, dirty)
        return max(0, len(stale) - _REFRESHED_BLOCKS)

    def _whole_surface(self) -> SurfaceMesh:
        # The surface of the map with what is on disk, which is drawn part by part and not kept.
        surface = self._update_surface()
        if not self._has_pages():
            return surface
        whole = SurfaceMesh(self.configuration.mesh_weight)
        blocks = np.concatenate([self._composition.blocks(), self._open.blocks_in_map()])
        # Sorted by x, y, z: what is drawn at once is a slice of the map.
        blocks = voxel.unique_blocks(blocks)
        for first in range(0, len(blocks), self._region_blocks):
            self._draw(whole, blocks[first : first + self._region_blocks])
            self._give_back()
        return whole

    def mesh(self) -> Mesh:
        """Return the mesh of the whole map with joined vertices, what is on disk included."""
        return self._whole_surface().mesh()

    def mesh_blocks(self, since_revision: int = 0, complete: bool = True) -> tuple[int, list[BlockMesh]]:
        """Return the revision of the mesh and the blocks renewed after ``since_revision``, newest first.

        Ask again with the returned revision for what has changed since. A block whose surface has gone is empty. What
        was put on disk is not among them; what a correction changed there comes once, a part with each call. Unless
        ``complete``, what refresh_surface() has still to do is left to it.
        """
        surface = self._update_surface() if complete else self._surface
        far, self._far_dirty = self._far_dirty[: self._region_blocks], self._far_dirty[self._region_blocks :]
        self._draw(surface, far)
        changed = list(surface.changed(since_revision))
        if len(far):
            # The surface does not know any more what was shown there, so what has gone is told of every block, and of
            # those below, which are drawn with it.
            below = voxel.unique_blocks((far[:, None, :] + _AROUND[_AROUND.max(axis=1) <= 0][None]).reshape(-1, 3))
            below = self._not_at_hand(below)
            shown = {part.block for part in changed}
            gone = [block for block in map(tuple, below.tolist()) if block not in shown]
            changed += [_no_surface(block, surface.revision) for block in gone]
            surface.forget(below)
        self._give_back()
        return surface.revision, changed

    def points(self, spacing_m: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return (N, 3) surface points [m] in the map and their (N, 3) uint8 RGB colours.

        With ``spacing_m`` there is one mean point for each cell of that size.
        """
        cloud = self.point_cloud(spacing_m)
        return cloud.points, cloud.colors

    def point_cloud(self, spacing_m: float = 0.0, instances: InstanceLayer | None = None) -> PointCloud:
        """Return the surface points with colours, labels and the ids of ``instances``, 0 where not given."""
        return self._whole_surface().points(spacing_m, instances)

    def labels(self, points_map: NDArray[np.floating]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
        """Look up the label evidence of the voxels at (N, 3) map points [m].

        Returns (N,) uint16 labels, 0 where there is none, and (N,) float32 their lead in confidence.
        """
        points = np.asarray(points_map, dtype=np.float64)
        return look_up_labels(*self._volumes_at(points), points)

    def depth_labels(
        self, depth_m: NDArray[np.float32], camera: Camera, T_map_camera: NDArray[np.float64], stride: int = 4
    ) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
        """Look up the label evidence where every stride-th pixel of a (H, W) depth image [m] lies in the map.

        See look_up_depth_labels() for what is returned, and for the errors raised; ValueError too for no rigid pose.
        """
        T_map_camera = checked_transform(T_map_camera, "T_map_camera")
        points = np.zeros((0, 3))
        if self._composition.stale_count:
            pixels = np.s_[stride // 2 :: stride, stride // 2 :: stride]
            points = camera.unproject(np.nan_to_num(depth_m))[pixels].reshape(-1, 3) @ T_map_camera[:3, :3].T
            points += T_map_camera[:3, 3]
        return look_up_depth_labels(*self._volumes_at(points), depth_m, camera, T_map_camera, stride)

    def _volumes_at(self, points: NDArray[np.float64]) -> tuple[Volume, Volume, NDArray[np.int64]]:
        # The volumes, complete in the blocks of (N, 3) map points [m].
        blocks = np.zeros((0, 3), dtype=np.int32)
        if self._composition.stale_count:
            blocks = voxel.unique_blocks(np.rint(points / self.configuration.voxel_size_m).astype(np.int64) >> 3)
        return self.volumes(blocks)

    def view(
        self,
        camera: Camera,
        T_map_camera: NDArray[np.float64],
        farthest_m: float = 10.0,
        exact: bool = False,
        instances: InstanceLayer | None = None,
    ) -> View:
        """Return what a camera sees of the map in memory, by splatting, or by ray casting when it has to be exact.

        Raises ValueError for an impossible range or pose.
        """
        T_map_camera = checked_transform(T_map_camera, "T_map_camera")
        draw = cast_view if exact else splat_view
        weight = self.configuration.mesh_weight
        return draw(
            *self.volumes(),
            camera,
            T_map_camera,
            minimum_weight=weight,
            farthest_m=farthest_m,
            instances=instances,
        )

    def distance_slice(
        self,
        bottom_m: float,
        top_m: float,
        resolution_m: float = 0.05,
        centre: ArrayLike | None = None,
        radius_m: float | None = None,
        unknown: str = "occupied",
        *,
        with_heights: bool = False,
    ) -> DistanceSlice:
        """Return free, occupied and unknown cells between two heights above the floor, and their distances [m].

        with_heights: also how high the obstacles reach. See Slab for what the slice shows, distance_slice() for what
        the cells mean. Raises ValueError for values that make no slice, and while no floor has been seen.
        """
        ground = self._gravity.ground
        if ground is None:
            raise ValueError("no floor has been seen yet, and heights are counted from it")
        slab = Slab(ground, bottom_m, top_m, resolution_m, None if centre is None else np.asarray(centre), radius_m)
        stale = self._composition.stale_among(None)
        needed = stale[slab.blocks_within(stale, self.configuration.voxel_size_m)]
        return distance_slice(
            *self.volumes(needed), slab, self.configuration.mesh_weight, unknown, with_heights=with_heights
        )

    def lira_volume(self, cameras: Sequence[Camera], T_map_camera: NDArray[np.float64]) -> LiraVolume:
        """Return LIRA's volume of 3.84 m around N views, taken out of the closed fragments and the open one.

        T_map_camera: (N, 4, 4), of the keyframes of a fragment. Raises ValueError without views.
        """
        c = self.configuration
        origin = volume_origin(*frustum_bounds(cameras, T_map_camera))
        blocks = blocks_within(origin, c.voxel_size_m)
        base, part, offset = self.volumes(blocks)
        both = Volume(c.voxel_size_m, base.truncation_m, len(blocks))
        for volume, there in ((base, blocks), (part, blocks - offset.astype(np.int32))):
            indices = volume.find(there)
            found = indices >= 0
            add_records(both, blocks[found], volume.records[indices[found]])
        return lira_volume(both, origin)

    def statistics(self) -> dict[str, Any]:
        """Return counts, memory [bytes] and times [ms] for diagnostics."""
        times = np.array(self._milliseconds) if self._milliseconds else np.zeros(1)
        store = self._store.statistics()
        used = self._composition.volume.bytes_used + self._open.bytes_used + self._surface.bytes_used
        return {
            "device": self._device,
            "frames": self._frames,
            "frames_integrated": self._integrated,
            "rejected_stamp": self._rejected["stamp"],
            "rejected_pose": self._rejected["pose"],
            "rejected_depth": self._rejected["depth"],
            "keyframes": self._keyframes.last_id,
            "fragments": store["resident_fragments"] + store["paged_fragments"],
            "blocks": self._map_blocks,
            "blocks_refused": self._refused_blocks,
            "bytes": used + store["resident_bytes"],
            "budget_bytes": self._budget_bytes,
            "fragments_in_memory": store["resident_fragments"],
            "fragments_on_disk": store["paged_fragments"],
            "bytes_on_disk": store["paged_bytes"],
            "frame_ms_p50": float(np.median(times)),
            "frame_ms_p99": float(np.percentile(times, 99)),
            "frame_ms_max": self._longest_ms,
        }

    # --- files ----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> int:
        """Write the map with its open fragment to a file and return the number of fragments; the map is not changed.

        Raises MapFileError when the file cannot be written.
        """
        return storage.save(path, self.snapshot())

    def snapshot(self) -> storage.MapState:
        """Return the map as it is, with its open fragment, to be written while mapping goes on; the map is not changed.

        The voxels of closed fragments are shared, not copied: they never change, a newer revision has others. Raises
        MapFileError when a fragment that lies on disk was altered.
        """
        self._finish_closing()
        trailing = None
        if self._open.frames:
            trailing = self._join_last() or self._open.snapshot(self._fragment_id)
        fragments = [self._store.get(i) for i in self._store.ids() if trailing is None or i != trailing.id]
        if trailing is not None:
            fragments.append(trailing)
        keyframes = self._tracks.keyframes()
        return storage.MapState(
            tuple(fragments),
            self._keyframes.last_id,
            self.up,
            self.floor_height_m,
            self.keyframe_poses,
            {keyframe_id: place.stamp_ns for keyframe_id, place in keyframes.items()},
        )

    def load(self, path: str | Path) -> tuple[Fragment, ...]:
        """Replace the map by one from a file and return its fragments; ids go on after theirs.

        Raises MapFileError, with the map as it was, when the file is missing, broken, or of other voxels.
        """
        return self.restore(storage.load(path), path)

    def restore(self, state: storage.MapState, path: str | Path) -> tuple[Fragment, ...]:
        """Replace the map by one that was read from ``path`` and return its fragments; ids go on after theirs.

        Raises MapFileError, with the map as it was, when it is of other voxels.
        """
        fragments = tuple(state.fragments)
        for fragment in fragments:
            self._check_loaded(fragment, path)
        self.reset()
        self._store.maximum_bytes = int(_LOADED_SHARE * self._budget_bytes)
        for fragment in fragments:
            self._pending_dirty.append(self._composition.put(fragment, later=True))
            for keyframe_id in fragment.keyframe_ids:
                pose = state.keyframe_poses.get(keyframe_id)
                if pose is not None:
                    stamp_ns = state.keyframe_stamps_ns[keyframe_id]
                    T_fragment_camera = inverse(fragment.T_map_fragment) @ pose
                    self._tracks.add(fragment.id, stamp_ns, T_fragment_camera, keyframe_id)
        self._fragment_id = 1 + max((fragment.id for fragment in fragments), default=0)
        self._map_blocks = self._composition.volume.block_count
        self._keyframes.restart(state.last_keyframe_id)
        if self.configuration.up not in UP_AXES or np.allclose(state.up, self.up, atol=1e-6):
            self._gravity.restore(state.up, state.floor_height_m)
        return self.fragments()

    def _check_loaded(self, fragment: Fragment, path: str | Path) -> None:
        c = self.configuration
        truncation_m = c.truncation_distance_m
        for name, saved, wanted in (
            ("voxel_size_m", fragment.voxel_size_m, c.voxel_size_m),
            ("truncation_m", fragment.truncation_m, truncation_m),
        ):
            if not np.isclose(saved, wanted, rtol=1e-6):
                raise storage.MapFileError(
                    f"{path}: the map was made with {name} {saved:g}, this mapper has {wanted:g}"
                )


def _no_surface(block: tuple[int, int, int], revision: int) -> BlockMesh:
    return BlockMesh(
        block,
        revision,
        np.zeros((0, 3), np.float32),
        np.zeros((0, 3), np.int32),
        np.zeros((0, 3), np.uint8),
        np.zeros((0, 3), np.float32),
        np.zeros(0, np.int64),
    )


def _fitted(
    wanted: Mapping[int, list[tuple[NDArray[np.float64], NDArray[np.float64]]]],
) -> dict[int, NDArray[np.float64]]:
    # T_map_fragment by fragment id, from pairs of T_fragment_camera and wanted T_map_camera.
    return {
        fragment_id: rigid_fit(np.array([known for known, _ in pairs]), np.array([pose for _, pose in pairs]))
        for fragment_id, pairs in wanted.items()
    }
