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
from lira_ros.fusion.relation_table import Anchors, RelationTable
from lira_ros.fusion.rooms import room_of
from lira_ros.fusion.spatial_relations import Evidence
from lira_ros.fusion.uncertainty import (
    certainty,
    extent_deviation_m,
    share_deviation,
    surface_deviation_m,
    volume_deviation_m3,
)
from lira_ros.fusion.weighing import weigh
from lira_ros.reasoning.color import color_shares
from lira_ros.reasoning.constraint import Constraint, Phrase, Rank, RankKind, Relation, RelationKind
from lira_ros.reasoning.contracts import Attributes, Instruction, Opinion
from lira_ros.reasoning.knowledge import UNKNOWN, class_likelihoods, classes, find_class
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.relevance import CONFORM_SCORE, WRONG_COLOR, Match, Relevance, is_open

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
# A thing of a neighbouring colour ("gray" where white is wanted) may be of that colour in the shade only when at least
# this part of its surface looks so: of 24 gray things of the validation homes 19 have less, of 23 white ones that were
# taken for gray or beige 3.
SHADED_COLOR_SHARE = 0.02
# Colours that no camera tells from others; they are understood and never seen.
_UNSEEN_COLORS = frozenset({"silver", "gold", "copper"})
# Less certain than one standard deviation is a tie: what is measured next may turn it.
TIE_CERTAINTY = 0.84
# What does not stand in the relation asked for keeps this share of its score.
MISSED_SHARE = 0.4
# What lost a comparison keeps at least this share of its score, however clearly it lost.
LOST_SHARE = 0.3
# What has so few voxels beside another of its name, and lies on it, is a piece that was not fused with it: it would be
# counted. Nothing that is meant by the same word is that much smaller and hugs the other one.
SLIVER_SHARE, SLIVER_REACH_M = 0.1, 0.02
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
    certainty: float = 1.0  # how probable it is that what decided was measured right, from 0.5 on


@dataclass(frozen=True)
class _Measure:
    """What a rival is ranked by: a number [unit] with its standard deviation; infinite = not known, words say why."""

    value: float
    deviation: float
    unit: str
    words: str  # what it is measured from

    def shown(self) -> str:
        """Return the number for a person."""
        return f"{abs(self.value):{'.2g' if self.unit == 'm3' else '.2f'}} {self.unit}"


class TargetInference:
    """Judges instances. Not thread-safe: it keeps geometry between calls, for the owner's sake."""

    def __init__(self, relevance: Relevance) -> None:
        self._relevance = relevance
        self._relations = RelationTable()
        self._names: dict[int, tuple[Attributes, dict[str, float], float, dict[str, float]]] = {}
        self._colors: dict[int, tuple[NDArray[np.uint8], dict[str, float]]] = {}
        self._matches: OrderedDict[Phrase, _Known] = OrderedDict()  # the phrase used last at the end

    def relations(
        self, instances: Sequence[Instance], up: NDArray[np.float64], viewer: NDArray[np.float64]
    ) -> RelationTable:
        """Return the table of relations, brought up to date with instances; arguments as of judge()."""
        self._relations.look_from(up, viewer)
        self._relations.update(instances)
        return self._relations

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
        self.relations(ordered, up, camera_position)
        for gone in self._names.keys() - ids:
            del self._names[gone]
        for gone in self._colors.keys() - ids:
            del self._colors[gone]
        names = [self._names_of(instance) for instance in ordered]
        said = [(opinions or {}).get(instance.id, instance.opinions.get(instruction.id)) for instance in ordered]
        scene = _Scene(self._matches_of, self._colors_of, self._relations, ordered, names, said)
        findings = scene.without_parts(scene.evaluate(instruction.constraint, wanted=True))
        if keyframes_answered >= SETTLED_KEYFRAMES:
            findings = scene.seen_twice(findings, keyframes_answered)
        verdicts = {
            instance.id: Verdict(
                Conformity.CONFORMS if finding.conforms else Conformity.REJECTED,
                round(min(1.0, max(0.0, finding.score)) * (finding.certainty if finding.conforms else 1.0), 4),
                _sentence(finding.reason),
                finding.label if finding.conforms and instance.label_confidence < TRUSTED_LABEL else "",
                finding.certainty,
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

    def _colors_of(self, instance: Instance) -> dict[str, float]:
        """Return which part of the surface of an instance looks how, by basic colour name."""
        kept = self._colors.get(instance.id)
        if kept is None or kept[0] is not instance.voxel_colors:
            kept = (instance.voxel_colors, color_shares(instance.voxel_colors))
            self._colors[instance.id] = kept
        return kept[1]

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
        colors_of: Callable[[Instance], dict[str, float]],
        relations: RelationTable,
        instances: list[Instance],
        names: list[dict[str, float]],
        opinions: list[Opinion | None],
    ) -> None:
        self._opinions = opinions
        self._matches_of = matches_of
        self._colors_of = colors_of
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
        findings = self._without_slivers(findings)
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
        # Written out, for replace() takes four times as long, and there may be a thousand of them.
        matches = [
            Match(match.score, match.label, self._about(index, match), match.kind, match.factor, match.by_meaning)
            for index, match in enumerate(self._with_colors_seen(constraint.phrase, self.match(constraint.phrase)))
        ]
        if wanted:
            ranked = constraint.rank is not None
            matches = [
                match if opinion is None else weigh(match, opinion, ranked=ranked)
                for match, opinion in zip(matches, self._opinions, strict=True)
            ]
        anything = not constraint.phrase.text and not constraint.phrase.implicit
        findings = [
            _Finding(
                match.score >= CONFORM_SCORE,
                match.score,
                match.reason,
                match.label,
                certainty(match.score - CONFORM_SCORE, self._score_deviation(index)),
            )
            for index, match in enumerate(matches)
        ]
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

    def seen_twice(self, findings: list[_Finding], keyframes: int) -> list[_Finding]:
        """Leave out what a single view of so many keyframes showed: one wrong mask makes such a thing."""
        words = f"but seen only once in {keyframes} keyframes"
        return [
            replace(finding, conforms=False, score=0.5 * finding.score, reason=f"{finding.reason}, {words}")
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
        largest = max((len(self.instances[index].voxels) for index in conforming), default=0)
        for index in conforming:
            part = self.instances[index]
            if len(part.voxels) > PART_SIZE_SHARE * largest:
                continue  # a part of none of them
            for other in conforming:
                whole = self.instances[other]
                if len(part.voxels) > PART_SIZE_SHARE * len(whole.voxels):
                    continue
                covered = self._relations.covered_share(part, whole, PART_REACH_M)
                if covered >= PART_SHARE:
                    words = f"but it is a part of the {self._name(other)}: {100 * covered:.0f} % lie on it"
                    reason = f"{findings[index].reason}, {words}"
                    result[index] = replace(findings[index], conforms=False, score=0.5, reason=reason)
                    break
        return result

    def _without_slivers(self, findings: list[_Finding]) -> list[_Finding]:
        """Leave out pieces of a thing that conforms as well, so that they are not counted."""
        conforming = [index for index, finding in enumerate(findings) if finding.conforms]
        result = list(findings)
        largest: dict[str, int] = {}
        for index in conforming:
            label = self.instances[index].label
            largest[label] = max(largest.get(label, 0), len(self.instances[index].voxels))
        for index in conforming:
            piece = self.instances[index]
            if len(piece.voxels) > SLIVER_SHARE * largest[piece.label]:
                continue  # a piece of none of them
            for other in conforming:
                whole = self.instances[other]
                if piece.label != whole.label or len(piece.voxels) > SLIVER_SHARE * len(whole.voxels):
                    continue
                covered = self._relations.covered_share(piece, whole, SLIVER_REACH_M)
                if covered >= PART_SHARE:
                    words = f"but it is a piece of the {self._name(other)}: {100 * covered:.0f} % lie on it"
                    reason = f"{findings[index].reason}, {words}"
                    result[index] = replace(
                        findings[index], conforms=False, score=0.5 * findings[index].score, reason=reason
                    )
                    break
        return result

    def _about(self, index: int, match: Match) -> str:
        instance = self.instances[index]
        fits = f", fits {match.score:.2f} of {CONFORM_SCORE:g} needed" if match.score < CONFORM_SCORE else ""
        share = instance.names.get(match.label, 0.0)
        views = "view" if instance.observations == 1 else "views"
        voted = f", {100 * share:.0f} % of {instance.observations} {views}" if 0.0 < share < 1.0 else ""
        return f"{match.reason}{voted}{_size_words(instance.attributes)}{fits}"

    def _score_deviation(self, index: int) -> float:
        """Return the standard deviation of how well an instance answers a phrase: of the votes on its name."""
        names, instance = self._names[index], self.instances[index]
        return share_deviation(min(1.0, max(names.values(), default=0.0)), instance.observations)

    def _with_colors_seen(self, phrase: Phrase, matches: list[Match]) -> list[Match]:
        """Leave out what has a neighbouring colour on all of its surface."""
        wanted = [color for color in phrase.colors if color not in _UNSEEN_COLORS]
        if not wanted or len(wanted) < len(phrase.colors):
            return matches
        result = []
        for instance, match in zip(self.instances, matches, strict=True):
            named = instance.attributes.color
            said = set(instance.label.split()) & set(wanted)
            if match.score >= CONFORM_SCORE and named and named not in wanted and not said:
                shares = self._colors_of(instance)
                share = max(shares.get(color, 0.0) for color in wanted)
                words = f"{match.reason} ({100 * share:.0f} % of it looks {' or '.join(wanted)})"
                factor = 1.0 if share >= SHADED_COLOR_SHARE or not shares else WRONG_COLOR
                match = replace(match, score=round(match.score * factor, 4), factor=match.factor * factor, reason=words)
            result.append(match)
        return result

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
        gathered = self._relations.gather(relation.kind, [self.instances[index] for index, _ in anchor_sets[0]])
        for index in candidates:
            evidence[index] = self._best_evidence(relation, index, anchor_sets, gathered)
        holding = {index for index, (found, _, _) in evidence.items() if found.holds}
        if not relation.negated and phrase.unique:
            holding = _nearest(relation.kind, holding, evidence)
        anchor = relation.anchors[0]
        if relation.kind is RelationKind.HOLDS and anchor.phrase.unique and not phrase.text and len(holding) > 1:
            # Of a bowl on a table both have the apple on or in them; what it lies in is the smaller one.
            holding = {min(holding, key=lambda index: float(np.prod(_extents(self.instances[index]))))}
        nearest_m = min((evidence[index][0].measure_m for index in holding), default=math.inf)
        result = list(findings)
        for index in candidates:
            found, words, anchor_share = evidence[index]
            finding = findings[index]
            holds = index in holding
            sure = certainty(found.margin_m, found.deviation_m)
            if holds and not found.holds:  # the nearest at all
                sure = certainty(NEAREST_LIMIT_M - found.measure_m, found.deviation_m)
            elif found.holds and not holds and not relation.negated:
                words += f", but another one is nearer ({nearest_m:.2f} m < {found.measure_m:.2f} m)"
                sure = certainty(found.measure_m - nearest_m - NEAREST_SLACK_M, found.deviation_m)
            if sure < TIE_CERTAINTY:
                words += f", which measures that are wrong by {found.deviation_m:.2f} m cannot tell yet"
            fits = found.holds != relation.negated if relation.negated else holds
            share = (1.0 if relation.negated else anchor_share) if fits else MISSED_SHARE
            result[index] = _Finding(
                fits,
                finding.score * share,
                f"{finding.reason}, {'' if fits else 'but '}{words}",
                finding.label,
                min(finding.certainty, sure),
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
        self, relation: Relation, index: int, anchor_sets: list[list[tuple[int, float]]], gathered: Anchors
    ) -> tuple[Evidence, str, float]:
        """Return the best evidence over all anchors, in words, with the certainty of the anchor.

        gathered: the first set of anchors, which is the only one but for "between".
        """
        kind, target = relation.kind, self.instances[index]
        wanted = relation.anchors[0].phrase
        if kind is RelationKind.INSIDE and wanted.text in lexicon.ROOM_NAMES.values() and not self._is_named(wanted):
            room = self._rooms[index]
            holds = room == lexicon.ROOM_NAMES[wanted.text]
            return Evidence(holds, 0.0, "in" if holds else "not in"), f"in the {room or 'room'}", 1.0
        structural = self._structural(kind, wanted, target)
        if structural is not None:
            return structural, f"{structural.words} the {wanted.head}", 1.0
        best = self._best_pair(index, anchor_sets) if len(anchor_sets) > 1 else None
        if len(anchor_sets) == 1:
            nearest = self._relations.best(target, gathered)
            if nearest is not None:
                found, (anchor, share) = nearest[0], anchor_sets[0][nearest[1]]
                best = (found, f"{found.words} the {self._name(anchor)}", share)
        if (best is None or not best[0].holds) and self._label_says(index, kind, wanted):
            return Evidence(True, 0.0, kind.value), f"its name says so ({self.instances[index].label})", 0.9
        if best is None:
            missing = wanted.text or "such thing"
            return Evidence(False, math.inf, "nothing"), f"no {missing} was found to compare with", 0.5
        return best

    def _best_pair(self, index: int, anchor_sets: list[list[tuple[int, float]]]) -> tuple[Evidence, str, float] | None:
        """Return the best evidence over all pairs of anchors for "between"."""
        best: tuple[Evidence, str, float] | None = None
        for (one, other), share in _pairs(anchor_sets, index):
            anchors = (self.instances[one], self.instances[other])
            found = self._relations.relate(RelationKind.BETWEEN, self.instances[index], anchors)
            if best is None or (found.holds, -found.measure_m) > (best[0].holds, -best[0].measure_m):
                best = (found, f"{found.words} the {self._name(one)} and {self._name(other)}", share)
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
        for index, (finding, other, match) in enumerate(zip(findings, others, own, strict=True)):
            # What is much better described by the target's own words is not what was excluded.
            if finding.conforms and other.conforms and other.score >= EXCLUDED_SHARE * match.score:
                words = f"but it is the {described} to leave out ({other.score:.2f} against {match.score:.2f})"
                sure = certainty(other.score - EXCLUDED_SHARE * match.score, self._score_deviation(index))
                finding = replace(
                    finding,
                    conforms=False,
                    score=0.3 * finding.score,
                    reason=f"{finding.reason}, {words}",
                    certainty=min(finding.certainty, sure),
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
        for index, (finding, value) in enumerate(zip(findings, certain, strict=True)):
            if finding.conforms and value < share * best:
                words = f"but the {self._name(leader)} fits better ({value:.2f} < {share:g} x {best:.2f})"
                deviation = math.hypot(self._score_deviation(index), share * self._score_deviation(leader))
                finding = replace(
                    finding,
                    conforms=False,
                    score=0.6 * finding.score,
                    reason=f"{finding.reason}, {words}",
                    certainty=min(finding.certainty, certainty(share * best - value, deviation)),
                )
            result.append(finding)
        return result

    def _rank(self, rank: Rank, constraint: Constraint, findings: list[_Finding]) -> list[_Finding]:
        rivals = [index for index, finding in enumerate(findings) if finding.conforms]
        measured = self._rank_values(rank, rivals)
        order = sorted(
            (index for index in rivals if math.isfinite(measured[index].value)),
            key=lambda index: (
                -measured[index].value if rank.descending else measured[index].value,
                self.instances[index].id,
            ),
        )
        first = rank.ordinal - 1
        keep = order[first : first + (constraint.count or 1)]
        wanted = f"{_ordinal(rank.ordinal)}{_rank_word(rank)}"
        result = list(findings)
        for index in rivals:
            finding = findings[index]
            if index in keep:
                result[index] = self._won(finding, index, order, first, len(keep), measured, wanted, constraint)
                continue
            if not math.isfinite(measured[index].value):
                share, sure, words = LOST_SHARE, 1.0, measured[index].words
            elif not keep:
                share, sure = 0.5, 1.0
                words = f"but there are only {len(order)} to choose {wanted} from"
            else:
                sure, words = self._lost(rank, index, order, keep, measured)
                share = max(LOST_SHARE, 1.0 - sure)  # of a tie both have half
            result[index] = replace(
                finding,
                conforms=False,
                score=share * finding.score,
                reason=f"{finding.reason}, {words}",
                certainty=min(finding.certainty, sure),
            )
        return result

    def _won(
        self,
        finding: _Finding,
        index: int,
        order: list[int],
        first: int,
        count: int,
        measured: dict[int, _Measure],
        wanted: str,
        constraint: Constraint,
    ) -> _Finding:
        """Return the finding of what a rank keeps, with the numbers of its neighbours in the order."""
        mine = measured[index]
        if len(order) == 1:
            return replace(finding, reason=f"{finding.reason}: {wanted}, the only one ({mine.shown()}{mine.words})")
        rivals = [order[place] for place in (first - 1, first + count) if 0 <= place < len(order)]
        compared = [self._compared(index, rival, measured) for rival in rivals]
        sure = min((sure for sure, _ in compared), default=1.0)
        shown = ", ".join(f"{_sign(mine, measured[rival])} {self._shown(rival, mine, measured)}" for rival in rivals)
        numbers = f"{mine.shown()}{mine.words} {shown}".rstrip()
        doubts = "".join(f", but {words}" for _, words in compared if words)
        kinds = _plural(constraint.phrase.head) if constraint.phrase.head else "things"
        return replace(
            finding,
            reason=f"{finding.reason}: {wanted} of {len(order)} {kinds}: {numbers}{doubts}",
            certainty=min(finding.certainty, sure),
        )

    def _lost(
        self, rank: Rank, index: int, order: list[int], keep: list[int], measured: dict[int, _Measure]
    ) -> tuple[float, str]:
        """Return how certain it is that a rank leaves an instance out, and why."""
        before = order.index(index) < order.index(keep[0])
        winner = keep[0] if before else keep[-1]
        sure, doubt = self._compared(index, winner, measured)
        mine, theirs = measured[index], measured[winner]
        comparative = _comparative(rank)
        one, other = (mine, theirs) if before else (theirs, mine)
        side = one.words if one.words != other.words else ""
        numbers = f"{one.shown()}{side} {_sign(one, other)} {other.shown()}{other.words}"
        if before:
            words = f"but it is {comparative} than the {self._name(winner)}: {numbers}"
        else:
            words = f"but the {self._name(winner)} is {comparative}: {numbers}"
        return sure, words + (f"; {doubt}" if doubt else "")

    def _compared(self, index: int, rival: int, measured: dict[int, _Measure]) -> tuple[float, str]:
        """Return how certain the order of two is, and in words when it is not."""
        mine, theirs = measured[index], measured[rival]
        deviation = math.hypot(mine.deviation, theirs.deviation)
        sure = certainty(mine.value - theirs.value, deviation)
        if sure >= TIE_CERTAINTY:
            return sure, ""
        shown = replace(mine, value=deviation).shown()
        return sure, f"{mine.shown()} and {theirs.shown()} differ by less than {shown}, cannot be told apart yet"

    def _shown(self, index: int, mine: _Measure, measured: dict[int, _Measure]) -> str:
        other = measured[index]
        return f"{other.shown()}{other.words if other.words != mine.words else ''} ({self._name(index)})"

    def _rank_values(self, rank: Rank, rivals: list[int]) -> dict[int, _Measure]:
        """Return the measure of each rival."""
        if rank.kind is RankKind.DISTANCE:
            return self._distances(rank, rivals)
        everyone = [self.instances[index] for index in rivals]
        measured_up = all(math.isfinite(instance.attributes.bottom_height_m) for instance in everyone)
        values: dict[int, _Measure] = {}
        for index in rivals:
            instance = self.instances[index]
            length, width, height = _extents(instance)
            top = instance.attributes.top_height_m
            if rank.kind is RankKind.SIZE:
                # What stands on the floor fills the space below it: the legs of a table that no view showed must not
                # make it smaller than a box.
                standing = self._stands_on_floor(index) and math.isfinite(top)
                height = max(height, top if standing else 0.0, 0.5 * instance.voxel_size_m)
                extents = (length, width, height)
                values[index] = _Measure(math.prod(extents), volume_deviation_m3(instance, extents), "m3", "")
            elif rank.kind is RankKind.HEIGHT:
                standing = instance.attributes.supported_by != "surface" and math.isfinite(top)
                tall = top if standing else height
                values[index] = _Measure(tall, extent_deviation_m(instance, tall), "m", " high")
            elif rank.kind in (RankKind.LENGTH, RankKind.WIDTH):
                side = max(length, width) if rank.kind is RankKind.LENGTH else width
                words = " long" if rank.kind is RankKind.LENGTH else " wide"
                values[index] = _Measure(side, extent_deviation_m(instance, side), "m", words)
            elif rank.kind is RankKind.ELEVATION:
                low = instance.attributes.bottom_height_m if measured_up else self._relations.shape(instance).low[2]
                values[index] = _Measure(float(low), surface_deviation_m(instance), "m", " up")
            elif rank.kind is RankKind.MIDDLE:
                aside = self._relations.from_middle(instance, everyone)
                values[index] = _Measure(aside, surface_deviation_m(instance), "m", " from their middle")
            else:
                aside = self._relations.lateral(instance, everyone)
                words = f" {'right' if aside > 0 else 'left'} of their middle"
                values[index] = _Measure(aside, surface_deviation_m(instance), "m", words)
        return values

    def _stands_on_floor(self, index: int) -> bool:
        """Tell whether something stands on the floor: as seen, or where no view showed it as its kind does."""
        seen = self.instances[index].attributes.supported_by
        if seen:
            return seen == "floor"
        names = self._names[index]
        likely = max(names, key=lambda name: (names[name], name), default="")
        known = find_class(likely) if likely else None
        return known is not None and known.support == "floor"

    def _distances(self, rank: Rank, rivals: list[int]) -> dict[int, _Measure]:
        if rank.anchor is None:
            return {
                index: _Measure(
                    self._relations.camera_distance(self.instances[index]),
                    surface_deviation_m(self.instances[index]),
                    "m",
                    " from the camera",
                )
                for index in rivals
            }
        anchors = self._anchors(rank.anchor)
        values: dict[int, _Measure] = {}
        for index in rivals:
            instance = self.instances[index]
            found = self._relations.nearest(instance, [self.instances[anchor] for anchor, _ in anchors])
            if found is None:
                words = f"no {rank.anchor.phrase.text or 'anchor'} was found to measure from"
                values[index] = _Measure(math.inf, 0.0, "m", words)
                continue
            gap, anchor = found
            # Things that touch differ by their centres.
            centre = self._relations.shape(instance).centroid - self._relations.shape(anchor).centroid
            values[index] = _Measure(
                gap + 1e-3 * float(np.linalg.norm(centre)),
                math.hypot(surface_deviation_m(instance), surface_deviation_m(anchor)),
                "m",
                f" from the {self._name(self._place_of[anchor.id])}",
            )
        return values

    @cached_property
    def _place_of(self) -> dict[int, int]:
        return {instance.id: place for place, instance in enumerate(self.instances)}

    def _limit(self, findings: list[_Finding], count: int) -> list[_Finding]:
        conforming = [index for index, finding in enumerate(findings) if finding.conforms]
        best = sorted(conforming, key=lambda index: (-findings[index].score, self.instances[index].id))[:count]
        if len(best) == len(conforming):
            return findings
        result = list(findings)
        last, wanted = best[-1], "is" if count == 1 else "are"
        dropped = [index for index in conforming if index not in best]
        nearest = max(dropped, key=lambda index: (findings[index].score, -self.instances[index].id))
        for index in conforming:
            finding, rival = findings[index], nearest if index in best else last
            deviation = math.hypot(self._score_deviation(index), self._score_deviation(rival))
            sure = min(finding.certainty, certainty(finding.score - findings[rival].score, deviation))
            if index in best:
                result[index] = replace(finding, certainty=sure)
                continue
            words = (
                f"but only {count} of {len(conforming)} {wanted} wanted, and the {self._name(last)} fits at least as"
                f" well ({findings[last].score:.2f} >= {finding.score:.2f})"
            )
            result[index] = replace(
                finding,
                conforms=False,
                score=0.6 * finding.score,
                reason=f"{finding.reason}, {words}",
                certainty=sure,
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


def _pairs(anchor_sets: list[list[tuple[int, float]]], target: int) -> list[tuple[tuple[int, int], float]]:
    """Return the pairs of different things to try as anchors of "between"."""
    first, second = ([(index, share) for index, share in some if index != target] for some in anchor_sets[:2])
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


def _sign(one: _Measure, other: _Measure) -> str:
    return "<" if one.value < other.value else ">" if one.value > other.value else "="


def _plural(noun: str) -> str:
    """Return the plural of a noun as reasons name it."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return f"{noun[:-1]}ies"
    return f"{noun[:-1]}ves" if noun in ("shelf", "bookshelf", "knife", "loaf") else f"{noun}s"


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
