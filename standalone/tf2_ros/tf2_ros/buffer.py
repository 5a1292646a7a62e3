"""The transforms of the last seconds and every transform that follows from them."""

from __future__ import annotations

import math
import threading
import time as system_time
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from geometry_msgs.msg import TransformStamped
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time
from tf2_msgs.srv import FrameGraph

from tf2_ros.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # x, y, z, w

# tf2::BUFFER_CORE_DEFAULT_CACHE_TIME
DEFAULT_CACHE_TIME = Duration(seconds=10)
# tf2 refuses a quaternion whose squared norm differs by more from 1 (QUATERNION_NORMALIZATION_TOLERANCE).
_QUATERNION_TOLERANCE = 10e-3
# A chain longer than this is a loop (tf2::BufferCore::MAX_GRAPH_DEPTH).
_MAX_GRAPH_DEPTH = 1000
_LOGGER = get_logger("tf2_buffer")


class _Sample(NamedTuple):
    """The transform of a frame to its parent at one time."""

    stamp_ns: int
    parent: str
    translation: Vector
    rotation: Quaternion


@dataclass
class _Frame:
    """What is known of one child frame; a static frame keeps one sample that holds at all times."""

    is_static: bool
    authority: str
    samples: list[_Sample] = field(default_factory=list)  # ascending stamps


class Buffer:
    """Keep transforms and answer what the transform between two frames is at a given time.

    Translations are interpolated linearly and rotations spherically between the two nearest samples; nothing is
    extrapolated. Time 0 asks for the latest time at which the whole chain is known. Thread-safe.

    Args:
        cache_time: how long the transforms of a frame are kept, counted from its newest one; 10 s by default.
        node: offers the service ``tf2_frames``; a jump of its clock back in time by a second or more clears the buffer.
            (Older releases of the real package do not clear it by themselves: a node that replays recordings in a loop
            calls ``clear()``.)
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        self._cache_ns = (DEFAULT_CACHE_TIME if cache_time is None else cache_time).nanoseconds
        self._frames: dict[str, _Frame] = {}
        self._names: set[str] = set()
        self._changed = threading.Condition(threading.RLock())
        self._waiting: list[Callable[[], None]] = []
        if node is not None:
            self.srv = node.create_service(FrameGraph, "tf2_frames", self._on_frame_graph)
            self.jump_handle = node.get_clock().create_jump_callback(
                JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True),
                post_callback=self._on_time_jump,
            )

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform; one that is malformed or older than what is kept is ignored with a warning."""
        self._insert(transform, authority, is_static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Add a transform that holds at all times."""
        self._insert(transform, authority, is_static=True)

    def clear(self) -> None:
        """Forget all transforms except the static ones."""
        with self._changed:
            for frame in self._frames.values():
                if not frame.is_static:
                    frame.samples.clear()

    def lookup_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008 - immutable
    ) -> TransformStamped:
        """Return the transform that maps points of ``source_frame`` into ``target_frame``.

        Waits up to ``timeout`` (in system time) for it. Raises InvalidArgumentException for a bad name, LookupException
        for an unknown frame, ConnectivityException without a chain, ExtrapolationException outside of the times kept.
        """
        self.can_transform(target_frame, source_frame, time, timeout)
        with self._changed:
            stamp_ns, translation, rotation = self._lookup(target_frame, source_frame, time.nanoseconds)
        result = TransformStamped()
        result.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        result.header.frame_id = target_frame
        result.child_frame_id = source_frame
        vector, quaternion = result.transform.translation, result.transform.rotation
        vector.x, vector.y, vector.z = translation
        quaternion.x, quaternion.y, quaternion.z, quaternion.w = rotation
        return result

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Time,
        timeout: Duration = Duration(),  # noqa: B008 - immutable
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Return whether the transform can be looked up, after waiting up to ``timeout`` (in system time) for it.

        With ``return_debug_tuple`` the reason why not comes with it.
        """
        deadline_s = system_time.monotonic() + timeout.nanoseconds * 1e-9
        with self._changed:
            while True:
                error = self._error(target_frame, source_frame, time.nanoseconds)
                remaining_s = deadline_s - system_time.monotonic()
                if error is None or remaining_s <= 0:
                    break
                self._changed.wait(remaining_s)
        return (error is None, error or "") if return_debug_tuple else error is None

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Time) -> Future:
        """Return a future whose result is the transform as soon as it can be looked up."""
        future = Future()

        def complete_when_possible() -> None:
            if not future.done() and self._error(target_frame, source_frame, time.nanoseconds) is None:
                future.set_result(self.lookup_transform(target_frame, source_frame, time))

        with self._changed:
            complete_when_possible()
            if not future.done():
                self._waiting.append(complete_when_possible)
                future.add_done_callback(lambda _: self._waiting.remove(complete_when_possible))
        return future

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the latest time at which the transform between two frames is known; 0 if it is static."""
        with self._changed:
            self._check_names(target_frame, source_frame)
            return Time(nanoseconds=self._latest_common_time_ns(target_frame, source_frame))

    def all_frames_as_yaml(self) -> str:
        """Return the tree of frames as YAML, with the times [s] that are kept of each."""
        lines = []
        with self._changed:
            for name, frame in sorted(self._frames.items()):
                if not frame.samples:
                    continue
                oldest_s, newest_s = frame.samples[0].stamp_ns * 1e-9, frame.samples[-1].stamp_ns * 1e-9
                duration_s = newest_s - oldest_s
                rate_hz = (len(frame.samples) - 1) / duration_s if duration_s > 0 else 10000.0
                lines += [
                    f"{name}: ",
                    f"  parent: '{frame.samples[-1].parent}'",
                    f"  broadcaster: '{frame.authority}'",
                    f"  rate: {rate_hz:.3f}",
                    f"  most_recent_transform: {newest_s:.6f}",
                    f"  oldest_transform: {oldest_s:.6f}",
                    f"  buffer_length: {duration_s:.3f}",
                ]
        return "".join(line + "\n" for line in lines) or "{}"

    def _on_frame_graph(self, request: FrameGraph.Request, response: FrameGraph.Response) -> FrameGraph.Response:
        response.frame_yaml = self.all_frames_as_yaml()
        return response

    def _on_time_jump(self, jump: TimeJump) -> None:
        _LOGGER.warning("Detected jump back in time. Clearing tf buffer.")
        self.clear()

    def _insert(self, transform: TransformStamped, authority: str, is_static: bool) -> None:
        # Names of ROS 1 with a leading slash are accepted here, as tf2 does it.
        child = transform.child_frame_id.removeprefix("/")
        parent = transform.header.frame_id.removeprefix("/")
        vector, quaternion = transform.transform.translation, transform.transform.rotation
        translation = (vector.x, vector.y, vector.z)
        rotation = (quaternion.x, quaternion.y, quaternion.z, quaternion.w)
        complaint = None
        if not child or not parent:
            complaint = "one of its frames has no name"
        elif child == parent:
            complaint = "both frames are the same"
        elif not all(map(math.isfinite, translation + rotation)):
            complaint = "it contains a value that is not finite"
        elif abs(sum(value * value for value in rotation) - 1) > _QUATERNION_TOLERANCE:
            complaint = f"its quaternion {rotation} has not length 1"
        if complaint is not None:
            _LOGGER.error(f"Ignoring transform from '{parent}' to '{child}' of {authority}: {complaint}")
            return
        sample = _Sample(Time.from_msg(transform.header.stamp).nanoseconds, parent, translation, _normalized(*rotation))
        with self._changed:
            self._names |= {child, parent}
            frame = self._frames.setdefault(child, _Frame(is_static, authority))
            frame.authority = authority
            if frame.is_static:
                frame.samples = [sample._replace(stamp_ns=0)]
            elif not self._insert_sample(frame.samples, sample):
                _LOGGER.warning(
                    f"Ignoring transform to '{child}' at {sample.stamp_ns * 1e-9:.6f} of {authority}: "
                    "it is older than what is kept or its stamp is there already",
                    throttle_duration_sec=5.0,
                )
                return
            self._changed.notify_all()
            waiting = list(self._waiting)
        for complete_when_possible in waiting:
            complete_when_possible()

    def _insert_sample(self, samples: list[_Sample], sample: _Sample) -> bool:
        if not samples or sample.stamp_ns > samples[-1].stamp_ns:
            samples.append(sample)
        else:
            position = bisect_left(samples, (sample.stamp_ns,))
            if sample.stamp_ns < samples[-1].stamp_ns - self._cache_ns or samples[position].stamp_ns == sample.stamp_ns:
                return False
            insort(samples, sample)
        del samples[: bisect_left(samples, (samples[-1].stamp_ns - self._cache_ns,))]
        return True

    def _check_names(self, *names: str) -> None:
        for argument, name in zip(("target_frame", "source_frame"), names, strict=True):
            if not name:
                raise InvalidArgumentException(f"Invalid argument passed to {argument}: frame id is empty")
            if name.startswith("/"):
                raise InvalidArgumentException(
                    f"Invalid argument \"{name}\" passed to {argument}: in tf2 frame_ids cannot start with a '/'"
                )
            if name not in self._names:
                raise LookupException(f'"{name}" passed to {argument} does not exist. ')

    def _error(self, target: str, source: str, time_ns: int) -> str | None:
        try:
            with self._changed:
                self._lookup(target, source, time_ns)
        except TransformException as error:
            return str(error)
        return None

    def _lookup(self, target: str, source: str, time_ns: int) -> tuple[int, Vector, Quaternion]:
        """Return stamp, translation and rotation of T_target_source."""
        self._check_names(target, source)
        if time_ns == 0:
            time_ns = self._latest_common_time_ns(target, source)
        # Follow the source to its root (or to the target), remembering T_ancestor_source for each ancestor.
        ancestors = {source: ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))}
        extrapolation = self._climb(source, time_ns, ancestors, stop=(target,))
        if target in ancestors:
            return time_ns, *ancestors[target]
        # Follow the target until it meets that chain.
        target_ancestors = {target: ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))}
        extrapolation = self._climb(target, time_ns, target_ancestors, stop=ancestors) or extrapolation
        meeting = next(reversed(target_ancestors))
        if meeting in ancestors:
            return time_ns, *_compose(_inverse(target_ancestors[meeting]), ancestors[meeting])
        if extrapolation is not None:
            raise ExtrapolationException(
                f"{extrapolation}, when looking up transform from frame [{source}] to frame [{target}]"
            )
        raise self._not_connected(target, source)

    def _climb(
        self,
        name: str,
        time_ns: int,
        ancestors: dict[str, tuple[Vector, Quaternion]],
        stop: tuple[str, ...] | dict[str, tuple[Vector, Quaternion]],
    ) -> str | None:
        """Add the ancestors of a frame up to one of ``stop``; return why it ended early if for lack of data."""
        for _ in range(_MAX_GRAPH_DEPTH):
            frame = self._frames.get(name)
            if name in stop or frame is None or not frame.samples:
                return None
            sample = _at(frame, time_ns)
            if isinstance(sample, str):
                return sample
            ancestors[sample.parent] = _compose((sample.translation, sample.rotation), ancestors[name])
            name = sample.parent
        raise LookupException(f"The tf tree is invalid because it contains a loop: {self.all_frames_as_yaml()}")

    def _latest_common_time_ns(self, target: str, source: str) -> int:
        """Return the latest time known of every moving transform between two frames; 0 without any."""
        chains = []
        for name in (target, source):
            chain = {name: math.inf}  # ancestor -> latest time at which the way to it is known
            while (frame := self._frames.get(name)) is not None and frame.samples and len(chain) <= _MAX_GRAPH_DEPTH:
                newest = frame.samples[-1]
                latest = min(chain[name], math.inf if frame.is_static else newest.stamp_ns)
                if newest.parent in chain:
                    break
                chain[newest.parent] = latest
                name = newest.parent
            chains.append(chain)
        common = next((name for name in chains[0] if name in chains[1]), None)
        if common is None:
            raise self._not_connected(target, source)
        latest = min(chains[0][common], chains[1][common])
        return 0 if math.isinf(latest) else int(latest)

    def _not_connected(self, target: str, source: str) -> ConnectivityException:
        return ConnectivityException(
            f"Could not find a connection between '{target}' and '{source}' because they are not part of the same "
            "tree. Tf has two or more unconnected trees."
        )


def _at(frame: _Frame, time_ns: int) -> _Sample | str:
    """Return the transform of a frame at a time, or the reason why there is none."""
    samples = frame.samples
    if frame.is_static:
        return samples[0]
    position = bisect_left(samples, (time_ns,))
    if position < len(samples) and samples[position].stamp_ns == time_ns:
        return samples[position]
    requested = f"Requested time {time_ns * 1e-9:.6f} but the"
    if len(samples) == 1:
        return (
            f"Lookup would require extrapolation at time {time_ns * 1e-9:.6f}, "
            f"but only time {samples[0].stamp_ns * 1e-9:.6f} is in the buffer"
        )
    if position == len(samples):
        return (
            f"Lookup would require extrapolation into the future.  {requested} latest data is at time "
            f"{samples[-1].stamp_ns * 1e-9:.6f}"
        )
    if position == 0:
        return (
            f"Lookup would require extrapolation into the past.  {requested} earliest data is at time "
            f"{samples[0].stamp_ns * 1e-9:.6f}"
        )
    before, after = samples[position - 1], samples[position]
    if before.parent != after.parent:  # attached to another frame in between: the earlier one still holds
        return before
    ratio = (time_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    x, y, z = (a + ratio * (b - a) for a, b in zip(before.translation, after.translation, strict=True))
    return _Sample(time_ns, before.parent, (x, y, z), _slerp(before.rotation, after.rotation, ratio))


def _slerp(a: Quaternion, b: Quaternion, ratio: float) -> Quaternion:
    """Return the rotation between two along the shorter arc (Shoemake 1985)."""
    cosine = sum(p * q for p, q in zip(a, b, strict=True))
    sign = -1.0 if cosine < 0 else 1.0
    angle = math.acos(min(1.0, abs(cosine)))
    # Below this angle the sine cannot be divided by; the chord is then the arc to double precision.
    if angle < 1e-8:
        weight_a, weight_b = 1 - ratio, ratio
    else:
        weight_a, weight_b = (math.sin(share * angle) / math.sin(angle) for share in (1 - ratio, ratio))
    return _normalized(*(weight_a * p + sign * weight_b * q for p, q in zip(a, b, strict=True)))


def _normalized(x: float, y: float, z: float, w: float) -> Quaternion:
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    return x / norm, y / norm, z / norm, w / norm


def _rotate(q: Quaternion, v: Vector) -> Vector:
    x, y, z, w = q
    # v + 2 w (u x v) + 2 u x (u x v) with u = (x, y, z)
    a, b, c = y * v[2] - z * v[1], z * v[0] - x * v[2], x * v[1] - y * v[0]
    return (
        v[0] + 2 * (w * a + y * c - z * b),
        v[1] + 2 * (w * b + z * a - x * c),
        v[2] + 2 * (w * c + x * b - y * a),
    )


def _compose(left: tuple[Vector, Quaternion], right: tuple[Vector, Quaternion]) -> tuple[Vector, Quaternion]:
    """Return the transform that applies ``right`` first."""
    (x1, y1, z1, w1), (x2, y2, z2, w2) = left[1], right[1]
    moved = _rotate(left[1], right[0])
    rotation = _normalized(
        w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
        w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
        w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
    )
    return (left[0][0] + moved[0], left[0][1] + moved[1], left[0][2] + moved[2]), rotation


def _inverse(transform: tuple[Vector, Quaternion]) -> tuple[Vector, Quaternion]:
    (x, y, z, w), vector = transform[1], transform[0]
    conjugate = (-x, -y, -z, w)
    moved = _rotate(conjugate, vector)
    return (-moved[0], -moved[1], -moved[2]), conjugate
