"""The named QoS profiles of the suite (REP-2003): what a topic is for decides how it is delivered."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

# A late joiner gets this much history: at one keyframe for each 0.1 m these are the last 20 m of the walk, and at
# about 0.3 MB for each keyframe (JPEG colour, PNG depth) they bound the history of a publisher to about 60 MB.
KEYFRAME_HISTORY = 200
# A fragment holds 9 keyframes and about 1 MB of deflated voxels, and is sent again with each revision; 60 messages
# cover the same walk two to three times.
FRAGMENT_HISTORY = 60
# A candidate array is a few kB of run lengths; each keyframe is answered once for each instruction, so this covers
# the keyframe history for ten instructions.
CANDIDATE_HISTORY = 10 * KEYFRAME_HISTORY
# Instance maps are latched for each instruction; so many instructions are active at most by default, with room.
INSTANCE_MAP_HISTORY = 64
# Camera messages waiting in the middleware: a third of a second at 30 Hz. More would only add latency.
SENSOR_DEPTH = 10
# Changes of the mesh in flight: at most a few per second, each within the bandwidth limit.
MESH_UPDATE_DEPTH = 10

# Requests that wait in the middleware while one is answered. With the ten of the default profile the eleventh of a
# burst replaces the first, whose caller then waits for ever.
SERVICE_DEPTH = 500


def sensor_input(depth: int = SENSOR_DEPTH) -> QoSProfile:
    """Return the profile of camera and pose inputs: best effort, volatile, so that it matches every publisher."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def stream(depth: int = 50) -> QoSProfile:
    """Return the profile of messages of which none may be lost between connected nodes: reliable, volatile."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )


def history(depth: int) -> QoSProfile:
    """Return the profile of a stream whose last ``depth`` messages a late joiner gets: reliable, transient local."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def latched() -> QoSProfile:
    """Return the profile of maps and states: reliable, transient local, the last message only."""
    return history(1)


def keyframes() -> QoSProfile:
    """Return the profile of the keyframe topic, the same for publisher and subscriptions."""
    return history(KEYFRAME_HISTORY)


def fragments() -> QoSProfile:
    """Return the profile of the fragment topic, the same for publisher and subscriptions."""
    return history(FRAGMENT_HISTORY)


def candidates() -> QoSProfile:
    """Return the profile of the candidate topic, the same for publisher and subscriptions."""
    return history(CANDIDATE_HISTORY)


def instance_maps() -> QoSProfile:
    """Return the profile of the full instance maps: the last map of each instruction for late joiners."""
    return history(INSTANCE_MAP_HISTORY)


def image_output() -> QoSProfile:
    """Return the profile of images for people: best effort, the newest only matters."""
    return sensor_input(depth=2)


def instance_updates() -> QoSProfile:
    """Return the profile of the changes of instance maps: all instructions may change at once, a few times a second."""
    return stream(4 * INSTANCE_MAP_HISTORY)


def mesh_updates() -> QoSProfile:
    """Return the profile of the changes of the mesh: whoever comes late is sent everything anew."""
    return stream(MESH_UPDATE_DEPTH)


def diagnostics() -> QoSProfile:
    """Return the profile of /diagnostics, that of diagnostic_updater: reliable, volatile, depth 1."""
    return stream(depth=1)


def services() -> QoSProfile:
    """Return the profile of services: reliable, volatile, with room for bursts."""
    return stream(SERVICE_DEPTH)


def describe(profile: QoSProfile) -> str:
    """Return a profile in the words of the warning texts, for example "best effort, volatile, depth 5"."""
    reliability = profile.reliability.name.lower().replace("_", " ")
    durability = profile.durability.name.lower().replace("_", " ")
    # A profile that was discovered from a peer has no depth (DDS does not announce it).
    depth = f", depth {profile.depth}" if profile.depth else ""
    return f"{reliability}, {durability}{depth}"
