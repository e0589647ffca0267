"""The tracker of one camera: detections become tracklets.

Two-stage association after ByteTrack: strong detections choose first, weak ones may only continue what is already
followed. Looks are compared only where motion does not decide: where two people claim one box, where a box fits badly,
where somebody comes back from behind something, and after two people have crossed (`crossings`). A look that
contradicts ends the match: a tracklet is rather broken than passed on to somebody else.

Source: Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", 2022, algorithm 1;
Aharon et al., "BoT-SORT", 2022, for motion and looks in one cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reid_pipeline.pipeline.appearance import Look, LookOdds, Looks
from reid_pipeline.pipeline.crossings import NOBODY, Finding, find_crossing, is_swap, judge
from reid_pipeline.pipeline.datatypes import WEAK_SCORE, Boxes, Detections, Scores
from reid_pipeline.pipeline.matching import Matrix, assign, covered, iou
from reid_pipeline.pipeline.motion import BoxMotion
from reid_pipeline.pipeline.protocols import Appearance, TrackedBoxes
from reid_pipeline.pipeline.tracker_settings import TrackerSettings

Mask = NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class _Track:
    number: int | None = None  # None until it is confirmed
    shown: bool = False  # the number has been given out
    hits: int = 1
    unseen: int = 0  # frames since the last sighting
    weak_hits: int = 0  # sightings since the last one that was sure
    look: Look | None = None
    look_age: int = 0
    doubts: int = 0  # looks in a row that are somebody else's
    rough: bool = False  # since its last look it can have been passed on: it was hidden, or its box leapt
    rivals: list[_Track] = field(default_factory=list)  # whom it has crossed since it was last seen to be itself
    evidence: dict[_Track, float] = field(default_factory=dict)  # log-odds of unclear looks since: itself, and these

    @property
    def unsure(self) -> bool:
        """Whether this may be somebody else since it was last sure, or nobody."""
        return bool(self.rivals or self.doubts or self.weak_hits)


class _Frame:
    """The open questions of one frame: which tracks and which detections are still free, and what was decided."""

    def __init__(self, tracks: list[_Track], overlap: Matrix, strong: Mask) -> None:
        self.overlap = overlap
        self.strong = strong
        self.confirmed = np.array([track.number is not None for track in tracks], bool)
        self.unseen = np.array([track.unseen for track in tracks], int)
        self.has_look = np.array([track.look is not None for track in tracks], bool)
        self.free_tracks = np.ones(len(tracks), bool)
        self.free_boxes = np.ones(len(strong), bool)
        self.pairs: list[tuple[int, int]] = []

    def settle(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Notes decided pairs (track, detection)."""
        for row, column in pairs:
            self.pairs.append((row, column))
            self.free_tracks[row] = self.free_boxes[column] = False


class PersonTracker:
    """Follows the persons of one camera. Holds all its state itself: two trackers share nothing."""

    def __init__(self, settings: TrackerSettings, first_number: int = 1) -> None:
        self._settings = settings
        self._next_number = first_number
        self._motion = BoxMotion()
        self._tracks: list[_Track] = []
        self._odds = LookOdds()
        self._handed: list[tuple[int, int]] = []  # in the present frame, see `TrackedBoxes`

    def update(self, detections: Detections, appearance: Appearance | None) -> TrackedBoxes:
        """Takes the next frame's detections, best first; see `protocols.Tracker`."""
        self._step()
        self._handed = []
        overlap = iou(self._motion.boxes, detections.boxes)
        frame = _Frame(self._tracks, overlap, detections.scores >= self._settings.min_confidence)
        looks = Looks(detections.boxes, appearance)
        self._match_strong(frame, looks)
        self._match_weak(frame, looks)
        self._match_unconfirmed(frame)
        self._relink(frame, detections, looks)
        frame.pairs.sort()
        self._accept(frame, detections)
        clean = frame.strong & (covered(detections.boxes) < self._settings.max_covered)
        self._note_crossings(frame, detections)
        self._tell_apart(frame, clean, looks)
        passed_on = self._store_looks(frame, clean, looks)
        shown = [(row, column) for row, column in frame.pairs if self._tracks[row].number is not None]
        for row, _ in shown:
            self._tracks[row].shown = True
        numbers = tuple(self._tracks[row].number or 0 for row, _ in shown)
        boxes, scores = self._boxes_of(shown, detections)
        ended = passed_on + self._forget()
        self._start(frame, detections)
        unsure = frozenset(track.number for track in self._tracks if track.number is not None and track.unsure)
        handed = tuple(self._handed)
        return TrackedBoxes(numbers, boxes, scores, ended, unsure, handed)

    def forget_looks(self) -> None:
        """See `protocols.Tracker`."""
        self._odds = LookOdds()
        for track in self._tracks:
            track.look, track.rivals = None, []

    def close(self) -> tuple[int, ...]:
        """Ends all tracklets and returns the numbers of the confirmed ones."""
        numbers = tuple(track.number for track in self._tracks if track.number is not None and track.shown)
        self._motion.keep(np.zeros(len(self._tracks), bool))
        self._tracks = []
        return numbers

    def _boxes_of(self, shown: Sequence[tuple[int, int]], detections: Detections) -> tuple[Boxes, Scores]:
        """The boxes of pairs (track, detection): as detected, or as expected where the detection is hardly any."""
        rows, columns = [row for row, _ in shown], [column for _, column in shown]
        scores = detections.scores[columns]
        guessed = (scores < self._settings.guess_below)[:, None]
        return np.where(guessed, self._motion.boxes[rows], detections.boxes[columns]), scores

    def _step(self) -> None:
        self._motion.predict(np.array([track.unseen > 0 for track in self._tracks], bool))
        for track in self._tracks:
            track.unseen += 1
            track.look_age += 1

    def _match_strong(self, frame: _Frame, looks: Looks) -> None:
        settings = self._settings
        allowed = (frame.overlap >= settings.min_overlap) & frame.confirmed[:, None] & frame.strong[None]
        contested = (allowed.sum(axis=0) > 1)[None] | (allowed.sum(axis=1) > 1)[:, None]
        lost, poor = (frame.unseen > 1)[:, None], frame.overlap < settings.sure_overlap
        doubtful = allowed & (contested | lost | poor) & frame.has_look[:, None]
        looks.fetch(np.flatnonzero(doubtful.any(axis=0)).tolist())
        similarity = frame.overlap.copy()
        for row, column in np.argwhere(doubtful).tolist():
            odds = self._compare(row, looks.get(column))
            if odds is None:
                continue
            if odds < settings.veto_odds and (lost[row, 0] or poor[row, column]):
                allowed[row, column] = False
            bonus = settings.looks_weight * min(max(odds / settings.full_odds, -1.0), 1.0)
            similarity[row, column] = max(similarity[row, column] + bonus, 1e-3)
        frame.settle(assign(similarity, allowed))

    def _match_weak(self, frame: _Frame, looks: Looks) -> None:
        """Continues tracks with weak detections; now and then such a box must look right, or it may be furniture."""
        fresh = frame.confirmed & frame.free_tracks & (frame.unseen <= self._settings.weak_memory_frames)
        allowed = (frame.overlap >= self._settings.min_weak_overlap) & fresh[:, None] & ~frame.strong[None]
        due = np.array([track.weak_hits % self._settings.doubt_frames == 0 for track in self._tracks], bool)
        asked = allowed & (due & frame.has_look)[:, None]
        looks.fetch(np.flatnonzero(asked.any(axis=0)).tolist())
        for row, column in np.argwhere(asked).tolist():
            odds = self._compare(row, looks.get(column))
            allowed[row, column] = odds is None or odds >= NOBODY
        pairs = assign(frame.overlap, allowed)
        for row, _ in pairs:
            self._tracks[row].weak_hits += 1
        frame.settle(pairs)

    def _match_unconfirmed(self, frame: _Frame) -> None:
        tentative = ~frame.confirmed & frame.free_tracks
        near = frame.overlap >= self._settings.min_overlap
        frame.settle(assign(frame.overlap, near & tentative[:, None] & (frame.strong & frame.free_boxes)[None]))

    def _relink(self, frame: _Frame, detections: Detections, looks: Looks) -> None:
        """Finds tracks again that motion has lost, by their looks, among the boxes that nobody wants."""
        rows = np.flatnonzero(frame.confirmed & frame.free_tracks & frame.has_look)
        columns = np.flatnonzero(frame.strong & frame.free_boxes)
        if not len(rows) or not len(columns):
            return
        near = self._within_reach(rows, detections, columns)
        looks.fetch(columns[near.any(axis=0)].tolist())
        odds = np.zeros(near.shape, np.float32)
        for row, column in np.argwhere(near).tolist():
            odds[row, column] = self._compare(int(rows[row]), looks.get(int(columns[column]))) or 0.0
        found = assign(odds, near & (odds > self._settings.relink_odds))
        pairs = [(int(rows[row]), int(columns[column])) for row, column in found]
        for row, column in pairs:
            self._motion.restart(np.array([row]), detections.boxes[[column]])
        frame.settle(pairs)

    def _within_reach(self, rows: NDArray[np.intp], detections: Detections, columns: NDArray[np.intp]) -> Mask:
        boxes = detections.boxes[columns]
        expected = self._motion.position[rows]
        centres, heights = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 3] - boxes[:, 1]
        distance = np.linalg.norm(centres[None] - expected[:, None, :2], axis=2)
        growth = np.maximum(heights[None] / expected[:, 3:], expected[:, 3:] / np.maximum(heights[None], 1e-9))
        reach = self._settings.relink_reach * self._motion.spread[rows][:, None]
        near: Mask = (distance < reach) & (growth < self._settings.relink_growth)
        return near

    def _compare(self, row: int, look: Look | None) -> float | None:
        stored = self._tracks[row].look
        if stored is None or look is None:
            return None
        return self._odds.log_odds(float(stored @ look))

    def _accept(self, frame: _Frame, detections: Detections) -> None:
        if frame.pairs:
            rows, columns = np.array(frame.pairs).T
            sure = (detections.scores[columns] - WEAK_SCORE) / (self._settings.sure_size - WEAK_SCORE)
            self._motion.correct(rows, detections.boxes[columns], np.clip(sure, 0.0, 1.0))
        for row, column in frame.pairs:
            track = self._tracks[row]
            fits = frame.overlap[row, column] >= self._settings.sure_overlap and frame.strong[column]
            track.rough |= bool(track.rivals) or track.unseen > 1 or not fits
            track.unseen = 0
            track.hits += 1
            track.weak_hits = 0 if frame.strong[column] else track.weak_hits
            if track.number is None and track.hits >= self._settings.confirm_frames:
                track.number = self._next_number
                self._next_number += 1

    def _note_crossings(self, frame: _Frame, detections: Detections) -> None:
        boxes = self._motion.boxes
        for row, column in frame.pairs:
            boxes[row] = detections.boxes[column]
        rows = [row for row, track in enumerate(self._tracks) if track.number is not None]
        for one, other in find_crossing(boxes[rows]):
            track, rival = self._tracks[rows[one]], self._tracks[rows[other]]
            if rival not in track.rivals:
                track.rivals.append(rival)

    def _tell_apart(self, frame: _Frame, clean: Mask, looks: Looks) -> None:
        """Has those whose crossing is over be who they look like, in `frame` too."""
        columns = {row: column for row, column in frame.pairs if clean[column]}
        asked = (self._tracks[row] for row in columns if self._tracks[row].rivals)
        uncertain = [track for track in asked if track.look is None or track.look_age >= self._settings.doubt_frames]
        looks.fetch([columns[self._tracks.index(track)] for track in uncertain])
        for track in uncertain:
            track.rivals = [each for each in track.rivals if each.look is not None and each in self._tracks]
            column = columns.get(self._tracks.index(track))  # it may have changed places
            look = None if column is None else looks.get(column)
            if look is not None and track.look is None:
                self._recognise(track, look)
            elif look is not None and track.rivals:
                self._ask(track, look, columns, looks)

    def _recognise(self, track: _Track, look: Look) -> None:
        """Has a track that began within a crossing be the one whom it looks like, if that one is lost."""
        likest = max(track.rivals, key=lambda each: self._odds_of(each, look), default=None)
        track.rivals = []
        if likest is not None and likest.unseen and self._odds_of(likest, look) > self._settings.relink_odds:
            self._swap(self._tracks.index(track), self._tracks.index(likest))

    def _ask(self, track: _Track, look: Look, columns: Mapping[int, int], looks: Looks) -> None:
        """Compares the look of a track with its own and with those of whom it has crossed."""
        rivals = track.rivals
        crossed = judge(*self._weigh(track, look))
        rival = rivals[crossed.rival]
        if crossed.finding is Finding.ITSELF:
            track.doubts, track.evidence = 0, {}
            for each in rivals:
                each.rivals = [other for other in each.rivals if other is not track]
        else:
            track.look_age, track.doubts = 0, track.doubts + 1
        if crossed.finding in (Finding.ITSELF, Finding.NEITHER) or track.doubts > self._settings.most_doubts:
            track.rivals = []
        if crossed.finding is Finding.RIVAL and self._has_swapped(track, rival, crossed.gain, columns, looks):
            self._swap(self._tracks.index(track), self._tracks.index(rival))

    def _weigh(self, track: _Track, look: Look) -> tuple[float, list[float]]:
        """The log-odds of a track and of its rivals, by this look and by those before it that left it unclear."""
        before = track.evidence.get(track, 0.0)
        track.evidence = {
            each: track.evidence.get(each, before) + self._odds_of(each, look) for each in (track, *track.rivals)
        }
        return track.evidence[track], [track.evidence[each] for each in track.rivals]

    def _has_swapped(self, track: _Track, rival: _Track, gain: float, columns: Mapping[int, int], looks: Looks) -> bool:
        """Whether two have changed places, where one looks like the other: if that one is in sight, it is asked too."""
        if rival.unseen:
            return True
        column = columns.get(self._tracks.index(rival))
        if column is None:
            return False  # hidden by somebody still
        looks.fetch([column])
        look = looks.get(column)
        return look is not None and is_swap(gain, self._odds_of(rival, look), self._odds_of(track, look))

    def _odds_of(self, track: _Track, look: Look) -> float:
        return 0.0 if track.look is None else self._odds.log_odds(float(track.look @ look))

    def _swap(self, row: int, other: int) -> None:
        """Gives two tracks each other's places and boxes."""
        one, two = self._tracks[row], self._tracks[other]
        if one.number is not None and two.number is not None and one.shown and two.shown:
            self._handed += [(one.number, two.number)] + ([] if two.unseen else [(two.number, one.number)])
        self._tracks[row], self._tracks[other] = two, one
        one.unseen, two.unseen = two.unseen, one.unseen
        one.rivals = [each for each in one.rivals if each is not two]
        two.rivals = [each for each in two.rivals if each is not one]

    def _store_looks(self, frame: _Frame, clean: Mask, looks: Looks) -> tuple[int, ...]:
        """Keeps the looks of the tracks up to date from boxes that show one person, and learns what they tell.

        Returns:
            Numbers of tracklets that were passed on to somebody else, unnoticed by motion, and end here.
        """
        settled = [track.number is not None and not track.rivals for track in self._tracks]
        wanted = [(row, column) for row, column in frame.pairs if clean[column] and settled[row]]
        stale = [column for row, column in wanted if self._is_stale(self._tracks[row])]
        looks.fetch(stale)
        self._learn_differences(frame, looks)
        ended = []
        for row, column in wanted:
            look = looks.get(column)
            if look is not None and (number := self._take_look(row, look)) is not None:
                ended.append(number)
        return tuple(ended)

    def _take_look(self, row: int, look: Look) -> int | None:
        """Takes in a look of a track. Where it is somebody else's again and again, the track goes on as a new tracklet.

        Returns:
            The number of the tracklet that ends so; mostly None.
        """
        track, odds = self._tracks[row], self._compare(row, look)
        if track.look_age == 0 and odds is not None:
            return None  # this look has said already that it is unclear
        track.look_age = 0
        if track.look is not None and odds is not None and odds >= NOBODY:
            self._odds.learn_same(float(track.look @ look))
        limit = self._settings.doubt_odds if track.rough else NOBODY
        if odds is None or odds >= limit:
            track.look, track.doubts, track.rough = self._blend(track.look, look), 0, False
            return None
        track.doubts += 1
        if track.doubts < self._settings.change_looks:
            return None
        ended, track.number = track.number, self._next_number
        self._next_number += 1
        track.look, track.doubts, track.rough = look, 0, False
        if ended is not None and track.shown:
            self._handed.append((ended, track.number))
        return ended

    def _is_stale(self, track: _Track) -> bool:
        limit = self._settings.doubt_frames if track.doubts else self._settings.refresh_frames
        return track.look is None or track.look_age >= limit

    def _blend(self, old: Look | None, new: Look) -> Look:
        if old is None:
            return new
        mixed = old * np.float32(self._settings.look_blend) + new * np.float32(1 - self._settings.look_blend)
        blended: Look = mixed / np.linalg.norm(mixed)
        return blended

    def _learn_differences(self, frame: _Frame, looks: Looks) -> None:
        owner = {column: row for row, column in frame.pairs}
        seen = [(row, self._tracks[row].look) for row, _ in frame.pairs]
        for column, look in looks.known():
            for row, other in seen:
                if column in owner and owner[column] != row and other is not None:
                    self._odds.learn_different(float(other @ look))

    def _forget(self) -> tuple[int, ...]:
        memory = self._settings.memory_frames
        alive = [track.unseen <= (memory if track.number is not None else 0) for track in self._tracks]
        ended = tuple(
            track.number
            for track, stays in zip(self._tracks, alive, strict=True)
            if not stays and track.number is not None and track.shown
        )
        self._motion.keep(np.array(alive, bool))
        self._tracks = [track for track, stays in zip(self._tracks, alive, strict=True) if stays]
        return ended

    def _start(self, frame: _Frame, detections: Detections) -> None:
        born = np.flatnonzero(frame.free_boxes & frame.strong)
        self._motion.add(detections.boxes[born])
        self._tracks.extend(_Track() for _ in born)
