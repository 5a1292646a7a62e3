"""Mapper: frames in, keyframes, fragments and surfaces out. The one owner of the map."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import DepthUnitCheck
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.gravity import GravityEstimator
from lira_ros.mapping import kernels, storage, voxel
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.fragment import BLOCK_SIZE, Fragment
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.keyframes import KeyframeSelector
from lira_ros.mapping.surface import BlockMesh, Mesh, PointCloud, SurfaceMesh
from lira_ros.mapping.tsdf import MapLimit, Volume

# Frames over which statistics() averages: ten seconds of a 30 Hz camera.
_TIMED_FRAMES = 300
# Cameras whose depth unit is watched; more than that are one camera whose calibration keeps changing.
_WATCHED_CAMERAS = 16


@dataclass(frozen=True)
class MapperUpdate:
    """What one frame brought about.

    keyframe: set when the frame became one. fragment: set when the frame closed one. rejected: why the frame was not
    used, a sentence; the map is as it was before. warning: what went wrong although the frame was used.
    """

    keyframe: Keyframe | None = None
    fragment: Fragment | None = None
    rejected: str | None = None
    warning: str | None = None


class Mapper:
    """Fuse posed RGB-D frames into fragments and keep their composition as the map.

    Each frame is integrated once, into the volume of the open fragment. A fragment closes with its n-th keyframe; its
    voxels are then added to the base, the sum of all closed fragments. The map is base plus open fragment, composed
    where it is asked for, so a frame costs the same in a small and in a large map.

    Fragments start with their axes along the map's and a whole number of blocks away, so their voxels coincide with
    those of the map and the composition is exact.

    Not safe for use by several threads at once.
    """

    def __init__(self, configuration: MappingConfiguration | None = None) -> None:
        """Start with an empty map; raises ValueError for values that contradict each other."""
        self.configuration = configuration or MappingConfiguration()
        c = self.configuration
        if c.min_depth_m >= c.max_depth_m:
            raise ValueError(f"min_depth_m {c.min_depth_m} must be below max_depth_m {c.max_depth_m}")
        truncation_m = c.truncation_voxels * c.voxel_size_m
        self._base = Volume(c.voxel_size_m, truncation_m, c.max_blocks)
        self._open = Volume(c.voxel_size_m, truncation_m, c.max_blocks)
        self._surface = SurfaceMesh(c.mesh_weight)
        self._keyframes = KeyframeSelector(c.keyframe_angle_deg, c.keyframe_distance_m)
        self._gravity = GravityEstimator(c.up)
        self._revision = 0
        self._start_empty()

    def _start_empty(self) -> None:
        self._fragments: list[Fragment] = []
        self._offset_blocks = np.zeros(3, dtype=np.int64)
        self._open_frames = 0
        self._open_keyframe_ids: list[int] = []
        self._map_blocks = 0
        self._last_stamp_ns: int | None = None
        self._frames = 0
        self._integrated = 0
        self._rejected: dict[str, int] = {"stamp": 0, "pose": 0, "depth": 0}
        self._unit_checks: dict[Camera, DepthUnitCheck] = {}
        self._refused_blocks = 0
        self._pending_dirty: list[NDArray[np.int32]] = []
        self._milliseconds: deque[float] = deque(maxlen=_TIMED_FRAMES)

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

    def fragments(self) -> tuple[Fragment, ...]:
        """Return the closed fragments, oldest first."""
        return tuple(self._fragments)

    # --- frames in ------------------------------------------------------------------------------------------------

    def add_frame(
        self,
        frame: Frame,
        labels: NDArray[np.uint16] | None = None,
        label_confidence: NDArray[np.float32] | None = None,
    ) -> MapperUpdate:
        """Integrate one frame, with evidence for labels where given.

        labels: (H, W) uint16, 0 = none. label_confidence: (H, W) float32 > 0, 1 where not given. Frames older than
        the last one, from outside of the map's range, or without depth in range are rejected with a reason.
        Raises ValueError when the labels do not fit the image.
        """
        size = (frame.camera.height_px, frame.camera.width_px)
        for name, image in (("labels", labels), ("label_confidence", label_confidence)):
            if image is not None and image.shape != size:
                raise ValueError(f"{name}: expected shape {size} of the camera, got {image.shape}")
        started = time.perf_counter()
        rejected = self._rejection(frame)
        if rejected is not None:
            return MapperUpdate(rejected=rejected)
        self._last_stamp_ns = frame.stamp_ns
        self._frames += 1
        keyframe_id = self._keyframes.select(frame.T_map_camera)
        warning = None
        if keyframe_id is not None or (self._frames - 1) % self.configuration.integrate_every == 0:
            warning = self._integrate(frame, labels, label_confidence)
        self._milliseconds.append(1e3 * (time.perf_counter() - started))
        if keyframe_id is None:
            return MapperUpdate(warning=warning)
        self._gravity.add_keyframe(frame)
        self._open_keyframe_ids.append(keyframe_id)
        keyframe = Keyframe(keyframe_id, frame, self._gravity.up, self._gravity.floor_height_m)
        full = len(self._open_keyframe_ids) >= self.configuration.fragment_keyframes
        return MapperUpdate(keyframe, self._close() if full else None, None, warning)

    def _rejection(self, frame: Frame) -> str | None:
        if self._last_stamp_ns is not None and frame.stamp_ns < self._last_stamp_ns:
            self._rejected["stamp"] += 1
            behind_s = 1e-9 * (self._last_stamp_ns - frame.stamp_ns)
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
        if self._open.select(frame.depth_m, c.min_depth_m, c.max_depth_m, not c.drop_discontinuities) == 0:
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
        self, frame: Frame, labels: NDArray[np.uint16] | None, label_confidence: NDArray[np.float32] | None
    ) -> str | None:
        c = self.configuration
        block_m = BLOCK_SIZE * c.voxel_size_m
        if self._open_frames == 0:
            # Near its origin a volume in float32 resolves micrometres, wherever in the map it lies.
            self._offset_blocks = np.floor(frame.T_map_camera[:3, 3] / block_m).astype(np.int64)
        T_fragment_camera = frame.T_map_camera.copy()
        T_fragment_camera[:3, 3] -= self._offset_blocks * block_m
        limit = MapLimit(self._base.keys, self._base.values, self._offset_blocks, self._base.capacity, self._map_blocks)
        _, refused = self._open.integrate(
            frame.color,
            frame.camera,
            T_fragment_camera,
            c.max_depth_m,
            constant_weight=c.weighting == "constant",
            weight_cap=c.weight_cap,
            labels=labels,
            label_confidence=label_confidence,
            limit=limit,
        )
        self._map_blocks = limit.map_blocks
        # What is new to the map goes into the base when the fragment closes: spread the cost over its frames.
        self._base.prepare(self._map_blocks)
        self._open_frames += 1
        self._integrated += 1
        self._revision += 1
        if refused == 0:
            return None
        self._refused_blocks += refused
        return (
            f"map is full: {self._map_blocks} blocks of at most {self._base.capacity} (max_blocks {c.max_blocks}); "
            "new space is not mapped, known space still is"
        )

    # --- fragments ------------------------------------------------------------------------------------------------

    def _export_open(self) -> Fragment | None:
        # The open fragment as it stands. Frames that followed the last fragment without a keyframe of their own
        # belong to it: it comes back with them, under its id and the next revision.
        if self._open_frames == 0 or self._last_stamp_ns is None:
            return None
        if self._open_keyframe_ids or not self._fragments:
            T_map_fragment = np.eye(4)
            T_map_fragment[:3, 3] = self._offset_blocks * (BLOCK_SIZE * self.configuration.voxel_size_m)
            return _exported(
                self._open,
                len(self._fragments) + 1,
                1,
                self._last_stamp_ns,
                T_map_fragment,
                tuple(self._open_keyframe_ids),
            )
        last = self._fragments[-1]
        both = _volume_of(last, len(last.block_coordinates) + self._open.block_count)
        both.merge(self._open, self._offset_blocks - self._offset_of(last))
        return _exported(both, last.id, last.revision + 1, self._last_stamp_ns, last.T_map_fragment, last.keyframe_ids)

    def _offset_of(self, fragment: Fragment) -> NDArray[np.int64]:
        block_m = BLOCK_SIZE * fragment.voxel_size_m
        return np.rint(fragment.T_map_fragment[:3, 3] / block_m).astype(np.int64)

    def _close(self) -> Fragment | None:
        fragment = self._export_open()
        if fragment is None:
            return None
        if fragment.id > len(self._fragments):
            self._fragments.append(fragment)
        else:
            self._fragments[-1] = fragment
        self._collect_dirty()
        self._base.merge(self._open, self._offset_blocks)
        self._map_blocks = self._base.block_count
        self._open.clear()
        self._open_frames = 0
        self._open_keyframe_ids = []
        return fragment

    def flush(self) -> Fragment | None:
        """Close the trailing fragment and return it, None when there is nothing to close.

        When it has no keyframe yet, its frames go into the last fragment, which is returned with a new revision.
        """
        return self._close()

    def reset(self) -> None:
        """Forget the map, the keyframes and gravity; ids start again at 1."""
        self._base.release()
        self._open.release()
        self._surface.clear()
        self._keyframes.restart()
        self._gravity.reset()
        self._revision += 1
        self._start_empty()

    # --- surfaces out ---------------------------------------------------------------------------------------------

    def _collect_dirty(self) -> None:
        dirty = self._open.take_dirty()
        if len(dirty):
            self._pending_dirty.append(dirty + self._offset_blocks.astype(np.int32))

    def _update_surface(self) -> SurfaceMesh:
        self._collect_dirty()
        if self._pending_dirty:
            dirty = np.concatenate(self._pending_dirty)
            self._pending_dirty.clear()
            self._surface.update(self._base, self._open, self._offset_blocks, dirty)
        return self._surface

    def mesh(self) -> Mesh:
        """Return the mesh of the whole map with joined vertices."""
        return self._update_surface().mesh()

    def mesh_blocks(self, since_revision: int = 0) -> tuple[int, list[BlockMesh]]:
        """Return the revision of the mesh and the blocks renewed after ``since_revision``, newest first.

        Ask again with the returned revision for what has changed since. A block whose surface has gone is empty.
        """
        surface = self._update_surface()
        return surface.revision, list(surface.changed(since_revision))

    def points(self, spacing_m: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return (N, 3) surface points [m] in the map and their (N, 3) uint8 RGB colours.

        With ``spacing_m`` there is one mean point for each cell of that size.
        """
        cloud = self.point_cloud(spacing_m)
        return cloud.points, cloud.colors

    def point_cloud(self, spacing_m: float = 0.0, instances: InstanceLayer | None = None) -> PointCloud:
        """Return the surface points with colours, labels and the ids of ``instances``, 0 where not given."""
        return self._update_surface().points(spacing_m, instances)

    def labels(self, points_map: NDArray[np.floating]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
        """Look up the label evidence of the voxels at (N, 3) map points [m].

        Returns (N,) uint16 labels, 0 where there is none, and (N,) float32 their lead in confidence.
        """
        voxels = np.rint(np.asarray(points_map, dtype=np.float64) / self.configuration.voxel_size_m).astype(np.int64)
        blocks, local = voxels >> 3, voxels & 7
        index = local[:, 0] + 8 * local[:, 1] + 64 * local[:, 2]
        result = np.zeros((2, len(voxels)), dtype=np.float32)
        for volume, offset in ((self._base, np.zeros(3, dtype=np.int64)), (self._open, self._offset_blocks)):
            record = volume.find((blocks - offset).astype(np.int32))
            there = np.nonzero(record >= 0)[0]
            found = volume.records[record[there], :, index[there]][:, [voxel.LABEL, voxel.CONFIDENCE]]
            same = (found[:, 0] == result[0, there]) | (result[1, there] == 0)
            lead = np.where(same, result[1, there] + found[:, 1], found[:, 1] - result[1, there])
            voted = found[:, 1] > 0
            result[0, there] = np.where(voted & (same | (lead > 0)), found[:, 0], result[0, there])
            result[1, there] = np.where(voted, np.abs(lead), result[1, there])
        return np.where(result[1] > 0, result[0], 0).astype(np.uint16), result[1]

    def statistics(self) -> dict[str, Any]:
        """Return counts, memory [bytes] and times [ms] for diagnostics."""
        times = np.array(self._milliseconds) if self._milliseconds else np.zeros(1)
        fragment_bytes = sum(f.tsdf.nbytes + f.weight.nbytes + f.color.nbytes for f in self._fragments)
        return {
            "frames": self._frames,
            "frames_integrated": self._integrated,
            "rejected_stamp": self._rejected["stamp"],
            "rejected_pose": self._rejected["pose"],
            "rejected_depth": self._rejected["depth"],
            "keyframes": self._keyframes.last_id,
            "fragments": len(self._fragments),
            "blocks": self._map_blocks,
            "blocks_refused": self._refused_blocks,
            "bytes": self._base.bytes_used + self._open.bytes_used + fragment_bytes,
            "integrate_ms_p50": float(np.median(times)),
            "integrate_ms_p99": float(np.percentile(times, 99)),
        }

    # --- files ----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> int:
        """Write the map with its open fragment to a file and return the number of fragments; the map is not changed.

        Raises MapFileError when the file cannot be written.
        """
        fragments = list(self._fragments)
        trailing = self._export_open()
        if trailing is not None:
            fragments[trailing.id - 1 :] = [trailing]
        storage.save(
            path,
            storage.MapState(
                tuple(fragments),
                self._keyframes.last_id,
                self.up,
                self.floor_height_m,
            ),
        )
        return len(fragments)

    def load(self, path: str | Path) -> tuple[Fragment, ...]:
        """Replace the map by one from a file and return its fragments; ids go on after theirs.

        Raises MapFileError, with the map as it was, when the file is missing, broken, or of other voxels.
        """
        state = storage.load(path)
        c = self.configuration
        for fragment in state.fragments:
            self._check_loaded(fragment, path)
        self.reset()
        self._base_from(state.fragments)
        self._fragments = list(state.fragments)
        self._keyframes.restart(state.last_keyframe_id)
        if c.up == "auto":
            self._gravity.restore(state.up, state.floor_height_m)
        return state.fragments

    def _check_loaded(self, fragment: Fragment, path: str | Path) -> None:
        c = self.configuration
        truncation_m = c.truncation_voxels * c.voxel_size_m
        for name, saved, wanted in (
            ("voxel_size_m", fragment.voxel_size_m, c.voxel_size_m),
            ("truncation_m", fragment.truncation_m, truncation_m),
        ):
            if not np.isclose(saved, wanted, rtol=1e-6):
                raise storage.MapFileError(
                    f"{path}: the map was made with {name} {saved:g}, this mapper has {wanted:g}"
                )
        placed = np.eye(4)
        placed[:3, 3] = self._offset_of(fragment) * (BLOCK_SIZE * c.voxel_size_m)
        if not np.allclose(fragment.T_map_fragment, placed, atol=1e-6):
            raise storage.MapFileError(f"{path}: fragment {fragment.id} does not lie on the voxels of the map")

    def _base_from(self, fragments: Sequence[Fragment]) -> None:
        for fragment in fragments:
            offset = self._offset_of(fragment)
            self._refused_blocks += self._base.merge(_volume_of(fragment, len(fragment.block_coordinates)), offset)
            self._pending_dirty.append(fragment.block_coordinates + offset.astype(np.int32))
        self._map_blocks = self._base.block_count


def _exported(
    volume: Volume,
    fragment_id: int,
    revision: int,
    stamp_ns: int,
    T_map_fragment: NDArray[np.float64],
    keyframe_ids: tuple[int, ...],
) -> Fragment:
    records = volume.records[: volume.block_count]
    color = np.empty((len(records), records.shape[2], 3), dtype=np.uint8)
    kernels.export_colors(records, color)
    return Fragment(
        fragment_id,
        revision,
        stamp_ns,
        T_map_fragment,
        volume.voxel_size_m,
        volume.truncation_m,
        keyframe_ids,
        volume.block_coordinates.copy(),
        records[:, voxel.TSDF].copy(),
        records[:, voxel.WEIGHT].copy(),
        color,
    )


def _volume_of(fragment: Fragment, blocks: int) -> Volume:
    volume = Volume(fragment.voxel_size_m, fragment.truncation_m, max(blocks, 1))
    indices = volume.allocate(fragment.block_coordinates)
    volume.records[indices, voxel.TSDF] = fragment.tsdf
    volume.records[indices, voxel.WEIGHT] = fragment.weight
    for channel in range(3):
        volume.records[indices, voxel.RED + channel] = fragment.color[:, :, channel]
    return volume
