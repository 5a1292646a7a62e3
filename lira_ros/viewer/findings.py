"""What is asked for and what was found: instances by their verdict, instructions, a log of what happened, latencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import rerun

from lira_ros.fusion.contracts import (
    Conformity,
    Instance,
    InstructionStatus,
    Removal,
    RemovalReason,
    SearchState,
    Verdict,
)
from lira_ros.fusion.display_color import display_color, verdict_color
from lira_ros.geometry.pose import to_quaternion
from lira_ros.viewer.blueprint import INSTANCES, INSTRUCTIONS, JUDGED, LATENCY, LOG

# Instances that were judged and do not conform, shown for each instruction at most; the best first.
MAX_JUDGED = 300
LEVELS = {SearchState.FOUND: "INFO", SearchState.NONE_CONFORM: "WARN", SearchState.FAILED: "ERROR"}
GONE = {
    RemovalReason.REMOVED: "is not there any more",
    RemovalReason.REJECTED: "does not conform any more",
}
LINE_M, POINT_M = 0.004, 0.009


class Findings:
    """What is known of the instructions in a recording. Not thread-safe: it has one owner, who sets the time first."""

    def __init__(self, stream: rerun.RecordingStream) -> None:
        self._stream = stream
        self._instructions: dict[str, str] = {}
        self._states: dict[str, SearchState] = {}
        self._statuses: dict[str, InstructionStatus] = {}
        self._shown: dict[str, dict[int, Instance]] = {}
        self._judged: set[str] = set()
        self._document = ""

    def instance_ids(self) -> set[int]:
        """Return the ids of the instances that conform to any instruction."""
        return {number for shown in self._shown.values() for number in shown}

    def show_instructions(self, texts: Mapping[str, tuple[str, str]]) -> None:
        """Take over which instructions are active: text and how it was understood, by id."""
        for name, (text, understood) in texts.items():
            if self._instructions.get(name) != text:
                self._log(f'"{text}" ({name}) is asked for. {understood}', "INFO")
        for name, text in self._instructions.items():
            if name not in texts:
                self._log(f'"{text}" ({name}) is not asked for any more.', "INFO")
                self.forget(name)
        self._instructions = {name: text for name, (text, _) in texts.items()}
        self._show_document()

    def show_status(self, status: InstructionStatus) -> None:
        """Take over where an instruction stands; a change of its state goes into the log."""
        name = status.instruction_id
        if self._states.get(name) != status.state:
            words = status.state.name.replace("_", " ").lower()
            self._log(f"{name} {words}: {status.reason}", LEVELS.get(status.state, "DEBUG"))
        self._states[name], self._statuses[name] = status.state, status
        self._show_document()

    def show_changes(
        self, instruction_id: str, changed: Iterable[Instance], removed: Mapping[int, Removal | None]
    ) -> None:
        """Show what conforms, anew or changed, and take away what is gone, saying why if it is known."""
        shown = self._shown.pop(instruction_id, {})
        for number, why in removed.items():
            if shown.pop(number, None) is not None:
                self._stream.log(_entity(instruction_id, number), rerun.Clear(recursive=True))
                self._log(f"{instruction_id}: #{number} {_gone(why)}.", "WARN")
        for instance in changed:
            if instance.id not in shown:
                verdict = instance.verdicts.get(instruction_id)
                reason = f": {verdict.reason}" if verdict is not None else ""
                self._log(f"{instruction_id}: #{instance.id} {instance.label or 'thing'} conforms{reason}", "INFO")
            shown[instance.id] = instance
            self._show_instance(instruction_id, instance)
        if shown:
            self._shown[instruction_id] = shown
        self._show_document()

    def show_judged(self, instruction_id: str, instances: Iterable[Instance]) -> None:
        """Show what was judged and does not conform, whole, as thin boxes in the colour of the verdict."""
        items = sorted(
            (item for item in instances if instruction_id in item.verdicts),
            key=lambda item: (-item.verdicts[instruction_id].score, item.id),
        )[:MAX_JUDGED]
        entity: list[object] = [*JUDGED.split("/"), instruction_id]
        if not items:
            if instruction_id in self._judged:
                self._stream.log(entity, rerun.Clear(recursive=True))
                self._judged.discard(instruction_id)
            return
        self._judged.add(instruction_id)
        verdicts = [item.verdicts[instruction_id] for item in items]
        self._stream.log(
            entity,
            rerun.Boxes3D(
                centers=[item.box.T_map_box[:3, 3] for item in items],
                half_sizes=[item.box.size_m / 2 for item in items],
                quaternions=[to_quaternion(item.box.T_map_box) for item in items],
                colors=[_rgb(verdict) for verdict in verdicts],
                radii=LINE_M / 2,
                fill_mode=rerun.components.FillMode.MajorWireframe,
                labels=[_label(item, verdict) for item, verdict in zip(items, verdicts, strict=True)],
                show_labels=False,
            ),
        )

    def forget(self, instruction_id: str) -> None:
        """Take away everything that was found for an instruction."""
        for entity in (INSTANCES, JUDGED):
            self._stream.log([*entity.split("/"), instruction_id], rerun.Clear(recursive=True))
        self._judged.discard(instruction_id)
        for held in (self._shown, self._states, self._statuses):
            held.pop(instruction_id, None)

    def plot(self, stage: str, milliseconds: float) -> None:
        """Add a point to the plot of a stage."""
        self._stream.log([LATENCY, stage], rerun.Scalars(milliseconds))

    def _show_instance(self, instruction_id: str, instance: Instance) -> None:
        entity = _entity(instruction_id, instance.id)
        verdict = instance.verdicts.get(instruction_id)
        self._stream.log(
            [*entity, "box"],
            rerun.Boxes3D(
                centers=[instance.box.T_map_box[:3, 3]],
                half_sizes=[instance.box.size_m / 2],
                quaternions=[to_quaternion(instance.box.T_map_box)],
                colors=[_rgb(verdict)],
                radii=LINE_M,
                fill_mode=rerun.components.FillMode.MajorWireframe,
                labels=[_label(instance, verdict)],
                show_labels=True,
            ),
        )
        color = np.rint(255 * np.array(display_color(instance.id))).astype(np.uint8)
        points = rerun.Points3D(instance.points, colors=[color], radii=POINT_M)
        self._stream.log([*entity, "points"], points)

    def _show_document(self) -> None:
        """Renew the list of instructions with what was found, in Markdown."""
        lines = []
        for name in dict.fromkeys([*self._instructions, *self._statuses]):
            text, status = self._instructions.get(name, name), self._statuses.get(name)
            state = status.state.name.replace("_", " ").lower() if status is not None else "pending"
            lines += [f"### {_plain(text)}", f"**{state}** {_plain(status.reason) if status is not None else ''}", ""]
            for instance in sorted(self._shown.get(name, {}).values(), key=lambda item: item.id):
                verdict = instance.verdicts.get(name)
                size = " x ".join(f"{value:.2f}" for value in instance.box.size_m)
                reason = _plain(verdict.reason) if verdict is not None else ""
                lines.append(f"- **#{instance.id} {_plain(instance.label or 'thing')}**, {size} m. {reason}")
            lines.append("")
        document = "\n".join(lines)
        if document != self._document:
            self._document = document
            self._stream.log(INSTRUCTIONS, rerun.TextDocument(document, media_type="text/markdown"))

    def _log(self, text: str, level: str) -> None:
        self._stream.log(LOG, rerun.TextLog(text, level=level))


def _entity(instruction_id: str, number: int) -> list[object]:
    return [*INSTANCES.split("/"), instruction_id, str(number)]


def _rgb(verdict: Verdict | None) -> tuple[int, int, int]:
    color = verdict_color(verdict.conformity if verdict is not None else Conformity.UNDECIDED)
    return (round(255 * color[0]), round(255 * color[1]), round(255 * color[2]))


def _label(instance: Instance, verdict: Verdict | None) -> str:
    score = f" {verdict.score:.2f}" if verdict is not None else ""
    reason = f": {verdict.reason}" if verdict is not None and verdict.conformity != Conformity.CONFORMS else ""
    return f"#{instance.id} {instance.label or 'thing'}{score}{reason}"


def _gone(why: Removal | None) -> str:
    if why is None:
        return "is gone"
    if why.reason == RemovalReason.MERGED:
        return f"turned out to be #{why.merged_into}"
    return GONE[why.reason]


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is: what people and models say is no markup."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>()#+-.!|" else letter for letter in text)
