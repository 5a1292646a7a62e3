"""SAM 2's video tracking (Ravi et al., 2024) on a stream without an end: masks follow their things, memory stays flat.

The session of transformers keeps every frame and every output. What the model looks back at is bounded, so the rest is
dropped after every frame: memory features beyond its window, object pointers beyond theirs, and all but the newest
frames at which masks were given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.models.pretrained import place
from lira_ros.reasoning.segmentation.image_preprocessing import IMAGENET_MEAN, IMAGENET_STD, squash
from lira_ros.reasoning.segmentation.prompted import resize_logits

# Frames with given masks that are remembered when the model's own configuration sets no bound (SAM 2.1 looks at 4).
GIVEN_FRAMES = 4


class MaskTracker:
    """Follows masks from frame to frame, by ids that the caller chooses; around a Sam2VideoModel of transformers.

    The time of a frame grows with the number of things. Not thread-safe.
    """

    def __init__(self, model: Any, compute: ComputeConfiguration) -> None:
        """Take a model over; its weights stay in float32, it computes in the configured precision."""
        self._device, self._dtype = place(model, compute, ())
        self._model = model.eval()
        self._side_px = int(model.config.image_size)
        limit = int(model.config.max_cond_frame_num)
        self._given_frames = limit if limit > 0 else GIVEN_FRAMES
        self._session: Sam2VideoInferenceSession | None = None
        self._size_px = (0, 0)
        self._frame = -1
        self._waiting = False

    @property
    def ids(self) -> tuple[int, ...]:
        """Return the ids that are followed, visible or not."""
        return () if self._session is None else tuple(self._session.obj_ids)

    def start(self, color: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]]) -> None:
        """Forget everything and follow these (H, W) bool masks of a (H, W, 3) uint8 RGB frame from now on.

        Raises ValueError for a mask of another size than the frame.
        """
        self._session = None
        self._frame = 0
        self._size_px = (color.shape[0], color.shape[1])
        session = self._new_session()
        session.add_new_frame(self._pixels(color), 0)
        self._session = session
        for identity, mask in masks.items():
            self.prompt(identity, mask)

    def prompt(self, identity: int, mask: NDArray[np.bool_]) -> None:
        """Give the mask of a thing, new or known, in the last frame that was seen.

        Raises ValueError before the first frame and for a mask of another size.
        """
        if self._session is None:
            raise ValueError("tracker: no frame was seen yet, start() comes first")
        if mask.shape != self._size_px:
            raise ValueError(f"tracker: expected a mask of {self._size_px} as the frame has, got {mask.shape}")
        session, frame = self._session, self._frame
        index = session.obj_id_to_idx(identity)
        whole = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))[None, None]
        side = (self._side_px, self._side_px)
        scaled = torch.nn.functional.interpolate(whole, side, mode="bilinear", antialias=True, align_corners=False)
        session.add_mask_inputs(index, frame, (scaled >= 0.5).float())
        # What the model thought of this frame gives way to what it is told.
        session.frames_tracked_per_obj[index].pop(frame, None)
        for kept in session.output_dict_per_obj[index].values():
            kept.pop(frame, None)
        if identity not in session.obj_with_new_inputs:
            session.obj_with_new_inputs.append(identity)
        self._waiting = True

    def remove(self, identity: int) -> None:
        """Follow a thing no longer; the others keep what is remembered of them. Raises KeyError for an unknown id."""
        if identity not in self.ids or self._session is None:
            raise KeyError(identity)
        # A session cannot forget a thing: a new one takes over what there is of all others.
        old, new = self._session, self._new_session()
        new.processed_frames, new.cache = old.processed_frames, old.cache
        for other in old.obj_ids:
            if other != identity:
                before, after = old.obj_id_to_idx(other), new.obj_id_to_idx(other)
                new.output_dict_per_obj[after] = old.output_dict_per_obj[before]
                new.frames_tracked_per_obj[after] = old.frames_tracked_per_obj[before]
                new.mask_inputs_per_obj[after] = old.mask_inputs_per_obj[before]
        new.obj_with_new_inputs = [other for other in old.obj_with_new_inputs if other != identity]
        self._session = new

    def update(self, color: NDArray[np.uint8]) -> dict[int, NDArray[np.bool_]]:
        """Return the (H, W) bool masks in the next frame by id; things that are hidden or left are not in it.

        Raises ValueError before start() and for a frame of another size, ReasoningError when the memory of the device
        is not enough.
        """
        if self._session is None:
            raise ValueError("tracker: no frame was seen yet, start() comes first")
        if color.shape[:2] != self._size_px:
            raise ValueError(f"tracker: expected a frame of {self._size_px}, got {color.shape[:2]}")
        try:
            if self._waiting and self.ids:
                self._run(self._frame, None)
            self._waiting = False
            self._frame += 1
            if not self.ids:
                self._session.add_new_frame(self._pixels(color), self._frame)
                self._prune()
                return {}
            found = self._run(self._frame, self._pixels(color))
        except torch.OutOfMemoryError as error:
            raise ReasoningError(f"tracker: the memory of the {self._device} is not enough: {error}") from error
        scores = found.object_score_logits.float().reshape(len(self.ids)).tolist()
        masks: dict[int, NDArray[np.bool_]] = {}
        for identity, logits, score in zip(found.object_ids, found.pred_masks, scores, strict=True):
            # The model's own sign for a thing that is hidden or gone.
            if score > 0:
                mask: NDArray[np.bool_] = (resize_logits(logits[0], self._size_px) > 0).cpu().numpy()
                if mask.any():
                    masks[identity] = mask
        return masks

    def stored_bytes(self) -> int:
        """Return how much memory frames, features and outputs take that are kept for later frames."""
        if self._session is None:
            return 0
        session = self._session
        kept = [
            session.processed_frames,
            session.output_dict_per_obj,
            session.mask_inputs_per_obj,
            session.cache.get_vision_features(self._frame),
        ]
        return _bytes_of(kept)

    def _new_session(self) -> Sam2VideoInferenceSession:
        return Sam2VideoInferenceSession(
            video=None,
            video_height=self._size_px[0],
            video_width=self._size_px[1],
            inference_device=self._device,
            inference_state_device=self._device,
            video_storage_device=self._device,
            dtype=torch.float32,
        )

    def _pixels(self, color: NDArray[np.uint8]) -> torch.Tensor:
        return squash(color, self._side_px, IMAGENET_MEAN, IMAGENET_STD)

    @torch.inference_mode()
    def _run(self, frame: int, pixels: torch.Tensor | None) -> Any:
        mixed: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self._dtype != torch.float32:
            mixed = torch.autocast(self._device.type, self._dtype)
        with mixed:
            found = self._model(self._session, frame_idx=frame, frame=pixels)
        self._prune()
        return found

    def _prune(self) -> None:
        assert self._session is not None
        session, now = self._session, self._frame
        assert session.processed_frames is not None
        pointers = int(self._model.config.max_object_pointers_in_encoder)
        memories = int(self._model.config.num_maskmem)
        session.processed_frames = {now: session.processed_frames[now]}
        for index, outputs in session.output_dict_per_obj.items():
            given, followed = outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"]
            for old in sorted(given)[: -self._given_frames]:
                del given[old]
            for old in [number for number in followed if number <= now - pointers]:
                del followed[old]
            for number, output in (*given.items(), *followed.items()):
                # Only needed while the memory of this frame is made.
                output.pop("high_res_masks", None)
                if number < now:
                    output.pop("pred_masks", None)
                if number in followed and number <= now - memories:
                    output.pop("maskmem_features", None)
                    output.pop("maskmem_pos_enc", None)
            session.frames_tracked_per_obj[index] = {
                number: value for number, value in session.frames_tracked_per_obj[index].items() if number >= now
            }
            session.mask_inputs_per_obj[index] = {
                number: value for number, value in session.mask_inputs_per_obj[index].items() if number >= now
            }


def _bytes_of(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Mapping):
        return sum(_bytes_of(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_bytes_of(item) for item in value)
    return 0
