"""Random decisions about identities, and a slow log that tells what they should come to."""

from __future__ import annotations

import random

from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.errors import CorrectionRefused
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes, EventType, IdentityEvent


def split_event(site, identity, other, number):
    return IdentityEvent(EventType.SPLIT, site.time_us(1), identity, other=other, camera="hall", number=number)


def machine(site, *events):
    site.write(Changes(identity_events=events))


def hall(*numbers):
    return [("hall", number) for number in numbers]


def links_hold(said, identities):
    return all((identities[link.first[1]] == identities[link.second[1]]) == link.same for link in said)


class SlowLog:
    """The same, obviously right: all decisions are kept, and each question replays those that count from the start."""

    def __init__(self, tracklets):
        self.tracklets = tracklets
        self.decisions = []  # [kind, identity, other, tracklets, is by an operator, is undone]
        for number in tracklets:
            self.decisions += [
                ["open", number, None, (), False, False],
                ["assign", number, None, (number,), False, False],
            ]

    def replay(self):
        of, into = {}, {}
        for kind, identity, other, tracklets, _, undone in self.decisions:
            if kind in {"open", "split"}:
                into[identity] = None
            if (kind == "merge" and not undone) or (kind == "split" and undone):
                older, younger = sorted((find(into, identity), find(into, other)))
                if older != younger:
                    into[younger] = older
            if kind in ("assign", "split") and not undone:
                of.update(dict.fromkeys(tracklets, identity))
        merged = {each: find(into, each) for each in into if into[each] is not None}
        return {each: find(into, identity) for each, identity in of.items()}, merged


def find(into, identity):
    while into[identity] is not None:
        identity = into[identity]
    return identity


class Chance:
    """Random decisions, made both in a site and in the slow log; at first each tracklet is who has its number."""

    def __init__(self, site, tracklets, seed):
        self.site, self.random = site, random.Random(seed)
        self.anna = Corrections(site.database, Access("anna", Role.OPERATOR))
        self.log = SlowLog(tracklets)

    def step(self):
        kind = self.random.choice(
            ("merge", "split", "confirm", "undo", "undo", "machine merge", "machine split", "machine assign")
        )
        getattr(self, kind.replace(" ", "_"))()

    def two(self):
        tracklets, merged = self.log.replay()
        return self.random.sample(sorted(set(tracklets.values()) | set(merged)), 2)

    def merge(self):
        one, other = self.two()
        merged = self.log.replay()[1]
        one, other = (merged.get(each, each) for each in (one, other))
        if one != other:
            self.anna.merge(one, other)
            self.log.decisions.append(["merge", max(one, other), min(one, other), (), True, False])

    def split(self):
        tracklets = self.log.replay()[0]
        left = self.random.choice(sorted(tracklets.values()))
        own = [each for each, identity in tracklets.items() if identity == left]
        if len(own) > 1:
            leaving = tuple(self.random.sample(own, self.random.randint(1, len(own) - 1)))
            made = self.anna.split(left, hall(*leaving)).identity
            self.log.decisions.append(["split", made, left, leaving, True, False])

    def confirm(self):
        tracklets = self.log.replay()[0]
        identity = self.random.choice(sorted(tracklets.values()))
        own = [each for each, of in tracklets.items() if of == identity]
        if len(own) > 1:
            self.anna.confirm(identity, hall(*self.random.sample(own, 2)))
            self.log.decisions.append(["confirm", identity, identity, (), True, False])

    def undo(self):
        identity, by_machine = self.two()[0], self.random.random() < 0.5
        of_kind = [
            entry
            for entry in self.log.decisions
            if entry[0] in ("merge", "split", "confirm")
            and identity in entry[1:3]
            and entry[4] != by_machine
            and not entry[5]
        ]
        try:
            undone = self.anna.undo(identity, machine=by_machine)
        except CorrectionRefused as error:
            assert not of_kind or "undo these first" in str(error)
            return
        assert [undone.undone.value, undone.identity, undone.other] == of_kind[-1][:3]
        of_kind[-1][5] = True

    def machine_merge(self):
        older, younger = sorted(self.two())
        self.machine(["merge", younger, older, (), False, False], self.site.merged(younger, older))

    def machine_split(self):
        number, left = self.random.choice(sorted(self.log.replay()[0].items()))
        made = self.site.repository.next_identity()
        decision = ["split", made, left, (number,), False, False]
        if not self.machine(decision, split_event(self.site, made, left, number)):
            self.log.decisions.append(["open", made, None, (), False, False])

    def machine_assign(self):
        number, identity = self.random.choice(self.log.tracklets), self.two()[0]
        self.machine(["assign", identity, None, (number,), False, False], self.site.assigned(identity, number))

    def machine(self, decision, event):
        """Notes a decision of the machine where it breaks no link; else it should be dropped."""
        said = self.site.repository.operator_links()
        self.log.decisions.append(decision)
        holds = links_hold(said, self.log.replay()[0])
        if not holds:
            self.log.decisions.pop()
        machine(self.site, event)
        return holds
