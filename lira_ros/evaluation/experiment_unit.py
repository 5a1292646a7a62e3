"""The unit of work of an experiment: one scene, run with one or several configurations, each pair compared.

This is what a worker does, in this process, in another one or on another machine: everything that goes in and out can
be pickled, and nothing of ROS is touched.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lira_ros
from lira_ros.datasets import open_sequence
from lira_ros.datasets.reference import ReferenceInstruction
from lira_ros.datasets.sequence import GroundTruthObject, LabelledMesh, SequenceError
from lira_ros.datasets.sequence import Sequence as RecordedSequence
from lira_ros.evaluation.class_agnostic import compare_scene
from lira_ros.evaluation.load import LoadSampler, ProcessLoad
from lira_ros.evaluation.online import FIRST_SIGHT_PIXELS, FirstSight, MapHistory, Moment, f1, identities, online_scores
from lira_ros.evaluation.pair import PairComparison, Prediction, SceneTruth, Transfer
from lira_ros.evaluation.pair_pictures import pair_picture
from lira_ros.evaluation.picture_answers import PictureAnswers
from lira_ros.evaluation.record import RunRecord
from lira_ros.evaluation.results import CurvePoint, PairResult, StageTimes, UnitResult
from lira_ros.evaluation.run_configuration import KEPT_REASONER, RunConfiguration
from lira_ros.evaluation.runner import Request, run_sequence
from lira_ros.evaluation.strict_protocol import IOU_THRESHOLDS, count_matches, oracle_selection, return_everything
from lira_ros.evaluation.surfaces import compare_vertices, compare_with_truth
from lira_ros.fusion.contracts import Instance
from lira_ros.geometry.frame import Frame
from lira_ros.mapping.configuration import MappingConfiguration

# Moments at which an answer is compared while a recording runs; a curve needs no more.
SNAPSHOTS = 20
# The curve is drawn from every n-th vertex of the truth: the F1 of a set of objects hardly changes with it.
CURVE_VERTEX_STRIDE = 4
# No farther does a vertex look for an instance there [m]: a few voxels, as in the strict protocol.
CURVE_REACH_M = 0.1
# An object counts as seen from this share of a picture on: 50 pixels of LIRA's 160 x 120 (FIRST_SIGHT_PIXELS).
SIGHTING_SHARE = FIRST_SIGHT_PIXELS / (160 * 120)
# Durations kept of every stage of a run; enough for a 99th percentile over all runs.
STAGE_SAMPLES = 200
# Pictures that a unit hands over: no more of one scene are ever shown.
PICTURES = 10
# Points on both surfaces that are compared: shares are then known to half a per cent.
SURFACE_SAMPLES = 20_000
# Frames that a scene keeps in memory for the next configuration; beyond that they are read or drawn again.
REMEMBERED_BYTES = 1 << 30


@dataclass(frozen=True)
class Task:
    """One run over the scene of a unit: for which experiment, with what configuration."""

    experiment: str
    configuration: RunConfiguration


@dataclass(frozen=True)
class Unit:
    """A scene and the runs over it.

    questions: instead of those of the recording. number: only this instruction (from 1 on); 0 = all given to one run.
    """

    scene: str
    tasks: tuple[Task, ...]
    questions: tuple[ReferenceInstruction, ...] | None = None
    number: int = 0

    @property
    def name(self) -> str:
        """Return what names the unit within an experiment."""
        return f"{self.scene} #{self.number}" if self.number else self.scene


@dataclass(frozen=True)
class Outcome:
    """What a run of a unit brought. pictures: JPEG files of its worst pairs, by the key of the pair, worst first."""

    experiment: str
    result: UnitResult
    pairs: tuple[PairResult, ...] = ()
    pictures: dict[tuple[str, int], bytes] = field(default_factory=dict)


@cache
def program() -> str:
    """Return the version of the package and a hash of its sources, so that results of two states are told apart."""
    root = Path(lira_ros.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{lira_ros.__version__}+{digest.hexdigest()[:12]}"


def questions_of(scene: str) -> tuple[ReferenceInstruction, ...]:
    """Return the instructions with known answers that a scene brings. Raises SequenceError when it has none."""
    sequence = open_sequence(scene)
    try:
        return _checked_questions(sequence, None)
    finally:
        sequence.close()


def _checked_questions(
    sequence: RecordedSequence, given: tuple[ReferenceInstruction, ...] | None
) -> tuple[ReferenceInstruction, ...]:
    questions = sequence.instructions() if given is None else given
    if not questions:
        raise SequenceError(f"{sequence.name}: the recording has no instructions of its own; name a file: --questions")
    known = {item.id for item in sequence.objects()}
    for question in questions:
        unknown = sorted(set(question.ids) - known)
        if unknown:
            raise SequenceError(f"{sequence.name}: {question.text!r}: no annotated object has id {unknown}")
    return questions


class Scene:
    """A recording that is open, with what all runs over it share."""

    def __init__(self, unit: Unit, sequence: RecordedSequence) -> None:
        self.sequence = RememberedSequence(sequence) if len(unit.tasks) > 1 else sequence
        questions = _checked_questions(sequence, unit.questions)
        if unit.number > len(questions):
            raise SequenceError(f"{unit.scene}: has {len(questions)} instructions, number {unit.number} was asked for")
        self.questions = dict(enumerate(questions, start=1))
        if unit.number:
            self.questions = {unit.number: questions[unit.number - 1]}
        self.sighting_px = max(1, round(SIGHTING_SHARE * sequence.camera.width_px * sequence.camera.height_px))
        self._surfaces: dict[MappingConfiguration, dict[str, float]] = {}
        self.first_sight = FirstSight(self.sighting_px)

    def look(self, index: int) -> NDArray[np.uint16] | None:
        """Note which objects one frame shows and return their ids."""
        seen_s = (self.sequence.stamp_ns(index) - self.sequence.stamp_ns(0)) * 1e-9
        image = self.sequence.readable_instance_image(index)
        self.first_sight.add(seen_s, image)
        return image

    def surface_scores(self, record: RunRecord, mapping: MappingConfiguration) -> dict[str, float]:
        """Compare the mesh of a run with the true surface; runs that map alike have the same one."""
        if record.mesh is None or len(record.mesh.vertices) == 0:
            return {}
        if mapping not in self._surfaces:
            mesh, whole = record.mesh, self.sequence.mesh()
            triangles = np.zeros((0, 3), np.int32) if whole is None else whole.triangles
            vertices = self.truth.vertices if whole is None else whole.vertices
            exact = compare_with_truth(mesh.vertices, mesh.triangles, vertices, triangles, SURFACE_SAMPLES).summary()
            published = compare_vertices(mesh.vertices, vertices).summary()
            figures = {**exact, **{f"{name}, as NeuralRecon measures it": value for name, value in published.items()}}
            self._surfaces[mapping] = {name: value for name, value in figures.items() if value is not None}
        return self._surfaces[mapping]

    @cached_property
    def truth(self) -> SceneTruth:
        """The true surface, made when it is first needed."""
        return SceneTruth.of(self.sequence)


def run_unit(unit: Unit) -> tuple[Outcome, ...]:
    """Run every task of a unit and compare; a task that fails is reported by its sentence and the next one goes on."""
    sequence = None
    outcomes: list[Outcome] = []
    try:
        sequence = open_sequence(unit.scene)
        scene = Scene(unit, sequence)
        for task in unit.tasks:
            try:
                outcomes.append(run_task(unit, task, scene))
            except Exception as error:  # whatever it is, the other runs go on and the sentence is reported
                outcomes.append(_failed(unit, task, error))
    except Exception as error:  # a scene that cannot be opened fails every run over it
        return tuple(_failed(unit, task, error) for task in unit.tasks)
    finally:
        if sequence is not None:
            sequence.close()
    return tuple(outcomes)


def _failed(unit: Unit, task: Task, error: Exception) -> Outcome:
    place = traceback.extract_tb(error.__traceback__)[-1]
    sentence = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
    return Outcome(task.experiment, UnitResult(unit.name, unit.scene, failed=sentence, program=program()))


def run_task(unit: Unit, task: Task, scene: Scene) -> Outcome:
    """Run one configuration over a scene and compare every answer with the truth.

    Raises what the run raises: SequenceError, InstructionError, ConfigurationError, MemoryError ...
    """
    sequence = scene.sequence
    questions = {f"q{number}": question for number, question in scene.questions.items()}
    requests = [Request(question.text, 0.0, name) for name, question in questions.items()]
    pictures = PictureAnswers(questions, scene.sighting_px)
    with LoadSampler() as sampler, KEPT_REASONER.lend(task.configuration, sequence) as (pipeline, reasoner):
        record = run_sequence(
            sequence,
            requests,
            pipeline,
            pictures.listening(reasoner),
            lambda index, _: pictures.see(sequence.stamp_ns(index - 1), scene.look(index - 1)),
            keep_answers=False,
            snapshots=SNAPSHOTS,
        )
    outcome = compared_outcome(record, unit, task, scene, sampler.summary()["all"])
    return replace(outcome, result=replace(outcome.result, segmentation=pictures.counts()))


def compared_outcome(record: RunRecord, unit: Unit, task: Task, scene: Scene, load: ProcessLoad | None) -> Outcome:
    """Compare what a run left behind, however it was run, with the truth of its scene."""
    sequence = scene.sequence
    voxel_size_m = task.configuration.fusion.voxel_size_m
    comparison = compare_record(record, unit, scene.questions, scene.truth, voxel_size_m, scene.first_sight.times_s)
    pairs = comparison.pairs
    worst = [pair for pair in sorted(pairs, key=badness) if not is_right(pair)][:PICTURES]
    result = UnitResult(
        unit.name,
        unit.scene,
        pairs=len(pairs),
        program=program(),
        frames=len(sequence),
        keyframes=len(record.keyframes),
        instances=len(record.instances),
        recording_s=(sequence.stamp_ns(len(sequence) - 1) - sequence.stamp_ns(0)) * 1e-9,
        duration_s=record.duration_s,
        dropped={**sequence.skipped, **{refused.first: refused.count for refused in record.refused.values()}},
        notices=tuple(f"{unit.scene}: {notice}" for notice in sequence.notices),
        failures=tuple(record.failures),
        stages=_stages(record),
        load=_load(load),
        surface=scene.surface_scores(record, task.configuration.mapping),
        everything=comparison.everything,
        history=comparison.history,
    )
    pictures = {pair.key: pair_picture(record, sequence, scene.truth, pair) for pair in worst}
    return Outcome(task.experiment, result, pairs, pictures)


@dataclass(frozen=True)
class RunComparison:
    """What a run found, compared with the truth: a result for every pair, and all instances with all objects.

    history: how the instances kept to their objects, None where only what conforms is known over time.
    """

    pairs: tuple[PairResult, ...]
    everything: PairComparison
    history: MapHistory | None


def compare_record(
    record: RunRecord,
    unit: Unit,
    questions: dict[int, ReferenceInstruction],
    truth: SceneTruth,
    voxel_size_m: float,
    first_seen_s: dict[int, float],
) -> RunComparison:
    """Compare what a run left behind with the truth.

    questions: by number, in the order in which they were given. first_seen_s: when each object was first seen, in
    seconds of the recording.
    """
    instances = {item.id: item for item in record.instances}
    # A record of the nodes holds what they published for each instruction.
    for judged in (*record.rejected.values(), *record.conforming.values()):
        for item in judged:
            instances.setdefault(item.id, item)
    surface = record.mesh.vertices if record.mesh is not None else None
    predictions = [prediction_of(item) for item in instances.values() if len(item.voxels)]
    transfer = Transfer(truth, predictions, surface, voxel_size_m)
    moments = _Moments(record, truth, voxel_size_m)
    end_s = record.snapshots[-1].at_s if record.snapshots else 0.0
    whole = compare_scene(transfer, unit.scene)
    pairs = []
    for (number, question), name in zip(questions.items(), record.instructions, strict=True):
        chosen = [prediction_of(item) for item in record.conforming[name] if len(item.voxels)]
        about = (unit.scene, question.text, question.kind)
        over_time = moments.of(name, question.ids)
        everything = transfer.compare(question.ids, return_everything(transfer), *about)
        pairs.append(
            PairResult(
                unit.name,
                unit.scene,
                number,
                question.text,
                question.kind,
                record.statuses[name].state.name,
                record.statuses[name].reason,
                transfer.compare(question.ids, chosen, *about),
                transfer.compare(question.ids, oracle_selection(transfer, question.ids), *about),
                (everything.official_union, everything.strict_union),
                _curve(over_time, end_s),
                online_scores(over_time, first_seen_s, 0.0, end_s) if over_time and end_s > 0 else None,
            )
        )
    return RunComparison(tuple(pairs), whole, moments.history(first_seen_s))


def _curve(moments: Sequence[Moment], end_s: float) -> tuple[CurvePoint, ...]:
    if not moments or end_s <= 0:
        return ()
    return tuple(CurvePoint(round(m.time_s, 3), round(m.time_s / end_s, 4), round(f1(m.pair), 4)) for m in moments)


def prediction_of(instance: Instance) -> Prediction:
    """Return an instance as the protocols take it; all are equally sure, as in the published protocol."""
    return Prediction(instance.id, instance.label, instance.points, 1.0)


class _Moments:
    """The map and the answers at every snapshot of a run, compared on a thinned truth."""

    def __init__(self, record: RunRecord, truth: SceneTruth, voxel_size_m: float) -> None:
        self._record = record
        vertices, ids = truth.vertices[::CURVE_VERTEX_STRIDE], truth.instance_ids[::CURVE_VERTEX_STRIDE]
        thinned = SceneTruth(vertices, ids, truth.labels)
        self._transfers: list[Transfer] = []
        before: dict[int, Instance] = {}
        for snapshot in record.snapshots:
            found = {item.id: item for conforming in snapshot.conforming.values() for item in conforming}
            found = {**found, **{item.id: item for item in snapshot.instances}}
            found = {key: item for key, item in found.items() if len(item.voxels)}
            # An instance that did not change keeps its array: then nothing has to be transferred again.
            same = self._transfers and found.keys() == before.keys()
            if same and all(found[key].voxels is before[key].voxels for key in found):
                self._transfers.append(self._transfers[-1])
            else:
                predictions = [prediction_of(item) for item in found.values()]
                self._transfers.append(Transfer(thinned, predictions, None, voxel_size_m, reach_m=CURVE_REACH_M))
            before = found

    def history(self, first_seen_s: dict[int, float]) -> MapHistory | None:
        """Return how the instances of the whole map kept to the objects, None where only what conforms is known."""
        snapshots = self._record.snapshots
        if not any(snapshot.instances for snapshot in snapshots):
            return None
        # A map that did not change has the same transfer.
        compared = {id(transfer): compare_scene(transfer) for transfer in self._transfers}
        moments = [
            Moment(snapshot.at_s, compared[id(transfer)])
            for snapshot, transfer in zip(snapshots, self._transfers, strict=True)
        ]
        return MapHistory(tuple(sorted(first_seen_s)), identities(moments))

    def of(self, name: str, targets: Sequence[int]) -> tuple[Moment, ...]:
        """Return what one instruction had got at every snapshot."""
        moments = []
        for snapshot, transfer in zip(self._record.snapshots, self._transfers, strict=True):
            chosen = [item.id for item in snapshot.conforming[name] if len(item.voxels)]
            moments.append(Moment(snapshot.at_s, transfer.compare(targets, chosen)))
        return tuple(moments)


def badness(pair: PairResult) -> tuple[float, float, int, tuple[str, int]]:
    """Return what pairs are sorted by, worst first: F1 at 0.25, then at 0.5, then how many objects are wrong."""
    loose, tight = (count_matches(pair.answer, iou) for iou in IOU_THRESHOLDS)
    return loose.f1, tight.f1, -(loose.wrong + loose.missed), pair.key


def is_right(pair: PairResult) -> bool:
    """Tell whether everything was found and nothing else, at both IoU."""
    return all(count_matches(pair.answer, iou).exact for iou in IOU_THRESHOLDS)


def _stages(record: RunRecord) -> dict[str, StageTimes]:
    stages = {}
    for stage, seconds in record.latency.samples().items():
        ordered = np.sort(seconds) * 1e3
        if len(ordered) > STAGE_SAMPLES:
            ordered = np.quantile(ordered, np.linspace(0.0, 1.0, STAGE_SAMPLES))
        stages[stage] = StageTimes(len(seconds), tuple(round(float(value), 3) for value in ordered))
    return stages


def _load(load: ProcessLoad | None) -> dict[str, float]:
    if load is None:
        return {}
    figures = {
        "CPU cores busy": load.cpu_cores,
        "CPU cores busy, peak": load.peak_cores,
        "CPU time [s]": load.cpu_s,
        "memory [MiB]": load.memory_mib,
        "memory, peak [MiB]": load.peak_memory_mib,
    }
    if load.peak_gpu_mib is not None:
        figures["GPU memory, peak [MiB]"] = load.peak_gpu_mib
    return figures


class RememberedSequence(RecordedSequence):
    """A recording whose frames stay in memory, as far as REMEMBERED_BYTES reach: every configuration sees the same."""

    def __init__(self, sequence: RecordedSequence) -> None:
        self._sequence = sequence
        self.name, self.path, self.camera = sequence.name, sequence.path, sequence.camera
        self.rate_hz, self.up_axis = sequence.rate_hz, sequence.up_axis
        self.skipped, self.notices = sequence.skipped, sequence.notices
        self._frames: dict[int, Frame] = {}
        self._images: dict[int, NDArray[np.uint16] | None] = {}
        self._left_bytes = REMEMBERED_BYTES
        self._instructions: tuple[ReferenceInstruction, ...] | None = None
        self._mesh: list[LabelledMesh | None] = []

    def __len__(self) -> int:
        return len(self._sequence)

    def frame(self, index: int) -> Frame:
        """Return a frame, from memory when it is there."""
        if index in self._frames:
            return self._frames[index]
        frame = self._sequence.frame(index)
        if self._room_for(frame.color.nbytes + frame.depth_m.nbytes):
            self._frames[index] = frame
        return frame

    def _room_for(self, size: int) -> bool:
        if size > self._left_bytes:
            return False
        self._left_bytes -= size
        return True

    def stamp_ns(self, index: int) -> int:
        """Return the stamp of a frame [ns]."""
        return self._sequence.stamp_ns(index)

    def instance_image(self, index: int) -> NDArray[np.uint16] | None:
        """Return the ids of a frame, from memory when they are there."""
        if index in self._images:
            return self._images[index]
        image = self._sequence.instance_image(index)
        if self._room_for(0 if image is None else image.nbytes):
            self._images[index] = image
        return image

    def objects(self) -> tuple[GroundTruthObject, ...]:
        """Return the annotated objects; readers keep them."""
        return self._sequence.objects()

    def mesh(self) -> LabelledMesh | None:
        """Return the true surface, made once."""
        if not self._mesh:
            self._mesh.append(self._sequence.mesh())
        return self._mesh[0]

    def instructions(self) -> tuple[ReferenceInstruction, ...]:
        """Return the instructions of the recording, made once."""
        if self._instructions is None:
            self._instructions = self._sequence.instructions()
        return self._instructions
