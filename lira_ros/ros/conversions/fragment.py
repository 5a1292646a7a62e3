"""lira_msgs/VoxelFragment <-> Fragment, with the encoding that the message names."""

from __future__ import annotations

import zlib
from array import array

import numpy as np
from std_msgs.msg import Header

from lira_msgs.msg import VoxelFragment
from lira_ros.mapping.fragment import VOXELS_PER_BLOCK, Fragment
from lira_ros.ros.conversions.geometry import pose_from_message, pose_to_message
from lira_ros.ros.conversions.image import bytes_array
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns
from lira_ros.ros.errors import ConversionError

# One block as VoxelFragment.msg describes ENCODING_TSDF_I16_WEIGHT_U16_RGB8.
_RECORD = np.dtype(
    [("tsdf", "<i2", VOXELS_PER_BLOCK), ("weight", "<u2", VOXELS_PER_BLOCK), ("color", "u1", (VOXELS_PER_BLOCK, 3))]
)
_TSDF_SCALE = 32767.0
_WEIGHT_SCALE = 64.0
# Level 6 takes 2.4 times as long for voxels of a real room and makes them 6 % smaller.
_DEFLATE_LEVEL = 1


def fragment_to_message(fragment: Fragment, session: int, sequence: int, map_frame: str) -> VoxelFragment:
    """Encode a fragment; tsdf is rounded to 1/32767 of the truncation, weights to 1/64."""
    message = empty_fragment_message(session, sequence, map_frame, fragment.stamp_ns)
    message.clear = False
    message.id = fragment.id
    message.revision = fragment.revision
    message.anchor = pose_to_message(fragment.T_map_fragment)
    message.voxel_size_m = fragment.voxel_size_m
    message.truncation_m = fragment.truncation_m
    message.keyframe_ids = array("I", fragment.keyframe_ids)
    message.block_coordinates = array("i", fragment.block_coordinates.astype("<i4").tobytes())
    records = np.empty(len(fragment.block_coordinates), dtype=_RECORD)
    records["tsdf"] = np.rint(np.clip(fragment.tsdf, -1.0, 1.0) * _TSDF_SCALE)
    records["weight"] = np.rint(np.clip(fragment.weight * _WEIGHT_SCALE, 0.0, 65535.0))
    records["color"] = fragment.color
    message.data = bytes_array(zlib.compress(records.tobytes(), _DEFLATE_LEVEL))
    return message


def empty_fragment_message(session: int, sequence: int, map_frame: str, stamp_ns: int) -> VoxelFragment:
    """Return a message that tells receivers to forget every fragment (clear is set, no blocks)."""
    message = VoxelFragment(
        header=Header(stamp=stamp_from_ns(stamp_ns), frame_id=map_frame),
        session=session,
        sequence=sequence,
        clear=True,
        encoding=VoxelFragment.ENCODING_TSDF_I16_WEIGHT_U16_RGB8,
    )
    message.anchor.orientation.w = 1.0
    return message


def _decimal(value: float) -> float:
    """Return the shortest decimal of a float32 field, so that 0.04 m does not become 0.03999999910593033 m."""
    return float(str(np.float32(value)))


def fragment_from_message(message: VoxelFragment, topic: str) -> Fragment:
    """Decode a fragment; raises ConversionError that names the topic and the fragment for whatever is wrong in it.

    A message with ``clear`` and id 0 carries no fragment; the caller looks at ``clear`` first.
    """
    where = f"{topic}: fragment {message.id}"
    if message.encoding != VoxelFragment.ENCODING_TSDF_I16_WEIGHT_U16_RGB8:
        raise ConversionError(
            f"{where}: expected encoding {VoxelFragment.ENCODING_TSDF_I16_WEIGHT_U16_RGB8}, got {message.encoding}"
        )
    if len(message.block_coordinates) % 3:
        raise ConversionError(f"{where}: expected 3 coordinates for each block, got {len(message.block_coordinates)}")
    blocks = np.frombuffer(message.block_coordinates, dtype=np.int32).reshape(-1, 3)
    expected = len(blocks) * _RECORD.itemsize
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(bytes(message.data), expected + 1)  # never inflates more than can be right
    except zlib.error as error:
        raise ConversionError(f"{where}: expected deflated voxels, got {len(message.data)} bytes: {error}") from error
    if len(data) != expected or not (inflate.eof or expected == 0):
        raise ConversionError(f"{where}: expected {expected} bytes for {len(blocks)} blocks, got {len(data)}")
    records = np.frombuffer(data, dtype=_RECORD)
    try:
        return Fragment(
            id=message.id,
            revision=message.revision,
            stamp_ns=stamp_to_ns(message.header.stamp),
            T_map_fragment=pose_from_message(message.anchor, f"{where} anchor"),
            voxel_size_m=_decimal(message.voxel_size_m),
            truncation_m=_decimal(message.truncation_m),
            keyframe_ids=tuple(message.keyframe_ids),
            block_coordinates=blocks.copy(),
            tsdf=records["tsdf"].astype(np.float32) / np.float32(_TSDF_SCALE),
            weight=records["weight"].astype(np.float32) / np.float32(_WEIGHT_SCALE),
            color=records["color"].copy(),
        )
    except ConversionError:
        raise
    except ValueError as error:
        raise ConversionError(f"{where}: {error}") from error
