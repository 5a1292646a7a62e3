"""Which instances conform to an instruction: filter, relate, exclude, rank and count, over metres and colours.

An exact program without learned parts, run again after every change: each instance gets a verdict with the
numbers that decided. What "left" and "behind" mean depends on the viewer, which is the newest camera position.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.contracts import Conformity, Instance, Judgement, SearchState, Verdict
from lira_ros.fusion.rooms import room_of
from lira_ros.fusion.spatial_relations import Evidence, SpatialRelations
from lira_ros.fusion.weighing import weigh
from lira_ros.reasoning.constraint import Constraint, Phrase, Rank, RankKind, Relation, RelationKind
from lira_ros.reasoning.contracts import Attributes, Instruction, Opinion
from lira_ros.reasoning.knowledge import UNKNOWN, class_likelihoods, classes
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.relevance import CONFORM_SCORE, Match, Relevance, is_open

# "Nothing conforms" is said after at least this many keyframes: a single view shows a corner of a room.
MIN_KEYFRAMES = 3
# Relative to the best fit, how good another one must be: when one thing is meant, for needs, and otherwise.
UNIQUE_SHARE, NEED_SHARE, PLURAL_SHARE = 0.85, 0.75, 0.6
# Rivals in a comparison are what could well be the same kind of thing.
RIVAL_SHARE = 0.6
# A thing is what was excluded when it fits that this well, relative to how well it fits the target's words.
EXCLUDED_SHARE = 0.65
# An anchor that is only probable still tells where to look; below this it is taken as missing.
MIN_ANCHOR_SCORE = 0.15
# When one thing "next to" something is meant, those within this of the nearest count as equally near [m].
NEAREST_SLACK_M = 0.25
# The nearest thing still is "near" up to this when one is meant and none is nearer [m].
NEAREST_LIMIT_M = 1.5
# Names that measures alone give are recomputed from the whole instance; votes of single views count this much.
VOTE_SHARE = 0.2
# From this confidence on a label is an observation of its own and not a guess from measures.
TRUSTED_LABEL = 0.8
# After this many keyframes a thing that one view alone showed is rather a wrong mask than a thing just found.
SETTLED_KEYFRAMES = 10
# A part lies in its whole: it is smaller than this share of it, and this share of it is within this reach [m] of it.
PART_SIZE_SHARE, PART_SHARE, PART_REACH_M = 0.5, 0.8, 0.05
# A thing this close to the floor stands on it even when the view does not show it [m].
FLOOR_REACH_M = 0.12


# Phrases whose matches are kept: those of fifty instructions with a few phrases each.
MAX_KEPT_PHRASES = 256

# What an instance was judged by, its attributes and names, and how well it answers a phrase; by instance id.
_Known = dict[int, tuple[Attributes, dict[str, float], Match]]


# How labels of data sets put relations into words.
_LABEL_WORDS: dict[RelationKind, tuple[str, ...]] = {
    RelationKind.HOLDS: ("with", "covered", "containing", "full"),
    RelationKind.NEAR: ("next", "beside", "near", "by", "at"),
    RelationKind.ON: ("on",),
    RelationKind.UNDER: ("under", "below"),
    RelationKind.ABOVE: ("above", "over"),
    RelationKind.INSIDE: ("in", "inside"),
    RelationKind.BEHIND: ("behind",),
}


@dataclass(frozen=True)
class _Finding:
    """How one instance stands to one constraint."""

    conforms: bool
    score: float
    reason: str
    label: str = ""  # the name under which it was judged


class TargetInference:
    """Judges instances. Not thread-safe: it keeps geometry between calls, for the owner's sake."""

    def __init__(self, relevance: Relevance) -> None:
        self._relevance = relevance
        self._relations = SpatialRelations()
        self._names: dict[int, tuple[Attributes, dict[str, float], float, dict[str, float]]] = {}
        self._matches: OrderedDict[Phrase, _Known] = OrderedDict()  # the phrase used last at the end

    def judge(
        self,
        instances: Sequence[Instance],
        instruction: Instruction,
        *,
        up: NDArray[np.float64],
        camera_position: NDArray[np.float64],
        keyframes_answered: int,
        keyframes_pending: int,
        opinions: Mapping[int, Opinion] | None = None,
    ) -> Judgement:
        """Return a verdict for every instance and where the search stands.

        up: (3,) unit vector against gravity; camera_position: (3,) [m], both in the map frame. opinions: what a model
        that saw the table of instances thinks of them, by instance id, in place of what their views say.
        """
        ordered = sorted(instances, key=lambda instance: instance.id)
        ids = {instance.id for instance in ordered}
        self._relations.look_from(up, camera_position)
        self._relations.forget_except(ids)
        for gone in self._names.keys() - ids:
            del self._names[gone]
        names = [self._names_of(instance) for instance in ordered]
        said = [(opinions or {}).get(instance.id, instance.opinions.get(instruction.id)) for instance in ordered]
        scene = _Scene(self._matches_of, self._relations, ordered, names, said)
        findings = scene.without_parts(scene.evaluate(instruction.constraint, wanted=True))
        if keyframes_answered >= SETTLED_KEYFRAMES:
            findings = scene.seen_twice(findings)
        verdicts = {
            instance.id: Verdict(
                Conformity.CONFORMS if finding.conforms else Conformity.REJECTED,
                round(float(min(1.0, max(0.0, finding.score))), 4),
                _sentence(finding.reason),
                finding.label if finding.conforms and instance.label_confidence < TRUSTED_LABEL else "",
            )
            for instance, finding in zip(ordered, findings, strict=True)
        }
        found = [finding for finding in findings if finding.conforms]
        state, reason = _state(instruction, scene, findings, len(found), keyframes_answered, keyframes_pending)
        return Judgement(state, reason, verdicts)

    def _matches_of(
        self, phrase: Phrase, instances: Sequence[Instance], names: Sequence[dict[str, float]]
    ) -> list[Match]:
        """Return how well every instance answers a phrase; what has not changed since it was last asked is kept."""
        known = self._matches.pop(phrase, {})
        fresh: _Known = {}
        prepared = False
        for instance, own in zip(instances, names, strict=True):
            kept = known.get(instance.id)
            if kept is None or kept[0] is not instance.attributes or kept[1] is not own:
                if not prepared:
                    self._relevance.prepare([phrase], sorted({name for some in names for name in some}))
                    prepared = True
                kept = (instance.attributes, own, self._relevance.match(phrase, own, instance.attributes))
            fresh[instance.id] = kept
        self._matches[phrase] = fresh
        while len(self._matches) > MAX_KEPT_PHRASES:
            self._matches.popitem(last=False)
        return [match for _, _, match in fresh.values()]

    def _names_of(self, instance: Instance) -> dict[str, float]:
        kept = self._names.get(instance.id)
        if (
            kept is not None
            and kept[0] is instance.attributes
            and kept[1] == instance.names
            and (kept[2] == instance.label_confidence)
        ):
            return kept[3]
        names = self._mix_names(instance)
        self._names[instance.id] = (instance.attributes, instance.names, instance.label_confidence, names)
        return names

    def _mix_names(self, instance: Instance) -> dict[str, float]:
        """Return the names of an instance: labels that somebody saw, or likelihoods of its measures."""
        votes = instance.names or ({instance.label: 1.0} if instance.label else {})
        own = all(name in classes() or name in {UNKNOWN, ""} for name in votes)
        if not own or (votes and instance.label_confidence >= TRUSTED_LABEL):
            return votes
        names = {name: (1.0 - VOTE_SHARE * bool(votes)) * share for name, share in
                 class_likelihoods(instance.attributes).items()}  # fmt: skip
        for name, share in votes.items():
            names[name] = names.get(name, 0.0) + VOTE_SHARE * share
        return names


class _Scene:
    """All instances of one judgement with what is known of them."""

    def __init__(
        self,
        matches_of: Callable[[Phrase, Sequence[Instance], Sequence[dict[str, float]]], list[Match]],
        relations: SpatialRelations,
        instances: list[Instance],
        names: list[dict[str, float]],
        opinions: list[Opinion | None],
    ) -> None:
        self._opinions = opinions
        self._matches_of = matches_of
        self._relations = relations
        self.instances = instances
        self._names = names
        self._matches: dict[Phrase, list[Match]] = {}

    def match(self, phrase: Phrase) -> list[Match]:
        """Return how well every instance answers a phrase."""
        if phrase not in self._matches:
            self._matches[phrase] = self._matches_of(phrase, self.instances, self._names)
        return self._matches[phrase]

    def evaluate(self, constraint: Constraint, *, wanted: bool = False) -> list[_Finding]:
        """Return the finding of every instance; an instance conforms when any alternative holds.

        wanted: the constraint is what the instruction asks for, which opinions are about, and no anchor of it.
        """
        findings = self._evaluate_one(constraint, wanted)
        for alternative in constraint.alternatives:
            others = self.evaluate(alternative, wanted=wanted)
            findings = [
                other if (other.conforms, other.score) > (mine.conforms, mine.score) else mine
                for mine, other in zip(findings, others, strict=True)
            ]
        found = sum(finding.conforms for finding in findings)
        if constraint.at_least is not None and found < constraint.at_least:
            words = f"but there are only {found} and at least {constraint.at_least} are asked for"
            findings = [
                replace(finding, conforms=False, score=0.5 * finding.score, reason=f"{finding.reason}, {words}")
                if finding.conforms
                else finding
                for finding in findings
            ]
        if constraint.count is not None:
            findings = self._limit(findings, constraint.count)
        return findings

    def _evaluate_one(self, constraint: Constraint, wanted: bool) -> list[_Finding]:
        matches = [
            replace(match, reason=self._about(index, match))
            for index, match in enumerate(self.match(constraint.phrase))
        ]
        if wanted:
            ranked = constraint.rank is not None
            matches = [
                match if opinion is None else weigh(match, opinion, ranked=ranked)
                for match, opinion in zip(matches, self._opinions, strict=True)
            ]
        anything = not constraint.phrase.text and not constraint.phrase.implicit
        findings = [_Finding(match.score >= CONFORM_SCORE, match.score, match.reason, match.label) for match in matches]
        if anything:
            findings = self._without_structure(findings)
        for relation in constraint.relations:
            findings = self._relate(relation, constraint.phrase, findings)
        for excluded in constraint.excluded:
            findings = self._exclude(excluded, constraint, findings)
        findings = self._narrow(constraint, findings)
        if constraint.rank is not None:
            findings = self._rank(constraint.rank, constraint, findings)
        return findings

    def seen_twice(self, findings: list[_Finding]) -> list[_Finding]:
        """Leave out what a single view showed: one wrong mask makes such a thing."""
        return [
            replace(finding, conforms=False, score=0.5 * finding.score, reason=f"{finding.reason}, but seen only once")
            if finding.conforms and instance.observations < 2 and instance.label_confidence < TRUSTED_LABEL
            else finding
            for instance, finding in zip(self.instances, findings, strict=True)
        ]

    def without_parts(self, findings: list[_Finding]) -> list[_Finding]:
        """Leave out what is a part of something larger that conforms as well."""
        conforming = [
            index
            for index, finding in enumerate(findings)
            if finding.conforms and self.instances[index].label_confidence < TRUSTED_LABEL
        ]
        result = list(findings)
        for index in conforming:
            part = self.instances[index]
            for other in conforming:
                whole = self.instances[other]
                if len(part.voxels) > PART_SIZE_SHARE * len(whole.voxels):
                    continue
                if self._relations.covered_share(part, whole, PART_REACH_M) >= PART_SHARE:
                    words = f"{findings[index].reason}, but it is a part of the {self._name(other)}"
                    result[index] = replace(findings[index], conforms=False, score=0.5, reason=words)
                    break
        return result

    def _about(self, index: int, match: Match) -> str:
        return f"{match.reason}{_size_words(self.instances[index].attributes)}"

    def _without_structure(self, findings: list[_Finding]) -> list[_Finding]:
        """Walls, floors and ceilings are no "things"."""
        result = []
        for finding, names in zip(findings, self._names, strict=True):
            likely = max(names, key=lambda name: (names[name], name), default="")
            known = classes().get(likely)
            structure = known is not None and known.name in {"wall", "floor", "ceiling"} and names[likely] > 0.5
            if structure:
                finding = replace(
                    finding, conforms=False, score=0.1, reason=f"{finding.reason}, which is part of the room"
                )
            result.append(finding)
        return result

    # ---- relations ------------------------------------------------------------------------------------------

    def _relate(self, relation: Relation, phrase: Phrase, findings: list[_Finding]) -> list[_Finding]:
        anchor_sets = [self._anchors(anchor) for anchor in relation.anchors]
        candidates = [index for index, finding in enumerate(findings) if finding.conforms]
        evidence: dict[int, tuple[Evidence, str, float]] = {}
        for index in candidates:
            evidence[index] = self._best_evidence(relation, index, anchor_sets)
        holding = {index for index, (found, _, _) in evidence.items() if found.holds}
        if not relation.negated and phrase.unique:
            holding = _nearest(relation.kind, holding, evidence)
        anchor = relation.anchors[0]
        if relation.kind is RelationKind.HOLDS and anchor.phrase.unique and not phrase.text and len(holding) > 1:
            # Of a bowl on a table both have the apple on or in them; what it lies in is the smaller one.
            holding = {min(holding, key=lambda index: float(np.prod(_extents(self.instances[index]))))}
        result = list(findings)
        for index in candidates:
            found, words, certainty = evidence[index]
            finding = findings[index]
            holds = index in holding
            if relation.negated:
                result[index] = replace(
                    finding,
                    conforms=not found.holds,
                    score=finding.score * (0.3 if found.holds else 1.0),
                    reason=f"{finding.reason}, " + (f"but {words}" if found.holds else words),
                )
                continue
            if found.holds and not holds:
                words += ", but another one is nearer"
            result[index] = replace(
                finding,
                conforms=holds,
                score=finding.score * (certainty if holds else 0.4),
                reason=f"{finding.reason}, {'' if holds else 'but '}{words}",
            )
        return result

    def _anchors(self, constraint: Constraint) -> list[tuple[int, float]]:
        """Return the indices of what an anchor may be, with how certain that is."""
        findings = self.evaluate(constraint)
        found = [(index, finding.score) for index, finding in enumerate(findings) if finding.conforms]
        if not found:
            best = max(range(len(findings)), key=lambda index: (findings[index].score, -index), default=None)
            if best is not None and not constraint.relations and findings[best].score >= MIN_ANCHOR_SCORE:
                found = [(best, findings[best].score)]
        return [(index, 0.7 + 0.3 * min(1.0, score)) for index, score in found]

    def _best_evidence(
        self, relation: Relation, index: int, anchor_sets: list[list[tuple[int, float]]]
    ) -> tuple[Evidence, str, float]:
        """Return the best evidence over all anchors, in words, with the certainty of the anchor."""
        kind, target = relation.kind, self.instances[index]
        wanted = relation.anchors[0].phrase
        if kind is RelationKind.INSIDE and wanted.text in lexicon.ROOM_NAMES.values() and not self._is_named(wanted):
            room = self._rooms[index]
            holds = room == lexicon.ROOM_NAMES[wanted.text]
            return Evidence(holds, 0.0, "in" if holds else "not in"), f"in the {room or 'room'}", 1.0
        structural = self._structural(kind, wanted, target)
        if structural is not None:
            return structural, f"{structural.words} the {wanted.head}", 1.0
        best: tuple[Evidence, str, float] | None = None
        for anchors, certainty in _combinations(anchor_sets, index):
            found = self._relations.relate(kind, target, tuple(self.instances[anchor] for anchor in anchors))
            named = " and ".join(self._name(anchor) for anchor in anchors)
            words = f"{found.words} the {named}"
            if best is None or (found.holds, -found.measure_m) > (best[0].holds, -best[0].measure_m):
                best = (found, words, certainty)
        if (best is None or not best[0].holds) and self._label_says(index, kind, wanted):
            return Evidence(True, 0.0, kind.value), f"its name says so ({self.instances[index].label})", 0.9
        if best is None:
            missing = wanted.text or "such thing"
            return Evidence(False, math.inf, "nothing"), f"no {missing} was found to compare with", 0.5
        return best

    def _is_named(self, room: Phrase) -> bool:
        """Whether a thing of the map itself bears the name of a room."""
        return any(instance.label == room.text for instance in self.instances)

    @cached_property
    def _rooms(self) -> tuple[str, ...]:
        places = np.array([instance.centroid for instance in self.instances]).reshape(-1, 3)
        return room_of(self._names, places, self._relations.up)

    def _structural(self, kind: RelationKind, wanted: Phrase, target: Instance) -> Evidence | None:
        """Answer relations to the floor and to walls, which are seldom instances."""
        attributes = target.attributes
        if wanted.head in lexicon.FLOOR_WORDS and not wanted.colors:
            low = attributes.bottom_height_m < FLOOR_REACH_M
            stands = attributes.supported_by == "floor" or (attributes.supported_by == "" and low)
            if kind in (RelationKind.ON, RelationKind.NEAR):
                height = attributes.bottom_height_m
                shown = f" (it begins {height:.2f} m above it)" if math.isfinite(height) and not stands else ""
                return Evidence(stands, 0.0, f"on{shown}" if stands else f"not on{shown}")
        if wanted.head == "wall" and kind in (RelationKind.ON, RelationKind.NEAR) and attributes.supported_by == "wall":
            return Evidence(True, 0.0, "at")
        return None

    def _label_says(self, index: int, kind: RelationKind, wanted: Phrase) -> bool:
        """Whether the label of an instance states the relation itself ("red crate with plastic bag")."""
        instance = self.instances[index]
        if not wanted.head or instance.label_confidence < TRUSTED_LABEL:
            return False
        words = [lexicon.singular(word.strip("(),.")) for word in instance.label.lower().split()]
        if wanted.head not in words[1:]:
            return False
        before = words[: words.index(wanted.head, 1)]
        return any(word in _LABEL_WORDS.get(kind, ()) for word in before)

    # ---- exclusion, narrowing, rank, count ------------------------------------------------------------------

    def _exclude(self, excluded: Constraint, constraint: Constraint, findings: list[_Finding]) -> list[_Finding]:
        others = self.evaluate(excluded)
        own = self.match(constraint.phrase)
        words = excluded.phrase.text or "what was excluded"
        described = " ".join([*excluded.phrase.shapes, *excluded.phrase.colors, words])
        result = []
        for finding, other, match in zip(findings, others, own, strict=True):
            # What is much better described by the target's own words is not what was excluded.
            if finding.conforms and other.conforms and other.score >= EXCLUDED_SHARE * match.score:
                finding = _Finding(
                    False, 0.3 * finding.score, f"{finding.reason}, but it is the {described} to leave out"
                )
            result.append(finding)
        return result

    def _narrow(self, constraint: Constraint, findings: list[_Finding]) -> list[_Finding]:
        """Drop what fits clearly worse than the best."""
        conforming = [finding.score for finding in findings if finding.conforms]
        if not conforming:
            return findings
        phrase = constraint.phrase
        share = PLURAL_SHARE
        if constraint.rank is not None:
            share = RIVAL_SHARE
        elif phrase.unique:
            share = UNIQUE_SHARE
        elif is_open(phrase):
            share = NEED_SHARE
        # Of two that fit alike, the one that is meant is rather the one that surely exists.
        certain = [
            finding.score * (instance.existence if phrase.unique and constraint.rank is None else 1.0)
            for finding, instance in zip(findings, self.instances, strict=True)
        ]
        best = max(value for value, finding in zip(certain, findings, strict=True) if finding.conforms)
        leader = next(i for i, finding in enumerate(findings) if finding.conforms and certain[i] == best)
        result = []
        for finding, value in zip(findings, certain, strict=True):
            if finding.conforms and value < share * best:
                words = f"{finding.reason}, but the {self._name(leader)} fits better"
                finding = _Finding(False, 0.6 * finding.score, words)
            result.append(finding)
        return result

    def _rank(self, rank: Rank, constraint: Constraint, findings: list[_Finding]) -> list[_Finding]:
        rivals = [index for index, finding in enumerate(findings) if finding.conforms]
        measured = self._rank_values(rank, rivals)
        order = sorted(
            (index for index in rivals if math.isfinite(measured[index][0])),
            key=lambda index: (
                -measured[index][0] if rank.descending else measured[index][0],
                self.instances[index].id,
            ),
        )
        keep = order[rank.ordinal - 1 : rank.ordinal - 1 + (constraint.count or 1)]
        word = _rank_word(rank)
        result = list(findings)
        for index in rivals:
            finding = findings[index]
            value, words = measured[index]
            if not math.isfinite(value):
                result[index] = replace(
                    finding, conforms=False, score=0.3 * finding.score, reason=f"{finding.reason}, {words}"
                )
            elif index in keep:
                among = f" of {len(order)}" if len(order) > 1 else ", the only one"
                result[index] = replace(
                    finding, reason=f"{finding.reason}: {_ordinal(rank.ordinal)}{word}{among} ({words})"
                )
            else:
                result[index] = replace(
                    finding,
                    conforms=False,
                    score=0.5 * finding.score,
                    reason=f"{finding.reason}, but {self._rank_reason(rank, index, order, keep, measured)}",
                )
        if not keep:
            total = len(order)
            for index in order:
                wanted = f"{_ordinal(rank.ordinal)}{word}"
                reason = f"{findings[index].reason}, but there are only {total} to choose {wanted} from"
                result[index] = replace(
                    findings[index], conforms=False, score=0.5 * findings[index].score, reason=reason
                )
        return result

    def _rank_reason(
        self, rank: Rank, index: int, order: list[int], keep: list[int], measured: dict[int, tuple[float, str]]
    ) -> str:
        if not keep:
            return "there are too few to rank"
        place, winner = order.index(index), keep[0]
        comparative = _comparative(rank)
        if place < order.index(winner):
            return f"it is {comparative} ({measured[index][1]}) than the {self._name(winner)} ({measured[winner][1]})"
        return f"the {self._name(winner)} is {comparative} ({measured[winner][1]} against {measured[index][1]})"

    def _rank_values(self, rank: Rank, rivals: list[int]) -> dict[int, tuple[float, str]]:
        """Return the measure of each rival and its words; infinite = it cannot be measured."""
        if rank.kind is RankKind.DISTANCE:
            return self._distances(rank, rivals)
        everyone = [self.instances[index] for index in rivals]
        values: dict[int, tuple[float, str]] = {}
        for index in rivals:
            instance = self.instances[index]
            length, width, height = _extents(instance)
            if rank.kind is RankKind.SIZE:
                # What stands on the floor fills the space below it: the legs of a table that no view showed must not
                # make it smaller than a box.
                top = instance.attributes.top_height_m
                standing = instance.attributes.supported_by == "floor" and math.isfinite(top)
                height = max(height, top if standing else 0.0, 0.5 * instance.voxel_size_m)
                values[index] = (length * width * height, f"{length:.2f} x {width:.2f} x {height:.2f} m")
            elif rank.kind is RankKind.HEIGHT:
                top = instance.attributes.top_height_m
                standing = instance.attributes.supported_by != "surface" and math.isfinite(top)
                values[index] = (top, f"{top:.2f} m high") if standing else (height, f"{height:.2f} m high")
            elif rank.kind is RankKind.LENGTH:
                longest = max(length, width)
                values[index] = (longest, f"{longest:.2f} m long")
            elif rank.kind is RankKind.WIDTH:
                values[index] = (width, f"{width:.2f} m wide")
            elif rank.kind is RankKind.ELEVATION:
                low = float(self._relations.shape(instance).low[2])
                shown = instance.attributes.bottom_height_m
                values[index] = (low, f"{shown if math.isfinite(shown) else low:.2f} m up")
            elif rank.kind is RankKind.MIDDLE:
                aside = self._relations.from_middle(instance, everyone)
                values[index] = (aside, f"{aside:.2f} m from their middle")
            else:
                aside = self._relations.lateral(instance, everyone)
                values[index] = (aside, f"{abs(aside):.2f} m {'right' if aside > 0 else 'left'} of their middle")
        return values

    def _distances(self, rank: Rank, rivals: list[int]) -> dict[int, tuple[float, str]]:
        if rank.anchor is None:
            distances = {index: self._relations.camera_distance(self.instances[index]) for index in rivals}
            return {index: (value, f"{value:.2f} m from the camera") for index, value in distances.items()}
        anchors = self._anchors(rank.anchor)
        values: dict[int, tuple[float, str]] = {}
        for index in rivals:
            gaps = [
                (self._relations.gap(self.instances[index], self.instances[anchor]), anchor)
                for anchor, _ in anchors
                if anchor != index
            ]
            if not gaps:
                values[index] = (math.inf, f"no {rank.anchor.phrase.text or 'anchor'} was found to measure from")
                continue
            gap, anchor = min(gaps)
            # Things that touch differ by their centres.
            centre = float(
                np.linalg.norm(
                    self._relations.shape(self.instances[index]).centroid
                    - self._relations.shape(self.instances[anchor]).centroid
                )
            )
            values[index] = (gap + 1e-3 * centre, f"{gap:.2f} m from the {self._name(anchor)}")
        return values

    def _limit(self, findings: list[_Finding], count: int) -> list[_Finding]:
        conforming = [index for index, finding in enumerate(findings) if finding.conforms]
        best = sorted(conforming, key=lambda index: (-findings[index].score, self.instances[index].id))[:count]
        result = list(findings)
        for index in conforming:
            if index not in best:
                reason = f"{findings[index].reason}, but only {count} {'is' if count == 1 else 'are'} wanted"
                result[index] = replace(
                    findings[index], conforms=False, score=0.6 * findings[index].score, reason=reason
                )
        return result

    def _name(self, index: int) -> str:
        instance, names = self.instances[index], self._names[index]
        likely = max(names, key=lambda name: (names[name], name), default="")
        name = likely if likely and likely != UNKNOWN else instance.label or "thing"
        return f"{'thing' if name == UNKNOWN else name} #{instance.id}"


def _nearest(kind: RelationKind, holding: set[int], evidence: dict[int, tuple[Evidence, str, float]]) -> set[int]:
    """When one thing is meant, keep the nearest of those that hold, or the nearest at all for "next to"."""
    if kind in (RelationKind.ON, RelationKind.HOLDS, RelationKind.INSIDE, RelationKind.UNDER, RelationKind.ABOVE):
        return holding
    if holding:
        best = min(evidence[index][0].measure_m for index in holding)
        return {index for index in holding if evidence[index][0].measure_m <= best + NEAREST_SLACK_M}
    if kind is RelationKind.NEAR and evidence:
        best = min(found.measure_m for found, _, _ in evidence.values())
        if best <= NEAREST_LIMIT_M:
            return {index for index, (found, _, _) in evidence.items() if found.measure_m <= best + 0.05}
    return holding


def _combinations(anchor_sets: list[list[tuple[int, float]]], target: int) -> list[tuple[tuple[int, ...], float]]:
    """Return the anchors to try: one at a time, or pairs of different things for "between"."""
    first = [(index, certainty) for index, certainty in anchor_sets[0] if index != target]
    if len(anchor_sets) == 1:
        return [((index,), certainty) for index, certainty in first]
    second = [(index, certainty) for index, certainty in anchor_sets[1] if index != target]
    return [((one, other), min(a, b)) for one, a in first for other, b in second if one != other]


def _extents(instance: Instance) -> tuple[float, float, float]:
    """Return length, width and height [m], measured ones before those of the box."""
    length, width, height = (
        measured if math.isfinite(measured) else float(side)
        for measured, side in zip(instance.attributes.size_m, instance.box.size_m, strict=True)
    )
    return length, width, height


def _size_words(attributes: Attributes) -> str:
    length, width, height = attributes.size_m
    if not (math.isfinite(length) and math.isfinite(width)):
        return ""
    if length < 0.35:
        tall = f" x {100 * height:.0f}" if math.isfinite(height) else ""
        return f", {100 * length:.0f} x {100 * width:.0f}{tall} cm"
    return f", {length:.1f} x {width:.1f} m"


def _state(
    instruction: Instruction,
    scene: _Scene,
    findings: list[_Finding],
    found: int,
    answered: int,
    pending: int,
) -> tuple[SearchState, str]:
    judged = len(findings)
    things = f"{judged} thing{'' if judged == 1 else 's'}"
    if found:
        wanted = instruction.constraint.count
        more = f" of {wanted} wanted" if wanted is not None and found < wanted else ""
        verb = "conforms" if found == 1 else "conform"
        return SearchState.FOUND, f"{found}{more} of {things} {verb}."
    if answered == 0:
        return SearchState.PENDING, "No keyframe was looked at yet."
    closest = ""
    if findings:
        best = max(range(judged), key=lambda index: (findings[index].score, -scene.instances[index].id))
        if findings[best].score > 0.05:
            closest = f" The closest is #{scene.instances[best].id}: {findings[best].reason}."
    if pending > 0 or answered < MIN_KEYFRAMES:
        return (
            SearchState.SEARCHING,
            f"None of {things} conforms so far; {pending} keyframes are still to be asked.{closest}",
        )
    if judged == 0:
        return SearchState.NONE_CONFORM, f"Nothing was found in {answered} keyframes."
    return SearchState.NONE_CONFORM, f"None of {things} seen in {answered} keyframes conforms.{closest}"


def _rank_word(rank: Rank) -> str:
    return {
        (RankKind.SIZE, True): "largest",
        (RankKind.SIZE, False): "smallest",
        (RankKind.HEIGHT, True): "tallest",
        (RankKind.HEIGHT, False): "lowest",
        (RankKind.LENGTH, True): "longest",
        (RankKind.LENGTH, False): "shortest",
        (RankKind.WIDTH, True): "widest",
        (RankKind.WIDTH, False): "narrowest",
        (RankKind.ELEVATION, True): "highest",
        (RankKind.ELEVATION, False): "lowest",
        (RankKind.DISTANCE, True): "farthest",
        (RankKind.DISTANCE, False): "closest",
        (RankKind.LATERAL, True): "rightmost",
        (RankKind.LATERAL, False): "leftmost",
        (RankKind.MIDDLE, False): "one in the middle",
    }[rank.kind, rank.descending]


def _comparative(rank: Rank) -> str:
    return {
        "largest": "larger",
        "smallest": "smaller",
        "tallest": "taller",
        "lowest": "lower",
        "longest": "longer",
        "shortest": "shorter",
        "widest": "wider",
        "narrowest": "narrower",
        "highest": "higher",
        "farthest": "farther",
        "closest": "closer",
        "rightmost": "farther right",
        "leftmost": "farther left",
        "one in the middle": "nearer to their middle",
    }[_rank_word(rank)]


def _ordinal(number: int) -> str:
    return {1: "the ", 2: "the second ", 3: "the third "}.get(number, f"the {number}th ")


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:] + ("" if reason.endswith(".") else ".")
