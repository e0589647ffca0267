import numpy as np
import pytest

from reid_pipeline.pipeline.tracks import TracksOf, days_between, write_tracks
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.records import BoxRun, Changes, EventType, IdentityEvent, NewTracklet, SourceSpec
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.writer import Writer

DAY_US = 86_400_000_000
MIDNIGHT_US = 20_413 * DAY_US  # 2025-11-21


class Site:
    """A database with tracklets of one box (number, frame, number + 10, frame + 20) a frame."""

    def __init__(self, database):
        self._database = database
        self._crops = CropStore(database.data_dir)
        self.repository = Repository(database, self._crops)
        self._run = self.repository.begin_run({}, {}, MIDNIGHT_US)

    def source(self, camera, live=False):
        spec = SourceSpec(camera, f"/recordings/{camera}.mp4", camera, live, MIDNIGHT_US)
        return self.repository.open_source(spec).source_id

    def write(self, changes):
        with Writer(self._database, self._crops) as writer:
            writer.put(changes)

    def tracklet(self, camera, source, number, frames, times_us=None):
        """Stores a tracklet; its frames are a second apart where no times are given."""
        times_us = times_us or [MIDNIGHT_US + frame * 1_000_000 for frame in frames]
        boxes = np.array([(number, frame, number + 10, frame + 20) for frame in frames], np.float32)
        scores = np.full(len(frames), 0.5, np.float32)
        run = BoxRun(camera, number, np.array(frames, np.int32), np.array(times_us, np.int64), boxes, scores)
        begin = NewTracklet(camera, number, source, self._run, frames[0], times_us[0])
        self.write(Changes(new_tracklets=(begin,), boxes=(run,)))

    def identify(self, **tracklets):
        """Gives tracklets, as camera=number, to a new identity."""
        events = [IdentityEvent(EventType.OPEN, MIDNIGHT_US, self.repository.next_identity())]
        for camera, number in tracklets.items():
            events.append(
                IdentityEvent(EventType.ASSIGN, MIDNIGHT_US, events[0].identity, camera=camera, number=number)
            )
        self.write(Changes(identity_events=tuple(events)))
        return events[0].identity


@pytest.fixture
def site(tmp_path):
    with open_database(tmp_path / "data") as database:
        yield Site(database)


def read(folder):
    return {path.name: path.read_text().splitlines() for path in folder.iterdir()}


def test_mot_lines_are_sorted_by_frame_then_number(site, tmp_path):
    source = site.source("hall")
    site.tracklet("hall", source, 1, [9, 10])
    site.tracklet("hall", source, 2, [2, 9])
    write_tracks(site.repository, tmp_path / "tracks", [TracksOf("hall", source)])
    assert read(tmp_path / "tracks")["hall.txt"] == [
        "2,2,2.00,2.00,10.00,20.00,0.5000,-1,-1,-1",
        "9,1,1.00,9.00,10.00,20.00,0.5000,-1,-1,-1",
        "9,2,2.00,9.00,10.00,20.00,0.5000,-1,-1,-1",
        "10,1,1.00,10.00,10.00,20.00,0.5000,-1,-1,-1",
    ]


def test_mtmc_has_only_who_is_identified(site, tmp_path):
    hall, lobby = site.source("hall"), site.source("lobby")
    site.tracklet("hall", hall, 1, [1])
    site.tracklet("hall", hall, 2, [1])
    site.tracklet("lobby", lobby, 1, [2, 11])
    site.identify(hall=2)
    site.identify(lobby=1)
    write_tracks(site.repository, tmp_path / "tracks", [TracksOf("hall", hall), TracksOf("lobby", lobby)])
    files = read(tmp_path / "tracks")
    assert set(files) == {"hall.txt", "lobby.txt", "mtmc.txt"}
    assert files["mtmc.txt"] == [
        "hall,1,1,2.00,1.00,10.00,20.00,0.5000",
        "lobby,2,2,1.00,2.00,10.00,20.00,0.5000",
        "lobby,11,2,1.00,11.00,10.00,20.00,0.5000",
    ]


def test_late_merges_are_in_the_files(site, tmp_path):
    source = site.source("hall")
    site.tracklet("hall", source, 1, [1])
    site.tracklet("hall", source, 2, [5])
    older, younger = site.identify(hall=1), site.identify(hall=2)
    site.write(Changes(identity_events=(IdentityEvent(EventType.MERGE, MIDNIGHT_US, younger, older),)))
    write_tracks(site.repository, tmp_path / "tracks", [TracksOf("hall", source)])
    assert [line.split(",")[2] for line in read(tmp_path / "tracks")["mtmc.txt"]] == ["1", "1"]


def test_a_live_camera_has_one_file_a_day(site, tmp_path):
    source = site.source("gate", live=True)
    site.tracklet("gate", source, 1, [5, 6], [MIDNIGHT_US - 1, MIDNIGHT_US])
    site.identify(gate=1)
    days = days_between(MIDNIGHT_US - 1, MIDNIGHT_US)
    write_tracks(site.repository, tmp_path / "tracks", [TracksOf("gate", None, days)])
    files = read(tmp_path / "tracks")
    assert {name: [line.split(",")[0] for line in lines] for name, lines in files.items() if "gate" in name} == {
        "gate-2025-11-20.txt": ["5"],
        "gate-2025-11-21.txt": ["6"],
    }
    assert files["mtmc-2025-11-21.txt"] == ["gate,6,1,1.00,6.00,10.00,20.00,0.5000"]


def test_a_camera_without_people_has_an_empty_file(site, tmp_path):
    write_tracks(site.repository, tmp_path / "tracks", [TracksOf("hall", site.source("hall"))])
    assert read(tmp_path / "tracks") == {"hall.txt": [], "mtmc.txt": []}


def test_files_are_replaced(site, tmp_path):
    source = site.source("hall")
    for frames, number in (([1], 1), ([2], 2)):
        site.tracklet("hall", source, number, frames)
        write_tracks(site.repository, tmp_path / "tracks", [TracksOf("hall", source)])
    assert len(read(tmp_path / "tracks")["hall.txt"]) == 2


@pytest.mark.parametrize(
    ("first_us", "last_us", "expected"),
    [
        (5, 6, (0,)),
        (DAY_US - 1, DAY_US, (0, DAY_US)),
        (DAY_US, DAY_US, (DAY_US,)),
        (DAY_US, 3 * DAY_US - 1, (DAY_US, 2 * DAY_US)),
    ],
)
def test_days_between(first_us, last_us, expected):
    assert days_between(first_us, last_us) == expected
