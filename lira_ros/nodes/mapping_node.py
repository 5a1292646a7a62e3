"""Map what RGB-D cameras with known poses see: keyframes and fragments for the others, surfaces for people."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from std_srvs.srv import Trigger

from lira_msgs.srv import ClearOutside, CorrectPoses, GetInstanceMesh, LoadMap, SaveMap
from lira_ros.configuration import parameter, section
from lira_ros.geometry.frame import Frame
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.kept_keyframes import KeptKeyframes
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.precompile import warm_up
from lira_ros.ros.camera_inputs import CameraInputs, CameraInputsConfiguration
from lira_ros.ros.clearing import SERVICE as CLEAR_SERVICE
from lira_ros.ros.clearing import Clearing, ClearingConfiguration
from lira_ros.ros.corrections import CorrectionConfiguration, PoseCorrections
from lira_ros.ros.free_space_output import FreeSpaceConfiguration, FreeSpaceOutput
from lira_ros.ros.gravity_input import GravityInput
from lira_ros.ros.instance_input import InstanceInput
from lira_ros.ros.instance_masks_output import InstanceMasksConfiguration, InstanceMasksOutput
from lira_ros.ros.instance_meshes import SERVICE as MESH_SERVICE
from lira_ros.ros.instance_meshes import InstanceMeshes
from lira_ros.ros.map_files import MapFiles, MapFilesConfiguration
from lira_ros.ros.map_output import MapOutput
from lira_ros.ros.node import LiraNode, NodeConfiguration, run
from lira_ros.ros.poses import TransformPoses
from lira_ros.ros.state_services import OtherStates
from lira_ros.ros.surface_output import SurfaceConfiguration, SurfaceOutput
from lira_ros.ros.trajectory_output import TrajectoryOutput

# How often it is looked whether something is to be published.
PUBLISH_PERIOD_S = 0.1
# How often a part of a loaded map is published, and which part of the worker's time that may take.
AGAIN_PERIOD_S, AGAIN_SHARE = 0.05, 0.4


@dataclass(frozen=True)
class MappingNodeConfiguration(
    ClearingConfiguration,
    MapFilesConfiguration,
    SurfaceConfiguration,
    InstanceMasksConfiguration,
    CameraInputsConfiguration,
    NodeConfiguration,
):
    """Parameters of the mapping node."""

    map_frame: str = parameter("map", "Frame in which the map is built; poses must lead into it")
    flush_after_s: float = parameter(
        2.0, "Close the last fragment when no frame came for this long [s]", minimum=0.1, maximum=3600.0
    )
    gravity_frame: str = parameter("odom", "Frame of TF whose z axis is up, for mapping.up tf")
    jpeg_quality: int = parameter(
        95, "Quality of the colour images of keyframes, 0 = PNG without loss", minimum=0, maximum=100, read_only=False
    )
    correction: CorrectionConfiguration = section(CorrectionConfiguration)
    free_space: FreeSpaceConfiguration = section(FreeSpaceConfiguration)
    mapping: MappingConfiguration = section(MappingConfiguration)


class MappingNode(LiraNode):
    """Owns the map; its worker is the only thread that touches it."""

    node_name = "mapping_node"
    configuration_class = MappingNodeConfiguration
    headline = ("frames mapped", "map keyframes", "map fragments")

    def offer_services(self) -> None:
        """Offer to save, load, correct, clear, reset, pause and resume."""
        self._cameras: CameraInputs | None = None
        self._files: MapFiles | None = None
        self._others = OtherStates(self)
        self._transforms: TransformPoses | None = None
        for kind, name, answer in (
            (SaveMap, "save_map", self._save),
            (LoadMap, "load_map", self._load),
            (CorrectPoses, "correct_poses", self._correct),
            (GetInstanceMesh, MESH_SERVICE, lambda *call: self._meshes.answer(self._stamp_ns, *call)),
            (ClearOutside, CLEAR_SERVICE, lambda *call: self._clearing.answer(*call, self._viewpoint_m)),
        ):
            self.offer(kind, name, answer, kind.Response.NOT_CONFIGURED)
        for name, answer in (
            ("reset", self._reset),
            ("pause", functools.partial(self._pause, True)),
            ("resume", functools.partial(self._pause, False)),
            ("publish_full_mesh", self._publish_full_mesh),
        ):
            self.offer(Trigger, f"~/{name}", answer)

    def configure(self) -> None:
        """Create an empty map and the publishers; compile the loops before the first frame comes."""
        c = self.configuration
        warm_up(c.mapping.device)
        self._mapper = Mapper(c.mapping)
        self._stamp_ns = 0
        self._viewpoint_m: NDArray[np.float64] | None = None
        self._last_frame_s: float | None = None
        self._files = MapFiles(self, c.map_directory, c.state_timeout_s, c.free_space, self._others)
        self._kept = KeptKeyframes(c.map_keyframe_mib << 20)
        self._map = MapOutput(self, c.map_frame)
        self._trajectory = TrajectoryOutput(self, c.map_frame)
        self._instances = InstanceInput(self, c.mapping.voxel_size_m, c.map_frame)
        self._masks = InstanceMasksOutput(self, self._instances, c)
        self._meshes = InstanceMeshes(self, self._mapper, self._instances, c.map_frame)
        self._clearing = Clearing(self, self._mapper, self._close_fragment, self._cleared)
        self._surface = SurfaceOutput(self, self._mapper, c.map_frame, c, self._instances)
        self._surface.clear(self._map.session)
        self._free_space = FreeSpaceOutput(self, self._mapper, c.map_frame, c.free_space)
        self._cameras = CameraInputs(self, c, c.map_frame, self._add, self.time_jumped)
        self._corrections = PoseCorrections(
            self, self._mapper, c.map_frame, c.correction, self._close_fragment, self._moved
        )
        self._gravity = GravityInput(self, c.mapping.up, c.map_frame, c.gravity_frame)
        self.worker.add_periodic("publish", PUBLISH_PERIOD_S, self._publish)
        self.worker.add_periodic("publish again", AGAIN_PERIOD_S, self._publish_again, AGAIN_SHARE)

    def activate(self) -> None:
        """Subscribe to the cameras, to their poses, and to what corrects these."""
        self._transforms = TransformPoses(self, self.configuration.map_frame)
        self._cameras.open(self._transforms)
        self._corrections.open(self._transforms, self.configuration.pose_source == "tf")
        self._gravity.open(self._mapper.gravity, self._transforms)
        self._instances.open()
        self._meshes.open()

    def deactivate(self) -> None:
        """Unsubscribe from the poses; the map stays."""
        self.worker.clear()
        self._cameras.close()
        self._gravity.close()
        self._close_transforms()

    def withdraw(self) -> None:
        """Show neither map nor way any more."""
        self._surface.withdraw()
        self._trajectory.withdraw()

    def cleanup(self) -> None:
        """Forget the map."""
        self._close_transforms()
        if self._files is not None:
            self._files.close()
        for name in (
            "_mapper",
            "_surface",
            "_free_space",
            "_cameras",
            "_corrections",
            "_gravity",
            "_instances",
            "_masks",
            "_files",
            "_meshes",
        ):
            setattr(self, name, None)

    def _close_transforms(self) -> None:
        if self._transforms is not None:
            self._transforms.close()
            self._transforms = None

    def time_jumped(self) -> None:
        """Start a new map: stamps and poses of the past mean nothing on a clock that went back."""
        self._cameras.forget_poses()
        self._start_anew()

    def missing_inputs(self) -> list[str]:
        """Say when images come in but do not match, or have no pose."""
        return [*self._cameras.missing(), *self._gravity.missing()]

    def diagnose(self) -> dict[str, object]:
        """Return the statistics of the map."""
        return {
            "session": self._map.session,
            "paused": self._cameras.paused,
            "keyframes kept for saving": len(self._kept),
            "keyframes kept bytes": self._kept.nbytes,
            **self._cameras.statistics(),
            **self._surface.statistics(),
            **{f"map {name}": value for name, value in self._mapper.statistics().items()},
        }

    # ---- frames ------------------------------------------------------------------------------------------------

    def _add(self, frame: Frame, depth_topic: str) -> None:
        if self._files.is_loading:
            self.statistics.count("frames while loading")
            return
        if not self._corrections.admit(frame):
            return
        began_s = time.monotonic()
        update = self._mapper.add_frame(frame)
        if update.rejected is not None:
            self.statistics.count("frames refused")
            self.report("frame refused", f"{depth_topic}: {update.rejected}")
            return
        self.statistics.latency("integrate", time.monotonic() - began_s)
        if update.warning is not None:
            self.report("map warning", update.warning)
        self.statistics.arrived("frames mapped")
        self._stamp_ns, self._last_frame_s = frame.stamp_ns, time.monotonic()
        self._viewpoint_m = frame.T_map_camera[:3, 3]
        self._trajectory.add(frame, None if update.keyframe is None else update.keyframe.id)
        self._masks.add(frame)
        if update.keyframe is not None:
            self._kept.add(self._map.publish_keyframe(update.keyframe, self.configuration.jpeg_quality))
        if update.fragment is not None:
            self._map.publish_fragment(update.fragment)
            self._clearing.beyond(self.configuration.clear_radius_m, self._viewpoint_m)
        age_s = (self.get_clock().now().nanoseconds - frame.stamp_ns) / 1e9
        if 0 <= age_s < 60.0:  # a bag without /clock has stamps of another day
            self.statistics.latency("sensor stamp to map", age_s)

    # ---- output ------------------------------------------------------------------------------------------------

    def _close_fragment(self) -> None:
        for fragment in self._mapper.flush():
            self._map.publish_fragment(fragment)

    def _publish(self) -> None:
        if self._files.is_loading:
            return
        now_s = time.monotonic()
        if self._last_frame_s is not None and now_s - self._last_frame_s > self.configuration.flush_after_s:
            self._close_fragment()
            self._last_frame_s = None
        self._surface.publish(self._stamp_ns, self._viewpoint_m)
        self._free_space.publish(self._stamp_ns, self._viewpoint_m)
        self._trajectory.publish()

    def _publish_again(self) -> None:
        if not self._files.is_loading:
            self._map.publish_again(self._mapper, self._kept)

    def _moved(self, text: str) -> None:
        """Tell everybody where the fragments and keyframes lie now."""
        self.get_logger().info(text)
        self._map.publish_poses(self._mapper, self._stamp_ns)
        self._trajectory.correct(self._mapper.keyframe_poses)

    def _cleared(self, fragments: tuple[int, ...], keyframes: set[int]) -> None:
        self._kept.forget(keyframes)
        self._map.publish_poses(self._mapper, self._stamp_ns, fragments, keyframes)

    def _start_anew(self) -> None:
        """Empty the map under a new session number and tell everybody; a map that is being loaded stays."""
        if self._files.is_loading:
            return
        self._mapper.reset()
        self._kept.restore(())
        self._begin_session()

    def _begin_session(self, first_keyframe: int = 0, session: int = 0) -> None:
        self._map.begin_session(self._stamp_ns, session)
        self._cameras.clear()
        self._corrections.clear(first_keyframe)
        self._surface.clear(self._map.session)
        self._free_space.clear(self._stamp_ns)
        self._instances.clear()
        self._trajectory.clear()
        self._last_frame_s = self._viewpoint_m = None

    # ---- services ----------------------------------------------------------------------------------------------

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> None:
        if self._files.is_loading:
            response.message = "a map is being loaded; reset again when it is there"
            return
        self._start_anew()
        response.success, response.message = True, f"the map is empty; its session is {self._map.session}"

    def _pause(self, paused: bool, request: Trigger.Request, response: Trigger.Response) -> None:
        self._cameras.paused = paused
        response.success, response.message = True, "mapping is paused" if paused else "mapping goes on"

    def _publish_full_mesh(self, request: Trigger.Request, response: Trigger.Response) -> None:
        count = self._surface.request_all()
        response.success = True
        response.message = f"{count} regions of the mesh are sent within mesh_bandwidth_mbps"

    async def _save(self, request: SaveMap.Request, response: SaveMap.Response) -> None:
        await self._files.save(request, response, self._mapper, self._map, self._kept, self._close_fragment)

    async def _load(self, request: LoadMap.Request, response: LoadMap.Response) -> None:
        frame = self.configuration.map_frame
        await self._files.load(request, response, self._mapper, self._map, self._kept, frame, self._go_on)

    def _go_on(self, session: int) -> None:
        """Go on with a map that was loaded."""
        self._stamp_ns = max((fragment.stamp_ns for fragment in self._mapper.fragments()), default=0)
        self._begin_session(1 + max(self._mapper.keyframe_poses, default=0), session)
        self._map.publish_all_again(self._mapper, self._kept)

    def _correct(self, request: CorrectPoses.Request, response: CorrectPoses.Response) -> None:
        self._corrections.answer(self._map.session, request, response)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(MappingNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())
