"""What a page shows, from the topics of the suite: subscribed to while somebody looks, and forgotten afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from lira_msgs.msg import Keyframe, MeshUpdate
from lira_msgs.srv import GetInstanceMap
from lira_ros.fusion.contracts import Instance, RemovalReason, Verdict
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.ros import qos
from lira_ros.ros.conversions.geometry import pose_from_message, vector_from_message
from lira_ros.ros.conversions.image import color_from_compressed, color_from_image
from lira_ros.ros.conversions.instance import instance_from_message
from lira_ros.ros.conversions.mesh import Coordinates, update_from_bytes
from lira_ros.ros.errors import plain_sentence
from lira_ros.ros.inputs import Input
from lira_ros.ros.instance_map_input import InstanceChange, InstanceMapInput
from lira_ros.ros.node import LiraNode
from lira_ros.web import views
from lira_ros.web.configuration import WebConfiguration
from lira_ros.web.frames import number, numbers
from lira_ros.web.store import Key, Store

# The camera stands for the robot on the page; more often than this nobody sees a difference.
POSE_PERIOD_S = 0.1
MEBIBYTE = 1024 * 1024
# A keyframe without masks is shown when no picture with masks came for so long.
MASKS_PERIOD_S = 3.0
# What does not conform is asked for this often, and never for more than this part of the time.
OTHERS_PERIOD_S, OTHERS_SHARE = 2.0, 0.05
# An answer that did not come is not waited for any longer.
ANSWER_LIMIT_S = 20.0
# The voxels of an instance are sent again at most this often while it grows.
VOXELS_PERIOD_S = 1.0
# The way of a long walk takes a tenth of a second to read, which may be this part of the time.
WAY_SHARE = 0.05
# How often it is looked whether something is to be told.
STEP_PERIOD_S = 0.2
# The whole surface is asked for at most this often when a part was lost.
RESEND_PERIOD_S = 5.0
# Before the first keyframe comes, up is what so many poses of the camera say on average.
MOST_UP_POSES = 200
# Instances on the page: a list that is longer helps nobody.
MOST_INSTANCES = 2000
MOST_HEALTH_CHARACTERS = 300
# Nodes tell of their health every second; one that has not for so long is gone.
SILENT_NODE_S = 5.0


class WebInputs:
    """Keeps a Store like the topics; used in the worker thread, but for open() and close()."""

    def __init__(self, node: LiraNode, store: Store, configuration: WebConfiguration) -> None:
        """Add the queues to the node's worker, and create clients that close() destroys."""
        self._node = node
        self._store = store
        self._configuration = configuration
        self._entries: list[Input] = []
        self._maps = InstanceMapInput(node, self._instances_changed)
        self._mesh_client = node.create_client(Trigger, "mapping_node/publish_full_mesh", qos_profile=qos.services())
        self._map_client = node.create_client(GetInstanceMap, "get_instance_map", qos_profile=qos.services())
        for name, handler, capacity in (
            ("mesh", self._take_mesh, qos.MESH_UPDATE_DEPTH),
            ("overlay", self._take_overlay, 1),
            ("keyframes", self._take_keyframe, 1),
            ("pose", self._take_pose, 1),
            ("trajectory", self._take_trajectory, 1),
            ("diagnostics", self._take_diagnostics, 20),
            ("others", self._take_others, 1),
        ):
            node.worker.add_queue(name, handler, capacity)
        node.worker.add_periodic("page", STEP_PERIOD_S, self._step)
        self._forget()

    # ---- executor thread -----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Tell whether the topics are listened to."""
        return bool(self._entries)

    def open(self) -> None:
        """Listen."""
        subscribe, put = self._node.subscribe, self._node.worker.put
        self._entries = [
            subscribe(kind, topic, lambda message, queue=queue: put(queue, message), profile, required=False, raw=raw)
            for kind, topic, queue, profile, raw in (
                (MeshUpdate, "map/mesh_updates", "mesh", qos.mesh_updates(), True),
                (Image, "reasoning/overlay", "overlay", qos.image_output(), False),
                # Volatile: a page shows the newest, not the walk of the last minutes.
                (Keyframe, "keyframes", "keyframes", qos.stream(depth=1), False),
                (PoseStamped, "pose", "pose", qos.stream(depth=1), False),
                (Path, "trajectory", "trajectory", qos.latched(), True),
                (DiagnosticArray, "/diagnostics", "diagnostics", qos.stream(depth=20), False),
            )
        ]
        self._maps.open()

    def close(self) -> None:
        """Stop listening and forget everything."""
        for entry in self._entries:
            self._node.unsubscribe(entry)
        self._entries = []
        self._maps.close()
        self._node.worker.clear()
        self._node.worker.submit(self._forget)

    def destroy(self) -> None:
        """Destroy the clients."""
        self._node.destroy_client(self._mesh_client)
        self._node.destroy_client(self._map_client)

    # ---- worker thread -------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._maps.clear()
        for key in self._store.known():
            self._store.remove(key)
        self._session: int | None = None
        self._sequence: int | None = None
        self._resent_s = float("-inf")
        self._region_bytes: dict[Coordinates, int] = {}
        self._region_size_m = 1.0
        self._viewpoint_m = np.zeros(3)
        self._pose_s = self._picture_s = self._masks_s = float("-inf")
        self._up_is_told = False
        self._others: dict[str, dict[int, Instance]] = {}
        self._others_turn = 0
        self._others_future: Any = None
        self._others_asked_s = self._others_due_s = self._way_due_s = 0.0
        self._way: bytes | None = None
        self._stale = False
        self._health_s: dict[str, float] = {}
        self._told: dict[int, tuple[Instance, dict[str, Verdict]]] = {}
        self._instructions: tuple[str, ...] = ()
        self._voxels: dict[int, tuple[float, NDArray[np.int32]]] = {}  # those that were sent, and when

    def _step(self) -> None:
        if not self.is_open:
            return
        maps = self._maps.maps
        for order, name in enumerate(maps.instructions):
            asked, status = maps.instructions[name], maps.statuses.get(name)
            value = views.instruction_value(asked.text, asked.understood, order, status)
            self._store.put(Key("instruction", name), value)
        for key in self._store.known("instruction"):
            if key.name not in maps.instructions:
                self._store.remove(key)
        instructions = tuple(maps.instructions)
        if self._stale or instructions != self._instructions:
            self._stale, self._instructions = False, instructions
            self._put_instances()
        self._send_voxels()
        self._ask_for_others()
        self._send_way()
        self._forget_silent_nodes()

    # ---- instances -----------------------------------------------------------------------------------------------

    def _instances_changed(self, change: InstanceChange) -> None:
        self._stale = True
        for number_, removal in change.removed.items():
            told = self._told.get(number_)
            if told is not None and (removal is None or removal.reason == RemovalReason.REJECTED):
                # It may still be there, and be rejected now: shown as undecided until that is told.
                left = replace(told[0], voxels=told[0].voxels[:0], voxel_colors=told[0].voxel_colors[:0], verdicts={})
                self._others.setdefault(change.instruction_id, {})[number_] = left
                self._others_due_s = 0.0

    def _judged(self) -> dict[int, tuple[Instance, dict[str, Verdict]]]:
        """Return everything that is known, each in its newest state, with its verdicts by instruction."""
        found: dict[int, tuple[Instance, dict[str, Verdict]]] = {}
        maps = self._maps.maps
        for name in maps.instructions:
            conforming = maps.instances(name)
            for number_, instance in {**self._others.get(name, {}), **conforming}.items():
                held, verdicts = found.get(number_, (instance, {}))
                # Only maps of what conforms bring voxels along.
                newer = (len(instance.voxels) > 0, instance.last_seen_ns) > (len(held.voxels) > 0, held.last_seen_ns)
                if name in instance.verdicts:
                    verdicts[name] = instance.verdicts[name]
                found[number_] = (instance if newer else held, verdicts)
        return dict(list(found.items())[:MOST_INSTANCES])

    def _put_instances(self) -> None:
        shown = self._judged()
        for number_, (instance, verdicts) in shown.items():
            told = self._told.get(number_)
            if told is None or told[0] is not instance or told[1] != verdicts:
                self._store.put(Key("instance", str(number_)), views.instance_value(instance, verdicts))
        self._told = shown
        with_voxels = {number_ for number_, (instance, _) in shown.items() if len(instance.voxels)}
        for kind, present in (("instance", set(shown)), ("voxels", with_voxels)):
            for key in self._store.known(kind):
                if int(key.name) not in present:
                    self._store.remove(key)
        self._voxels = {number_: sent for number_, sent in self._voxels.items() if number_ in with_voxels}

    def _send_voxels(self) -> None:
        now_s = time.monotonic()
        for number_, (instance, _) in self._told.items():
            sent_s, sent = self._voxels.get(number_, (float("-inf"), None))
            if len(instance.voxels) and instance.voxels is not sent and now_s - sent_s >= VOXELS_PERIOD_S:
                self._voxels[number_] = now_s, instance.voxels
                self._store.put(Key("voxels", str(number_)), views.voxels_frame(instance))

    def _ask_for_others(self) -> None:
        """Ask for what does not conform to one instruction after another, and why: the topics do not tell."""
        now_s = time.monotonic()
        if self._others_future is not None:
            if now_s - self._others_asked_s < ANSWER_LIMIT_S:
                return
            self._map_client.remove_pending_request(self._others_future)
            self._others_future = None
        names = list(self._maps.maps.instructions)
        for name in set(self._others) - set(names):
            del self._others[name]
            self._stale = True
        if now_s < self._others_due_s or not names or not self._map_client.service_is_ready():
            return
        self._others_turn += 1
        # The newest instruction is what people look at: it takes every second turn.
        name = names[-1] if self._others_turn % 2 else names[self._others_turn // 2 % len(names)]
        self._others_asked_s = now_s
        self._others_future = self._map_client.call_async(
            GetInstanceMap.Request(instruction_id=name, include_rejected=True)
        )
        self._others_future.add_done_callback(lambda future: self._node.worker.put("others", (name, future)))

    def _take_others(self, answer: tuple[str, Any]) -> None:
        name, future = answer
        if future is not self._others_future:
            return  # of before the page was opened again, or too late
        self._others_future = None
        now_s = time.monotonic()
        self._others_due_s = now_s + max(OTHERS_PERIOD_S, (now_s - self._others_asked_s) / OTHERS_SHARE)
        response = future.result()
        if response.success:
            topic = self._node.resolve_service_name("get_instance_map")
            rejected = [instance_from_message(item, topic) for item in response.map.rejected]
            self._others[name] = {item.id: item for item in rejected}
            self._stale = True

    # ---- surface -------------------------------------------------------------------------------------------------

    def _take_mesh(self, data: bytes) -> None:
        topic = self._node.resolve_topic_name("map/mesh_updates")
        head, regions = update_from_bytes(data, topic)
        if head.clear or head.session != self._session:
            self._store.remove_kind("region")
            self._region_bytes.clear()
            self._session = head.session
        elif self._sequence is not None and head.sequence != self._sequence + 1:
            self._node.statistics.count("mesh updates lost", head.sequence - self._sequence - 1)
            self._ask_for_whole_mesh()
        self._sequence, self._region_size_m = head.sequence, head.region_size_m
        for region in regions:
            name = ",".join(map(str, region.coordinates))
            key = Key("region", name)
            if len(region.triangles) == 0:
                self._store.remove(key)
                self._region_bytes.pop(region.coordinates, None)
                continue
            frame = views.region_frame(name, region.vertices, region.triangles, region.colors)
            self._store.put(key, frame)
            self._region_bytes[region.coordinates] = len(frame)
        self._keep_within_budget()
        self._store.put(Key("surface"), {"frame": head.frame_id, "waiting": head.waiting})

    def _ask_for_whole_mesh(self) -> None:
        now_s = time.monotonic()
        if now_s - self._resent_s > RESEND_PERIOD_S and self._mesh_client.service_is_ready():
            self._resent_s = now_s
            self._mesh_client.call_async(Trigger.Request())

    def _keep_within_budget(self) -> None:
        over = sum(self._region_bytes.values()) - self._configuration.mesh_budget_mib * MEBIBYTE
        if over <= 0:
            return

        def away_m(coordinates: Coordinates) -> float:
            return float(np.linalg.norm((np.array(coordinates) + 0.5) * self._region_size_m - self._viewpoint_m))

        for coordinates in sorted(self._region_bytes, key=away_m, reverse=True):
            if over <= 0:
                break
            over -= self._region_bytes.pop(coordinates)
            self._store.remove(Key("region", ",".join(map(str, coordinates))))
            self._node.statistics.count("mesh regions left out")
        self._node.report("mesh_budget_mib", "mesh_budget_mib: pages show only what of the surface is near the camera")

    # ---- camera --------------------------------------------------------------------------------------------------

    def _take_overlay(self, message: Image) -> None:
        self._masks_s = time.monotonic()
        topic = self._node.resolve_topic_name("reasoning/overlay")
        self._show("masks", lambda: color_from_image(message, topic))

    def _take_keyframe(self, message: Keyframe) -> None:
        up, floor_m = vector_from_message(message.up), number(message.floor_height_m)
        self._store.put(Key("up"), {"up": numbers(up), "floor_height_m": floor_m})
        self._up_is_told = True
        if time.monotonic() - self._masks_s > MASKS_PERIOD_S:
            topic = self._node.resolve_topic_name("keyframes")
            self._show("camera", lambda: color_from_compressed(message.color, topic))

    def _show(self, source: str, decode: Callable[[], Any]) -> None:
        now_s = time.monotonic()
        if now_s - self._picture_s < 1.0 / self._configuration.picture_rate_hz:
            return
        self._picture_s = now_s
        self._store.put(Key("picture"), views.picture_frame(decode(), source))

    def _take_pose(self, message: PoseStamped) -> None:
        now_s = time.monotonic()
        if now_s - self._pose_s < POSE_PERIOD_S:
            return
        self._pose_s = now_s
        T_map_camera = pose_from_message(message.pose, self._node.resolve_topic_name("pose"))
        self._viewpoint_m = T_map_camera[:3, 3]
        self._store.put(Key("pose"), views.pose_value(T_map_camera))

    def _take_trajectory(self, data: bytes) -> None:
        self._way = data

    def _send_way(self) -> None:
        began_s = time.monotonic()
        if self._way is None or began_s < self._way_due_s:
            return
        data, self._way = self._way, None
        poses = [item.pose for item in deserialize_message(data, Path).poses]
        places = np.array([(p.position.x, p.position.y, p.position.z) for p in poses], dtype=np.float32).reshape(-1, 3)
        finite = np.isfinite(places).all(axis=1)
        self._store.put(Key("way"), views.way_frame(places[finite]))
        poses = [pose for pose, known in zip(poses, finite, strict=True) if known]
        if not self._up_is_told and poses:
            topic = self._node.resolve_topic_name("trajectory")
            turns = np.array([pose_from_message(pose, topic)[:3, :3] for pose in poses[-MOST_UP_POSES:]])
            up = views.mean_up(turns)
            if up is not None:
                self._store.put(Key("up"), {"up": numbers(up), "floor_height_m": None})
        ended_s = time.monotonic()
        self._way_due_s = ended_s + (ended_s - began_s) / WAY_SHARE

    # ---- health --------------------------------------------------------------------------------------------------

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        space = self._node.get_namespace().rstrip("/") + "/"
        for status in message.status:
            if not status.hardware_id.startswith("lira_ros") or not status.name.startswith(space):
                continue
            name = plain_sentence(status.name.removeprefix(space))
            values = {plain_sentence(item.key): plain_sentence(item.value) for item in status.values}
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            told = plain_text(status.message, MOST_HEALTH_CHARACTERS)
            self._store.put(Key("health", name), views.health_value(level, told, values))
            self._health_s[name] = time.monotonic()

    def _forget_silent_nodes(self) -> None:
        for name in [name for name, told_s in self._health_s.items() if time.monotonic() - told_s > SILENT_NODE_S]:
            del self._health_s[name]
            self._store.remove(Key("health", name))
