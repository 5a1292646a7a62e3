"""The reasoning back ends by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.configuration import parameter, section
from lira_ros.reasoning.compact.reasoner import CompactConfiguration, CompactReasoner
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import Reasoner, ReasoningError
from lira_ros.reasoning.detector.configuration import DetectorConfiguration
from lira_ros.reasoning.embeddings.configuration import EmbeddingConfiguration
from lira_ros.reasoning.exchanges import ExchangeFile, RecordingReasoner
from lira_ros.reasoning.hybrid import HybridConfiguration, HybridReasoner
from lira_ros.reasoning.lisa.configuration import LisaConfiguration
from lira_ros.reasoning.models.files import forbid_downloads
from lira_ros.reasoning.oracle import AnnotatedObject, OracleConfiguration, OracleReasoner
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.remote.configuration import RemoteConfiguration
from lira_ros.reasoning.replay import ReplayConfiguration, ReplayReasoner
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration
from lira_ros.reasoning.vlm.configuration import VlmConfiguration


@dataclass(frozen=True)
class ReasonerConfiguration:
    """Which back end answers, and what can be set of it."""

    backend: str = parameter(
        "compact",
        "Reasoning back end: compact, lisa, vlm, remote, detector, hybrid, replay, or oracle for recordings "
        "with annotated objects",
    )
    record_exchanges: str = parameter("", "File to which every exchange with a model is appended; empty = none")
    compute: ComputeConfiguration = section(ComputeConfiguration)
    masks: SegmentationConfiguration = section(SegmentationConfiguration)
    embedding: EmbeddingConfiguration = section(EmbeddingConfiguration)
    compact: CompactConfiguration = section(CompactConfiguration)
    lisa: LisaConfiguration = section(LisaConfiguration)
    vlm: VlmConfiguration = section(VlmConfiguration)
    remote: RemoteConfiguration = section(RemoteConfiguration)
    detector: DetectorConfiguration = section(DetectorConfiguration)
    hybrid: HybridConfiguration = section(HybridConfiguration)
    replay: ReplayConfiguration = section(ReplayConfiguration)
    oracle: OracleConfiguration = section(OracleConfiguration)


@dataclass(frozen=True)
class GroundTruth:
    """The annotation of a recording, as the oracle takes it.

    instance_image: the (H, W) object ids of the frame with a stamp [ns], None for an unknown stamp. stamps_ns: the
    stamps of all frames, in order; where they are not known no masks can come late.
    """

    instance_image: Callable[[int], NDArray[np.integer] | None]
    objects: Sequence[AnnotatedObject]
    stamps_ns: Sequence[int] = ()


@dataclass(frozen=True)
class Backend:
    """A back end: what it is, and how it is made. Models and their libraries are imported when one is made."""

    description: str
    create: Callable[[ReasonerConfiguration, Relevance, GroundTruth | None], Reasoner]


def _create_compact(configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None) -> Reasoner:
    return CompactReasoner(relevance, configuration.compact)


def _create_oracle(configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None) -> Reasoner:
    if truth is None or not truth.objects:
        raise ReasoningError("reasoner.backend oracle: needs a recording with annotated objects, got none")
    return OracleReasoner(truth.instance_image, truth.objects, relevance, configuration.oracle.errors, truth.stamps_ns)


def _create_lisa(configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None) -> Reasoner:
    from lira_ros.reasoning.lisa.reasoner import create_lisa_reasoner

    return create_lisa_reasoner(configuration.lisa, configuration.compute, relevance)


def _create_remote(configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None) -> Reasoner:
    from lira_ros.reasoning.remote.reasoner import create_remote_reasoner

    return create_remote_reasoner(
        configuration.remote, configuration.compute, configuration.masks, configuration.embedding, relevance
    )


def _create_hybrid(configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None) -> Reasoner:
    names = (configuration.hybrid.fast, configuration.hybrid.slow)
    for field, name in zip(("fast", "slow"), names, strict=True):
        known = [backend for backend in BACKENDS if backend != "hybrid"]
        if name not in known:
            raise ReasoningError(f"reasoner.hybrid.{field}: expected one of {', '.join(known)}, got {name!r}")
    if names[0] == names[1]:
        raise ReasoningError(f"reasoner.hybrid: fast and slow are both {names[0]}; set reasoner.backend to it instead")
    fast = _create_part("fast", configuration, relevance, truth)
    try:
        return HybridReasoner(fast, _create_part("slow", configuration, relevance, truth))
    except BaseException:
        fast.close()
        raise


def _create_part(
    field: str, configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None
) -> Reasoner:
    name = getattr(configuration.hybrid, field)
    try:
        return BACKENDS[name].create(configuration, relevance, truth)
    except ReasoningError as error:
        # Whoever asked for hybrid need not know what it is made of.
        raise ReasoningError(f"reasoner.hybrid.{field} is {name}: {error}") from error


def _create_detector(configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None) -> Reasoner:
    from lira_ros.reasoning.detector.reasoner import create_detector_reasoner

    return create_detector_reasoner(
        configuration.detector, configuration.masks, configuration.embedding, configuration.compute, relevance
    )


def _create_replay(configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None) -> Reasoner:
    return ReplayReasoner(configuration.replay.exchanges)


def _create_vlm(configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None) -> Reasoner:
    from lira_ros.reasoning.vlm.reasoner import create_vlm_reasoner

    return create_vlm_reasoner(
        configuration.vlm, configuration.compute, configuration.masks, configuration.embedding, relevance
    )


BACKENDS = {
    "compact": Backend("geometry, colour and a small sentence encoder; runs anywhere", _create_compact),
    "hybrid": Backend("a fast back end for plain names, a slow one for everything else", _create_hybrid),
    "detector": Backend("an open-vocabulary detector looks for the names in an instruction", _create_detector),
    "lisa": Backend("a LISA or LIRA checkpoint: one model reads, looks and draws masks", _create_lisa),
    "oracle": Backend("the annotated masks of a recording, for evaluation", _create_oracle),
    "remote": Backend("any OpenAI-compatible server (vLLM, SGLang, llama.cpp); masks are made here", _create_remote),
    "replay": Backend("the recorded answers of another back end (record_exchanges)", _create_replay),
    "vlm": Backend("a local vision-language model names boxes, a segmenter makes masks of them", _create_vlm),
}


def back_ends_of(configuration: ReasonerConfiguration) -> frozenset[str]:
    """Return the names of the back ends that are in use: hybrid is made of two others."""
    names = {configuration.backend}
    if configuration.backend == "hybrid":
        names |= {configuration.hybrid.fast, configuration.hybrid.slow}
    return frozenset(names)


def create_reasoner(
    configuration: ReasonerConfiguration, relevance: Relevance, truth: GroundTruth | None = None
) -> Reasoner:
    """Make the back end that is configured; what it is asked and answers is recorded where that is configured.

    Raises ReasoningError for an unknown name, with those that exist, and when the back end misses what it needs.
    """
    backend = BACKENDS.get(configuration.backend)
    if backend is None:
        raise ReasoningError(
            f"reasoner.backend: {configuration.backend!r} is not known; there are {', '.join(BACKENDS)}"
        )
    forbid_downloads()
    if not configuration.record_exchanges:
        return backend.create(configuration, relevance, truth)
    # Opened first: that it cannot be written is not said after a model was loaded for a minute.
    file = ExchangeFile(configuration.record_exchanges)
    try:
        if "replay" in back_ends_of(configuration) and file.is_same(configuration.replay.exchanges):
            raise ReasoningError(f"reasoner.record_exchanges: {file.path} is what is replayed; name another file")
        return RecordingReasoner(backend.create(configuration, relevance, truth), file)
    except Exception:
        file.close()
        raise
