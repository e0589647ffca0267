"""The second pass during a run: when it comes, that the first one goes on from it, and what becomes of late answers."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import replace

import numpy as np
import pytest

from reid_pipeline.configs.settings import AssociationSettings
from reid_pipeline.pipeline import two_pass
from reid_pipeline.pipeline.association import PrototypeAssociator
from reid_pipeline.pipeline.associator_factory import EmbeddingSpace, build_associator
from reid_pipeline.pipeline.gallery import Gallery
from reid_pipeline.pipeline.identity_book import IdentityBook
from reid_pipeline.pipeline.replay import updates_of
from reid_pipeline.pipeline.two_pass import FEWEST_TRACKLETS, LONGEST_PERIOD_US, TwoPassAssociator
from reid_pipeline.storage.records import EventType, OperatorNews
from tests.pipeline.agreement import check_agreement
from tests.pipeline.crowd import DIM, SECOND_US, draw_crowd

DAY_US = 86_400 * SECOND_US


class Later(Executor):
    """Does nothing until it is told to: a machine as slow as one likes."""

    def __init__(self):
        self.waiting = []

    def submit(self, call, /, *arguments, **named):
        self.waiting.append((Future(), lambda: call(*arguments, **named)))
        return self.waiting[-1][0]

    def work(self):
        for future, call in self.waiting:
            future.set_result(call())
        self.waiting = []


class Run:
    """Tracklets on their way through an associator, and who they are so far."""

    def __init__(self, crowd, **options):
        self.crowd = crowd
        self.gallery = Gallery(DIM, DAY_US)
        first = PrototypeAssociator(self.gallery, 1)
        self.associator = TwoPassAssociator(first, DAY_US, 0.002, topology=True, **options)
        self.book = IdentityBook()
        self.decisions = []
        self.merged = set()

    def play(self, updates):
        """Yields after each update how many decisions of the second pass it gave."""
        for update in updates:
            yield self.take(self.associator.update(update))

    def take(self, decisions):
        for each in decisions:
            assert each.identity not in self.merged, "somebody who was merged came back"
            self.merged |= {each.identity} if each.kind is EventType.MERGE else set()
        self.book.apply(decisions)
        self.decisions += decisions
        return sum("pass" in each.evidence for each in decisions)

    def check(self):
        """Both passes and the gallery know the same people; nobody is in one camera twice at one time."""
        identities = check_agreement(self.associator, self.gallery)
        assert identities == {key: self.book.identity(key) for key in identities}

    def clashes(self):
        """Pairs of tracklets of one identity that one camera saw at one time."""
        given = np.array([self.book.identity(each.key) or -place for place, each in enumerate(self.crowd.record(), 1)])
        together = (given[:, None] == given[None]) & self.crowd.apart
        return int(np.triu(together, 1).sum())

    def recall(self):
        """Of the pairs of tracklets that are one person and were decided, how many are one identity."""
        given = np.array([self.book.identity(each.key) or 0 for each in self.crowd.record()])
        pairs = np.triu(self.crowd.same & (given > 0) & (given > 0)[:, None], 1)
        return ((given[:, None] == given[None]) & pairs).sum() / pairs.sum()


@pytest.fixture(scope="module")
def crowd():
    return draw_crowd(people=12, sightings=8, noise=0.14, seed=1)


@pytest.fixture(scope="module")
def squeezed():
    """Many are in one camera at one time."""
    people = draw_crowd(people=12, sightings=8, noise=0.15, seed=2)
    starts_s = people.starts_s / 4
    return replace(people, starts_s=starts_s, ends_s=starts_s + 8.0)


def test_people_are_found_again_while_the_run_goes_on(crowd):
    passes, alone = Run(crowd), Run(crowd)
    alone.associator = PrototypeAssociator(alone.gallery, 1)
    for run in (passes, alone):
        list(run.play(updates_of(crowd.record())))
    assert passes.recall() > alone.recall() + 0.2
    before = passes.recall()
    passes.take(passes.associator.close())
    assert before > passes.recall() - 0.1


@pytest.mark.parametrize("late", [None, 0, 7, 40])
def test_the_first_pass_goes_on_from_what_the_second_one_has_decided(squeezed, late):
    worker = None if late is None else Later()
    run = Run(squeezed, worker=worker)
    waited = count = 0
    for decided in run.play(updates_of(squeezed.record())):
        if worker is not None and worker.waiting:
            waited += 1
            if waited > late:
                worker.work()
                waited = 0
        if decided:
            run.check()
            count += 1
        assert run.clashes() == 0
    assert count >= 3
    assert run.merged
    run.take(run.associator.close())
    run.check()
    assert run.clashes() == 0


def test_a_thread_beside_the_run_answers_when_it_can(squeezed):
    run = Run(squeezed)
    run.associator = build_associator(AssociationSettings(), EmbeddingSpace(DIM), background=True)
    for _ in run.play(updates_of(squeezed.record())):
        assert run.clashes() == 0
    run.take(run.associator.close())
    assert run.clashes() == 0
    assert run.recall() > 0.8


def test_an_answer_that_never_comes_holds_nothing_up(crowd):
    run = Run(crowd, worker=Later())
    assert sum(run.play(updates_of(crowd.record()))) == 0
    run.take(run.associator.close())
    at_once = Run(crowd)
    list(at_once.play(updates_of(crowd.record())))
    at_once.take(at_once.associator.close())
    assert run.recall() == pytest.approx(at_once.recall(), abs=0.03)


def test_a_fault_beside_the_run_ends_the_run(crowd):
    class Failing(Executor):
        def submit(self, call, /, *arguments, **named):
            failed = Future()
            failed.set_exception(ZeroDivisionError("no people"))
            return failed

    run = Run(crowd, worker=Failing())
    with pytest.raises(ZeroDivisionError, match="no people"):
        list(run.play(updates_of(crowd.record())))


def test_what_was_forgotten_meanwhile_is_not_decided(squeezed, monkeypatch):
    monkeypatch.setattr("reid_pipeline.pipeline.sightings.MOST_SIGHTINGS", 30)
    worker = Later()
    run = Run(squeezed, worker=worker)
    for place, decided in enumerate(run.play(updates_of(squeezed.record()))):
        if place % 45 == 0:
            worker.work()
        held = run.associator._sightings.identities()
        told = [each.tracklet for each in run.decisions[len(run.decisions) - decided :] if decided]
        assert {key for key in told if key is not None} <= held.keys()
    assert run.clashes() == 0


def test_the_same_tracklets_give_the_same_decisions(crowd):
    runs = [Run(crowd), Run(crowd)]
    for run in runs:
        list(run.play(updates_of(crowd.record())))
        run.take(run.associator.close())
    assert runs[0].decisions == runs[1].decisions
    assert sum("pass" in each.evidence for each in runs[0].decisions) > 10


class TestWhenAPassComes:
    @pytest.fixture
    def asked(self):
        return []

    @pytest.fixture
    def run(self, asked, monkeypatch):
        monkeypatch.setattr(two_pass, "group_tracklets", lambda known, **_: None)

        def nothing_new(after):
            asked.append(after)

        return Run(draw_crowd(people=80, sightings=1), operators=nothing_new)

    def places(self, run, asked, tracklets):
        """After how many ended tracklets there was a pass."""
        ended, found = 0, []
        for update in updates_of(tracklets):
            before = len(asked)
            list(run.play([update]))
            ended += len(update.ended)
            if len(asked) > before:
                found.append(ended)
        return found

    def one_in_minutes(self, run, minutes):
        return [
            replace(
                each,
                first_us=60 * minutes * place * SECOND_US,
                last_us=(60 * minutes * place + 5) * SECOND_US,
                views=(),
            )
            for place, each in enumerate(run.crowd.record())
        ]

    def test_it_comes_where_there_are_some_more(self, run, asked):
        shown = [
            replace(
                each,
                first_us=20 * place * SECOND_US,
                last_us=(20 * place + 5) * SECOND_US,
                views=tuple(replace(view, time_us=20 * place * SECOND_US) for view in each.views),
            )
            for place, each in enumerate(run.crowd.record())
        ]
        places = self.places(run, asked, shown)
        assert places[:5] == [FEWEST_TRACKLETS * count for count in range(1, 6)]
        assert np.diff(places)[-1] > FEWEST_TRACKLETS

    def test_where_few_come_by_it_comes_after_some_time(self, run, asked):
        places = self.places(run, asked, self.one_in_minutes(run, 6)[:9])
        assert places == [LONGEST_PERIOD_US // (360 * SECOND_US)]

    def test_nobody_no_pass(self, run, asked):
        update = next(iter(updates_of(self.one_in_minutes(run, 1))))
        later = [replace(update, started=(), time_us=update.time_us + day * DAY_US) for day in range(3)]
        list(run.play([update, *later]))
        assert asked == []


def test_a_late_answer_does_not_count_where_an_operator_has_spoken(crowd):
    worker, news = Later(), []

    def operators(after):
        return next((each for each in news if each.log_id > after), None)

    run = Run(crowd, worker=worker, operators=operators)
    updates = iter(updates_of(crowd.record()))
    while not worker.waiting:
        list(run.play([next(updates)]))
    news.append(OperatorNews(7, (), {}, {}))
    worker.work()
    assert list(run.play([next(updates)])) == [0]
    while not worker.waiting:
        assert list(run.play([next(updates)])) == [0]
    worker.work()
    assert sum(run.play([next(updates)])) > 0
