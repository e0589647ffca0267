import csv
import hashlib
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from importlib.metadata import version

import pytest

from reid_pipeline.pipeline.journey_page import Picture, Stay, journey_page
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.permissions import Access, Role
from tests.pipeline.identity_site import CommandSite, jpeg, write_site


@pytest.fixture
def site(tmp_path, capfd):
    write_site(tmp_path / "data", {"site.name": "h<q> & sons"})
    return CommandSite(tmp_path / "data", capfd)


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.pictures, self.loads = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in {"src", "href", "action", "data"}:
                head, _, body = value.partition(",")
                self.loads.append(head)
                self.pictures.append(b64decode(body))

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data)


def test_a_journey_is_in_order_of_time(site):
    code, journey = site.call("journey", 1)
    assert code == 0
    assert journey == {
        "identity": 1,
        "merged": [],
        "first_seen": "2025-11-20T12:00:00.000Z",
        "last_seen": "2025-11-20T12:01:50.000Z",
        "cameras": ["hall", "door"],
        "tracklets": [
            {
                "camera": camera,
                "tracklet": 1,
                "first_seen": f"2025-11-20T12:{first}.000Z",
                "last_seen": f"2025-11-20T12:{last}.000Z",
                "duration_s": 10.0,
                "probability": 0.6,
                "views": 1,
            }
            for camera, first, last in (("hall", "00:00", "00:10"), ("door", "01:40", "01:50"))
        ],
    }


def test_a_merged_identity_leads_to_its_survivor(site):
    site.call("identity", "merge", 1, 2)
    code, journey = site.call("journey", 2)
    assert (code, journey["identity"], journey["merged"]) == (0, 1, [2])
    assert [(each["camera"], each["tracklet"]) for each in journey["tracklets"]] == [
        ("hall", 1),
        ("hall", 2),
        ("door", 2),
        ("door", 1),
    ]
    text = site.text("journey", 2)
    assert "Identity 2 is 1 now." in text
    assert re.findall(r"(?:hall|door):\d", text) == ["hall:1", "hall:2", "door:2", "door:1"]


def test_the_probability_is_that_of_the_decision_that_counts(site):
    site.call("identity", "split", 1, "hall:1")
    assert site.call("journey", 3)[1]["tracklets"][0]["probability"] is None  # an operator's word
    site.call("identity", "undo", 3)
    assert [each["probability"] for each in site.call("journey", 3)[1]["tracklets"]] == [0.6, 0.6]


def test_an_export_is_whole_and_its_manifest_is_right(site, tmp_path):
    folder = tmp_path / "evidence" / "1"
    code, answer = site.call("journey", 1, "--export", folder)
    assert (code, answer["export"]) == (0, str(folder))
    assert {path.name for path in folder.iterdir()} == {"journey.csv", "journey.json", "journey.html", "manifest.json"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest.pop("exported_at").endswith("Z")
    assert manifest == {
        "site": "h<q> & sons",
        "identity": 1,
        "merged": [],
        "program": f"reid-pipeline {version('reid-pipeline')}",
        "models": [
            {"task": "detect", "name": "finder", "hash": "d1"},
            {"task": "reid", "name": "teller", "hash": "m1"},
        ],
        "files": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("journey.csv", "journey.json", "journey.html")
        },
    }
    assert answer["files"] == manifest["files"]
    rows = list(csv.DictReader((folder / "journey.csv").read_text().splitlines()))
    assert [(row["camera"], row["tracklet"], row["duration_s"]) for row in rows] == [
        ("hall", "1", "10.0"),
        ("door", "1", "10.0"),
    ]
    exported = json.loads((folder / "journey.json").read_text())
    assert exported["site"] == "h<q> & sons"
    assert exported["tracklets"][1]["crops"] == [
        {
            "frame": 101,
            "time": "2025-11-20T12:01:40.000Z",
            "box": [1.0, 2.0, 3.0, 4.5],
            "quality": 0.5,
            "sha256": hashlib.sha256(jpeg("door", 1)).hexdigest(),
        }
    ]


def test_the_page_holds_its_pictures_and_escapes_its_texts(site, tmp_path):
    site.call("journey", 1, "--export", tmp_path / "out")
    text = (tmp_path / "out" / "journey.html").read_text()
    page = Page(text)
    assert page.pictures == [jpeg("hall", 1), jpeg("door", 1)]
    assert set(page.loads) == {"data:image/jpeg;base64"}
    assert not {"script", "link", "iframe", "q"} & set(page.tags)
    assert "h<q> & sons: identity 1" in page.texts
    assert "default-src 'none'" in text


def test_every_text_of_a_page_is_escaped():
    evil = "\"><script>alert('1')</script>"
    page = Page(journey_page(evil, 1, evil, [Stay((evil,), (Picture(evil, b"x"),))]))
    assert "script" not in page.tags
    assert page.texts.count(evil) == 1
    assert page.loads == ["data:image/jpeg;base64"]


def test_crops_that_are_gone_are_left_out(site, tmp_path):
    (crop,) = (site.data_dir / "crops" / "hall").glob("*/1_*.jpg")
    crop.unlink()
    with open_database(site.data_dir) as database, database.session_scope(write=True) as session:
        session.connection().exec_driver_sql("DELETE FROM crops WHERE path LIKE 'crops/door/%'")
    assert site.call("journey", 1, "--export", tmp_path / "out")[0] == 0
    exported = json.loads((tmp_path / "out" / "journey.json").read_text())
    assert [each["crops"] for each in exported["tracklets"]] == [[], []]
    assert [each["views"] for each in exported["tracklets"]] == [1, 1]
    assert Page((tmp_path / "out" / "journey.html").read_text()).pictures == []


def test_an_export_overwrites_nothing(site, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    assert site.call("journey", 1, "--export", folder)[0] == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    code, error = site.call("journey", 2, "--export", folder)
    assert (code, error.count("\n")) == (2, 1)
    assert f"{folder}: is not empty" in error
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    code, error = site.call("journey", 2, "--export", folder / "journey.csv")
    assert (code, error.count("\n")) == (2, 1)
    assert "cannot be written" in error


def test_a_journey_of_nobody_is_one_line(site):
    code, error = site.call("journey", 9)
    assert (code, error) == (2, "error: identity 9: does not exist: expected one of `identity list`\n")


def test_an_identity_without_a_tracklet_has_an_empty_journey(site, tmp_path):
    with open_database(site.data_dir) as database:
        Corrections(database, Access("anna", Role.OPERATOR)).split(1, [("hall", 1)])
        with database.session_scope(write=True) as session:
            session.connection().exec_driver_sql("DELETE FROM tracklets WHERE identity = 3")
    code, journey = site.call("journey", 3, "--export", tmp_path / "out")
    assert (code, journey["tracklets"], journey["first_seen"], journey["cameras"]) == (0, [], None, [])
