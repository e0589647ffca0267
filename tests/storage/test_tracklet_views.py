"""Embeddings by tracklet: what is read, and what a filter leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from reid_pipeline.storage.records import Changes, ModelRecord
from reid_pipeline.storage.tracklet_views import ViewFilter


@pytest.fixture
def filled(site):
    """Tracklets 1 and 2 in the hall, 1 by the door, of which the hall's second is nobody yet."""
    site.repository.register_model(ModelRecord("m2", "other", "reid", "MIT"))
    site.source()
    site.source(camera="door", fingerprint="f2")
    site.write(
        Changes(
            new_tracklets=(site.begin(1), site.begin(2, frame=5), site.begin(1, 2, "door", 9)),
            boxes=(
                site.box_run(1, [1, 4]),
                site.box_run(2, [5, 8]),
                site.box_run(1, [9, 12], "door"),
            ),
            views=(
                site.view(1, 4),
                site.view(2, 5),
                site.view(1, 1),
                site.view(1, 9, "door"),
                site.view(1, 10, "door", model="m2"),
            ),
            identity_events=(site.opened(1), site.opened(2), site.assigned(1, 1), site.assigned(2, 1, "door")),
        )
    )
    return site


def keys(site, model="m1", **wanted):
    return [(each.camera, each.number) for each in site.repository.tracklet_views(model, ViewFilter(**wanted))]


def test_a_tracklet_comes_with_all_its_views_by_one_model(filled):
    first, second, other = filled.repository.tracklet_views("m1", ViewFilter())
    assert sorted(first.vectors.tolist()) == [[1, 1], [1, 4]]
    assert (first.vectors.dtype, first.qualities.tolist()) == (np.float32, [0.5, 0.5])
    assert (first.camera, first.number, first.run_id, first.identity) == ("hall", 1, filled.run_id, 1)
    assert (first.first_us, first.last_us) == (filled.time_us(1), filled.time_us(4))
    assert (second.number, second.identity) == (2, None)
    assert (other.camera, other.vectors.tolist()) == ("door", [[1, 9]])
    [by_the_other] = filled.repository.tracklet_views("m2", ViewFilter())
    assert by_the_other.vectors.tolist() == [[1, 10]]
    assert keys(filled, "m3") == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"cameras": ("hall",)}, ["hall 1", "hall 2"]),
        ({"cameras": ("hall", "door", "roof")}, ["hall 1", "hall 2", "door 1"]),
        ({"cameras": ("roof",)}, []),
        ({"since": 8}, ["hall 2", "door 1"]),
        ({"since": 9}, ["door 1"]),
        ({"until": 5}, ["hall 1"]),
        ({"until": 6, "since": 5}, ["hall 2"]),
        ({"identity": 2}, ["door 1"]),
        ({"identity": 9}, []),
        ({"tracklet": ("hall", 2)}, ["hall 2"]),
        ({"identity": 10**20}, []),
        ({"tracklet": ("door", 2)}, []),
        ({"tracklet": ("hall", 2**31)}, []),
        ({"newest": 1}, ["door 1"]),
        ({"newest": 2, "cameras": ("hall",)}, ["hall 2"]),
    ],
)
def test_what_is_wanted(filled, wanted, expected):
    frames = {f"{key}_us": filled.time_us(wanted[key]) for key in ("since", "until") if key in wanted}
    others = {key: value for key, value in wanted.items() if key not in ("since", "until")}
    assert [f"{camera} {number}" for camera, number in keys(filled, **others, **frames)] == expected


def test_the_models_in_use(filled):
    filled.repository.register_model(ModelRecord("m3", "unused", "reid", "MIT"))
    assert [each.hash for each in filled.repository.embedding_models()] == ["m1", "m2"]
