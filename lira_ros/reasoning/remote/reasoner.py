"""The remote back end: a vision-language model behind a server names things with boxes, masks are made here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.answers.contracts import AnswerError, BoxUnits, StructuredAnswer
from lira_ros.reasoning.answers.parsing import parse_answer
from lira_ros.reasoning.answers.prompts import retry_prompt, system_prompt, user_prompt
from lira_ros.reasoning.answers.proposal import region_prompts, sightings_from_answer
from lira_ros.reasoning.answers.schema import answer_schema
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import (
    CandidateSet,
    Exchange,
    Instruction,
    Reasoner,
    ReasoningError,
    ServerUnavailable,
)
from lira_ros.reasoning.embeddings.configuration import EmbeddingConfiguration
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.remote.client import ChatClient, Question
from lira_ros.reasoning.remote.configuration import RemoteConfiguration
from lira_ros.reasoning.remote.picture import choose_units, encode_picture
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration
from lira_ros.reasoning.segmentation.contracts import RegionMask, Segmenter
from lira_ros.reasoning.sightings import candidates_from_sightings

if TYPE_CHECKING:
    from lira_ros.reasoning.embeddings.contracts import RegionEncoder

# A recorded answer is for a person or for a replay, which reads no more of it either.
MAX_RECORDED_CHARACTERS = 262_144


def create_remote_reasoner(
    configuration: RemoteConfiguration,
    compute: ComputeConfiguration,
    masks: SegmentationConfiguration,
    embedding: EmbeddingConfiguration,
    relevance: Relevance,
) -> RemoteReasoner:
    """Make the back end; the server need not be there yet.

    Raises ReasoningError when a parameter cannot be, the key is missing, or the segmenter or encoder cannot be made.
    """
    from lira_ros.reasoning.embeddings.creation import create_region_encoder
    from lira_ros.reasoning.segmentation.creation import create_segmenter

    # First: what is wrong with the address or the key is not said after models were loaded for a minute.
    client = ChatClient(configuration, "reasoner.remote.", configuration.parallel_calls)
    try:
        segmenter = create_segmenter(masks, compute)
        encoder = create_region_encoder(embedding, compute, relevance)
    except Exception:
        client.close()
        raise
    return RemoteReasoner(configuration, client, segmenter, encoder)


class RemoteReasoner(Reasoner):
    """Asks a server about each keyframe; several instructions at the same time, each one question at a time.

    An answer that cannot be read is asked for once more, with what was wrong; a second one is a ReasoningError, never
    "nothing there". Closes its client; propose() may be called from ``parallel_calls`` threads.
    """

    any_language = True

    def __init__(
        self, configuration: RemoteConfiguration, client: ChatClient, segmenter: Segmenter, encoder: RegionEncoder
    ) -> None:
        self.name = f"remote/{configuration.model}" if configuration.model else "remote"
        self.parallel_calls = configuration.parallel_calls
        self._configuration = configuration
        self._client = client
        self._segmenter = segmenter
        self._encoder = encoder
        self._mask_making = threading.Lock()
        self._turns = threading.Condition()
        self._asked: set[str] = set()  # instructions with a question in flight
        self._unreadable = self._given_up = self._read_in_part = self._without_mask = 0

    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Return what the model names in a keyframe, with masks.

        Raises ServerUnavailable at once while the server is away, and ReasoningError when it answers nothing usable.
        """
        start_s = time.perf_counter()
        exchanges: list[Exchange] = []
        try:
            with self._turn_of(instruction.id):
                answer = self._ask(keyframe, instruction, exchanges)
            model = self._client.shown_model
            masks, embeddings = self._look_closer(keyframe, answer)
        except ServerUnavailable as error:
            raise ServerUnavailable(str(error), error.retry_after_s, tuple(exchanges)) from error
        except ReasoningError as error:
            raise ReasoningError(str(error), tuple(exchanges)) from error
        found = sightings_from_answer(answer, masks, embeddings)
        self._without_mask += found.without_mask
        return CandidateSet(
            keyframe_id=keyframe.id,
            stamp_ns=keyframe.frame.stamp_ns,
            instruction_id=instruction.id,
            model=f"remote/{model}",
            latency_s=time.perf_counter() - start_s,
            candidates=candidates_from_sightings(keyframe, found.sightings),
            exchanges=tuple(exchanges),
        )

    def diagnose(self) -> dict[str, object]:
        """Return the state of the connection, and what of the answers was of no use."""
        return {
            **self._client.diagnose(),
            "masks": self._segmenter.name,
            "answers that could not be read": self._unreadable,
            "answers read in part": self._read_in_part,
            "keyframes given up for that": self._given_up,
            "instances without a mask": self._without_mask,
        }

    def close(self) -> None:
        """Give up what is on its way and let go of the connections."""
        self._client.close()

    @contextmanager
    def _turn_of(self, instruction_id: str) -> Iterator[None]:
        with self._turns:
            self._turns.wait_for(lambda: instruction_id not in self._asked)
            self._asked.add(instruction_id)
        try:
            yield
        finally:
            with self._turns:
                self._asked.discard(instruction_id)
                self._turns.notify_all()

    def _ask(self, keyframe: Keyframe, instruction: Instruction, exchanges: list[Exchange]) -> StructuredAnswer:
        """Return the answer to a question, asked twice at most; every exchange is appended."""
        height_px, width_px = keyframe.frame.color.shape[:2]
        prompt = user_prompt(instruction.text)
        for again in (True, False):
            writer = _Writer(self._configuration, keyframe, prompt)
            began_s = time.perf_counter()
            try:
                reply = self._client.ask(writer.write)
            except ReasoningError as error:
                exchanges.append(Exchange(writer.text, "", str(error), time.perf_counter() - began_s))
                raise
            said = reply.text[:MAX_RECORDED_CHARACTERS]
            try:
                answer = parse_answer(said, width_px, height_px, writer.units, writer.shown_size_px)
            except AnswerError as error:
                self._unreadable += 1
                cut = (
                    f" (cut at {self._configuration.max_answer_tokens} tokens, max_answer_tokens)" if reply.cut else ""
                )
                exchanges.append(Exchange(writer.text, said, f"{error}{cut}", reply.latency_s))
                if not again:
                    self._given_up += 1
                    raise ReasoningError(f"{self._client.address}: asked twice: {error}{cut}") from error
                prompt = retry_prompt(instruction.text, str(error))
            else:
                self._read_in_part += bool(answer.problems)
                exchanges.append(Exchange(writer.text, said, "", reply.latency_s))
                return answer
        raise AssertionError("the second answer is returned or raised")

    def _look_closer(
        self, keyframe: Keyframe, answer: StructuredAnswer
    ) -> tuple[list[RegionMask], NDArray[np.float32]]:
        """Return masks and embeddings of the instances of an answer; one thread at a time owns what makes them."""
        if not answer.instances:
            return [], np.zeros((0, 0), dtype=np.float32)
        with self._mask_making:
            (masks,) = self._segmenter.segment([(keyframe, region_prompts(answer))])
            embeddings = self._encoder.encode(
                keyframe,
                [region.mask for region in masks],
                [instance.label for instance in answer.instances],
                [instance.color for instance in answer.instances],
            )
        return masks, embeddings


class _Writer:
    """Writes the question about a keyframe, in the units of the model that turns out to answer."""

    def __init__(self, configuration: RemoteConfiguration, keyframe: Keyframe, prompt: str) -> None:
        self._configuration = configuration
        self._keyframe = keyframe
        self._prompt = prompt
        self.units = BoxUnits.RELATIVE_1000
        self.shown_size_px = (0, 0)

    @property
    def text(self) -> str:
        """Return the question as text; the image is named."""
        return f"{system_prompt(self.units)}\n{self._prompt}\n[keyframe {self._keyframe.id}]"

    def write(self, model: str) -> Question:
        """Return the question for a model of that name."""
        settings = self._configuration
        self.units = choose_units(settings.box_units, model)
        picture = encode_picture(
            self._keyframe.frame.color, self.units, settings.max_image_side_px, settings.jpeg_quality
        )
        self.shown_size_px = (picture.width_px, picture.height_px)
        # What does not change from keyframe to keyframe comes first: servers keep the state after a common prefix.
        parts = [{"type": "text", "text": self._prompt}, {"type": "image_url", "image_url": {"url": picture.data_uri}}]
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": system_prompt(self.units)},
            {"role": "user", "content": parts},
        ]
        return Question(messages, answer_schema(self.units), "answer")
