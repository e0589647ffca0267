import json

import numpy as np
import pytest

from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.demo import Visit, follow
from reid_pipeline.pipeline.mot_format import BoxTracks, TrackKeys


def tracks(*rows: tuple[str, int, int]) -> BoxTracks:
    cameras, frames, identities = zip(*rows, strict=True)
    keys = TrackKeys(np.array(cameras), np.array(frames), np.array(identities))
    return BoxTracks(keys, np.zeros((len(rows), 4)), np.ones(len(rows)))


def test_a_journey_is_the_visits_in_the_order_of_their_beginnings():
    seen = [("hall", frame, 7) for frame in range(41, 57)] + [("door", frame, 7) for frame in range(1, 9)]
    [journey] = follow(tracks(*seen), fps=8.0)
    assert journey.identity == 7
    assert journey.visits == (Visit("door", 0.0, 1.0), Visit("hall", 5.0, 7.0))


def test_a_short_gap_is_no_end_and_a_long_one_is():
    frames = [1, 2, 18, 40]  # gaps of two seconds and of more
    [journey] = follow(tracks(*[("door", frame, 1) for frame in frames]), fps=8.0)
    assert [(visit.since_s, visit.until_s) for visit in journey.visits] == [(0.0, 2.25), (4.875, 5.0)]


def test_people_do_not_mix():
    journeys = list(follow(tracks(("a", 1, 2), ("a", 1, 1), ("b", 2, 2)), fps=1.0))
    assert [(journey.identity, [visit.camera for visit in journey.visits]) for journey in journeys] == [
        (1, ["a"]),
        (2, ["a", "b"]),
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_follows_its_people(tmp_path, capfd):
    """The whole main job from rendering to scores, with the bundled models."""
    assert run_command_line(["demo", "--out", str(tmp_path / "demo"), "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["IDF1"] > 0.8
    assert result["people"] == 8
    assert set(result["cameras"]) == {path.stem for path in (tmp_path / "demo").glob("*.mp4")}
    assert sum(len(journey["visits"]) for journey in result["journeys"]) >= result["people"]


def test_a_folder_with_other_things_is_left_alone(tmp_path, capfd):
    (tmp_path / "thesis.txt").write_text("the only copy")
    assert run_command_line(["demo", "--out", str(tmp_path)]) == 2
    assert str(tmp_path) in capfd.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"
