"""Searching the people of a site: the ranking against a plain one, what is left out, and the command."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.calibration import Calibration, load_calibration, prior_of, refit_calibration
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.datatypes import Detections
from reid_pipeline.pipeline.errors import InputError
from reid_pipeline.pipeline.search import Query, combine, refine, reorder, search
from reid_pipeline.pipeline.search_picture import find_person, find_persons, person_at
from reid_pipeline.pipeline.search_query import query_of_identity, query_of_tracklet
from reid_pipeline.pipeline.searcher import Examples, Searcher, Wanted
from reid_pipeline.pipeline.site_data import open_site
from reid_pipeline.pipeline.tracklet_looks import SeenTracklet, read_all_looks
from reid_pipeline.storage.calibrations import CalibrationRecord
from reid_pipeline.storage.corrections import Corrections
from reid_pipeline.storage.crop_store import CropStore
from reid_pipeline.storage.database import open_database
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes, ModelRecord, View
from reid_pipeline.storage.repository import Repository
from reid_pipeline.storage.tracklet_views import ViewFilter
from reid_pipeline.storage.writer import Writer
from tests.pipeline.crowd import DIM, draw_crowd, unit
from tests.pipeline.identity_site import CommandSite
from tests.pipeline.run_site import RunSite
from tests.pipeline.stored_crowd import MODEL, START_US, store_crowd
from tests.scene import LOW, PERSON_HEIGHT, PERSON_WIDTH, WALKS, Scene, render

SECOND_US = 1_000_000


@pytest.fixture(scope="module")
def crowd():
    return draw_crowd(people=20, sightings=6, noise=0.1)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, crowd):
    """A site of the crowd that has learnt; tests only read it."""
    folder = tmp_path_factory.mktemp("crowd")
    store_crowd(folder, crowd)
    with open_database(folder) as database:
        assert refit_calibration(Repository(database, CropStore(folder)), MODEL, 1)
    return folder


@pytest.fixture
def repository(data_dir):
    with open_database(data_dir) as database:
        yield Repository(database, CropStore(data_dir))


def find(repository, query, wanted=None, top_k=1000, calibration=None):
    return search(
        repository,
        query,
        wanted or ViewFilter(),
        top_k,
        lambda model: calibration or load_calibration(repository, model),
    )


def query_of(repository, number):
    """The tracklet with a number, which is its own in the crowd."""
    for camera in repository.camera_names():
        own = read_all_looks(repository, MODEL, ViewFilter(tracklet=(camera, number)))
        if own is not None:
            return Query({MODEL: own.looks[0]}, camera, own.tracklets)
    raise AssertionError(number)


class TestRanking:
    def test_against_one_by_one(self, repository, crowd):
        query = query_of(repository, 40)
        calibration = load_calibration(repository, MODEL)
        everybody = read_all_looks(repository, MODEL, ViewFilter())
        expected = []
        for seen, look in zip(everybody.tracklets, everybody.looks, strict=True):
            if seen.camera == query.camera and crowd.apart[39, seen.number - 1]:
                continue
            similarity = float(look @ query.looks[MODEL])
            share = calibration.share_among(len(crowd.people))
            [probability] = calibration.probability(np.array([similarity]), query.camera, seen.camera, share)
            expected.append((-probability, -similarity, seen))
        expected.sort(key=lambda each: each[:2])
        found = find(repository, query)
        assert [hit.tracklet for hit in found.hits] == [seen for *_, seen in expected]
        np.testing.assert_allclose([-hit.probability for hit in found.hits], [each[0] for each in expected], rtol=1e-4)
        np.testing.assert_allclose([-hit.similarity for hit in found.hits], [each[1] for each in expected], atol=1e-6)
        assert found.compared == {MODEL: len(expected)}

    def test_the_same_person_comes_first_and_with_evidence(self, repository, crowd):
        right = wrong = missed = 0
        for number in range(1, len(crowd.people) + 1, 7):
            hits = find(repository, query_of(repository, number)).hits
            same = [crowd.people[hit.tracklet.number - 1] == crowd.people[number - 1] for hit in hits]
            enough = [hit.enough_evidence for hit in hits]
            assert enough == sorted(enough, reverse=True)
            right += sum(np.array(same) & np.array(enough))
            wrong += sum(~np.array(same) & np.array(enough))
            missed += sum(np.array(same) & ~np.array(enough))
        assert right > 5 * wrong
        assert right > 5 * missed

    @pytest.mark.parametrize("block", [1, 7, 1000])
    def test_blocks_and_top_k_change_nothing(self, repository, monkeypatch, block):
        query = query_of(repository, 40)
        whole = find(repository, query).hits
        monkeypatch.setattr("reid_pipeline.pipeline.tracklet_looks._BLOCK", block)
        for top_k in (1, 5, 1000):
            assert find(repository, query, top_k=top_k).hits == whole[:top_k]

    def test_only_what_is_wanted(self, repository):
        query = query_of(repository, 40)
        wanted = ViewFilter(cameras=("c1", "c3"), since_us=START_US + 300 * SECOND_US)
        whole = [
            hit
            for hit in find(repository, query).hits
            if hit.tracklet.camera in wanted.cameras and hit.tracklet.last_us >= wanted.since_us
        ]
        assert list(find(repository, query, wanted).hits) == whole  # the same probabilities, too
        assert whole

    def test_among_many_tracklets_less_is_claimed(self, repository, crowd):
        query = query_of(repository, 40)
        few = CalibrationRecord(None, False, -5.0, 10.0, 0.1, len(crowd.people), 15, 1)
        odds = []
        for tracklets in (len(crowd.people), len(crowd.people) // 10):
            learnt = tuple(replace(few, tracklets=tracklets, one_camera=one) for one in (False, True))
            best = find(repository, query, top_k=1, calibration=Calibration(prior_of(None), learnt)).hits[0].probability
            odds.append(best / (1 - best))
        assert odds[0] / odds[1] == pytest.approx((0.1 / 0.9) / (0.01 / 0.99))

    def test_nobody(self, repository):
        assert find(repository, query_of(repository, 40), ViewFilter(until_us=0)).hits == ()


def seen(number=1, camera="hall", run=1, first=10, last=20):
    return SeenTracklet(camera, number, run, None, first, last)


class TestLeftOut:
    @pytest.mark.parametrize(
        ("other", "left_out"),
        [
            (seen(), True),
            (seen(2, first=20, last=30), True),
            (seen(2, first=0, last=10), True),
            (seen(2, first=21, last=30), False),
            (seen(2, run=2), False),
            (seen(2, camera="door"), False),
            (seen(1, camera="door"), False),
        ],
    )
    def test_the_query_and_who_is_beside_it(self, other, left_out):
        assert Query({}, None, (seen(9, "roof"), seen())).leaves_out(other) == left_out

    def test_a_picture_leaves_nobody_out(self):
        assert not Query({}).leaves_out(seen())


def test_two_models_are_searched_each_by_its_own(tmp_path):
    """Tracklet 1 is known by both; the other model finds it, and another one that the first does not know."""
    crowd = draw_crowd(people=3, sightings=2)
    store_crowd(tmp_path, crowd)
    look = np.eye(5, dtype=np.float32)[0]
    with open_database(tmp_path) as database:
        repository, crops = Repository(database, CropStore(tmp_path)), CropStore(tmp_path)
        repository.register_model(ModelRecord("m2", "other", "reid", "MIT"))
        cameras = {number: f"c{camera}" for number, camera in enumerate(crowd.cameras, 1)}
        views = [
            View(cameras[number], number, 1, START_US, 0.5, (1, 2, 3, 4), b"", vector, "m2")
            for number, vector in ((1, look), (2, np.eye(5, dtype=np.float32)[1]))
        ]
        with Writer(database, crops) as writer:
            writer.put(Changes(views=tuple(views)))
        usual = CalibrationRecord(None, False, -5.0, 10.0, 0.1, 6, 15, 1)
        calibration = Calibration(prior_of(None), (usual, replace(usual, one_camera=True)))
        alone = find(repository, Query({"m2": look}), calibration=calibration)
        assert [(hit.tracklet.number, hit.similarity) for hit in alone.hits] == [(1, 1.0), (2, 0.0)]
        assert alone.compared == {"m2": 2}
        stranger = unit(np.ones(DIM)).astype(np.float32)
        both = find(repository, Query({MODEL: stranger, "m2": look}), calibration=calibration)
        assert both.compared == {MODEL: 6, "m2": 2}
        assert (both.hits[0].tracklet.number, both.hits[0].similarity) == (1, 1.0)
        assert sorted(hit.tracklet.number for hit in both.hits) == [1, 2, 3, 4, 5, 6]


class TestSeveral:
    def test_the_mean_counts_every_look_alike(self):
        one = Query({"m": np.array([1, 0], np.float32)})
        three = Query({"m": np.array([0, 1], np.float32), "n": np.ones(1, np.float32)}, counts={"m": 3})
        both = combine([one, three])
        np.testing.assert_allclose(both.looks["m"], [0.25, 0.75])
        assert both.counts == {"m": 4, "n": 1}
        np.testing.assert_allclose(combine([both, one]).looks["m"], [0.4, 0.6])

    def test_similarities_are_means(self, repository):
        parts = [query_of(repository, number) for number in (40, 50)]
        both = combine(parts)
        assert both.camera is None
        found = {hit.tracklet: hit.similarity for hit in find(repository, both).hits}
        each = [{hit.tracklet: hit.similarity for hit in find(repository, part).hits} for part in parts]
        assert found.keys() == each[0].keys() & each[1].keys()
        for tracklet, similarity in found.items():
            assert similarity == pytest.approx((each[0][tracklet] + each[1][tracklet]) / 2, abs=1e-5)

    def test_who_is_rejected_goes_and_whoever_is_accepted_joins(self, repository):
        query = query_of(repository, 40)
        first, second, third = (hit.tracklet for hit in find(repository, query, top_k=3).hits)
        refined = refine(query, [query_of(repository, first.number)], [(second.camera, second.number)])
        np.testing.assert_allclose(
            refined.looks[MODEL], combine([query, query_of(repository, first.number)]).looks[MODEL]
        )
        hits = [hit.tracklet for hit in find(repository, refined).hits]
        assert first not in hits
        assert second not in hits
        assert third in hits
        again = refine(refined, [], [(third.camera, third.number)])
        assert not {second, third} & {hit.tracklet for hit in find(repository, again).hits}


class TestOrder:
    def test_nobody_without_evidence_comes_before_somebody_with_it(self, repository, crowd):
        changed = 0
        for number in range(1, len(crowd.people) + 1, 7):
            query = query_of(repository, number)
            hits = find(repository, query).hits
            ordered = reorder(query, hits)
            assert sorted(ordered, key=lambda hit: hit.order) == list(hits)
            enough = [hit.enough_evidence for hit in ordered]
            assert enough == sorted(enough, reverse=True)
            changed += ordered != hits
        assert changed

    def test_models_change_places_among_themselves(self, repository):
        query = query_of(repository, 40)
        hits = find(repository, query, top_k=30).hits
        mixed = tuple(replace(hit, model_hash="m2") if place % 3 else hit for place, hit in enumerate(hits))
        ordered = reorder(replace(query, looks={**query.looks, "m2": query.looks[MODEL]}), mixed)
        assert [hit.model_hash for hit in ordered] == [hit.model_hash for hit in mixed]
        assert {hit.tracklet for hit in ordered} == {hit.tracklet for hit in hits}

    def test_nobody(self, repository):
        assert reorder(query_of(repository, 40), ()) == ()


class TestSearcher:
    def test_how_many_are_asked_for_does_not_change_who_comes_first(self, data_dir):
        with open_site(None, data_dir) as site:
            searcher = Searcher(site)
            query = searcher.query(Examples(sightings=[(query_of(site.repository, 40).camera, 40)]))
            whole = searcher.search(query, Wanted(top_k=1000)).hits
            assert searcher.search(query, Wanted(top_k=5)).hits == whole[:5]
            plain = searcher.search(query, Wanted(top_k=5, reorder=False)).hits
            assert plain == find(site.repository, query, top_k=5).hits

    def test_another_user_finds_what_they_may_see(self, data_dir):
        with open_site(None, data_dir) as site:
            searcher = Searcher(site)
            query = searcher.query(Examples(identities=[3]))
            seen = searcher.seen_by(Access("ada", Role.OPERATOR, frozenset({"c1"})))
            assert {hit.tracklet.camera for hit in seen.search(query, Wanted(top_k=500)).hits} == {"c1"}
            assert len({hit.tracklet.camera for hit in searcher.search(query, Wanted(top_k=500)).hits}) == 4
            with pytest.raises(InputError, match="sighting c0:"):
                number = next(hit.tracklet.number for hit in searcher.search(query, Wanted()).hits)
                seen.refine(query, [("c0", number)], [])

    def test_without_an_example(self, data_dir):
        with open_site(None, data_dir) as site, pytest.raises(InputError, match="nobody is searched for"):
            Searcher(site).query(Examples())


class Finder:
    """A detector that finds what it was told."""

    capacity = 1

    def __init__(self, *boxes):
        self.found = Detections(np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 0.5, np.float32))

    def prepare(self, image):
        return image

    def submit(self, prepared, size, when_done):
        assert size == prepared.shape[:2]
        return self

    def result(self):
        return self.found


class TestPicture:
    IMAGE = np.arange(60 * 40 * 3, dtype=np.uint32).reshape(60, 40, 3).astype(np.uint8)

    def test_the_largest_person_is_taken(self):
        person = find_person(self.IMAGE, Finder((1, 1, 5, 20), (10, 5, 30, 50), (0, 0, 39, 3)))
        assert person.boxes == ((10, 5, 30, 50), (0, 0, 39, 3), (1, 1, 5, 20))
        assert person.box == person.boxes[0]
        np.testing.assert_array_equal(person.pixels, self.IMAGE[5:50, 10:30])

    @pytest.mark.parametrize(
        ("width", "box", "cut_out"),
        [
            (30, (5, 5, 25, 35), False),  # 600 of 1,800 pixels of a picture as narrow as a person
            (30, (5, 5, 25, 25), True),  # 400 of them: a photo taken upright
            (40, (5, 5, 35, 55), True),  # too wide for a crop
            (14, (0, 0, 14, 50), True),  # too narrow for one
        ],
    )
    def test_a_crop_is_taken_whole(self, width, box, cut_out):
        person = find_person(self.IMAGE[:, :width], Finder(box))
        assert (len(person.boxes), person.box) == (1, box if cut_out else None)
        assert person.pixels.shape[:2] == ((box[3] - box[1], box[2] - box[0]) if cut_out else (60, width))

    def test_all_persons_are_told(self):
        boxes = find_persons(self.IMAGE, Finder((1, 1, 5, 20), (10, 5, 30, 50)))
        assert boxes.tolist() == [[10, 5, 30, 50], [1, 1, 5, 20]]

    def test_a_chosen_person(self):
        person = person_at(self.IMAGE, (-5, 10, 20, 70))
        assert person.box == (0, 10, 20, 60)
        np.testing.assert_array_equal(person.pixels, self.IMAGE[10:60, :20])
        with pytest.raises(InputError, match="box 40,0,50,9: expected x1,y1,x2,y2 inside a picture of 40 x 60"):
            person_at(self.IMAGE, (40, 0, 50, 9))

    def test_without_a_person_all_of_it(self):
        person = find_person(self.IMAGE, Finder())
        assert (person.boxes, person.box) == ((), None)
        np.testing.assert_array_equal(person.pixels, self.IMAGE)


class TestStoredQuery:
    def test_a_tracklet_is_known_by_its_camera(self, data_dir, crowd):
        camera = f"c{crowd.cameras[39]}"
        with open_site(None, data_dir) as site:
            query = query_of_tracklet(site, (camera, 40))
        assert (query.camera, [each.number for each in query.own]) == (camera, [40])
        np.testing.assert_allclose(query.looks[MODEL], crowd.looks[39], atol=1e-6)

    def test_an_identity_is_the_mean_of_its_tracklets(self, data_dir, crowd):
        own = np.flatnonzero(crowd.people == 2)
        with open_site(None, data_dir) as site:
            query = query_of_identity(site, 3)
        assert query.camera is None
        assert sorted(each.number - 1 for each in query.own) == own.tolist()
        np.testing.assert_allclose(query.looks[MODEL], crowd.looks[own].mean(axis=0), atol=1e-6)

    def test_a_merged_identity_is_who_it_is_now(self, tmp_path):
        crowd = draw_crowd(people=3, sightings=2)
        store_crowd(tmp_path, crowd)
        with open_site(None, tmp_path) as site:
            Corrections(site.database, Access("anna", Role.OPERATOR), "").merge(1, 3)
            assert len(query_of_identity(site, 3).own) == 4


@pytest.fixture
def site(data_dir, capfd):
    return CommandSite(data_dir, capfd)


class TestCommand:
    def test_a_sighting(self, site, crowd):
        camera = f"c{crowd.cameras[39]}"
        code, found = site.call("search", "--sighting", f"{camera}:40", "--top-k", 4)
        assert code == 0
        assert [each["rank"] for each in found["results"]] == [1, 2, 3, 4]
        assert found["query"] == {
            "images": [],
            "identity": None,
            "sightings": [f"{camera}:40"],
            "not": [],
        }
        best = found["results"][0]
        assert best["identity"] == crowd.people[39] + 1
        assert crowd.people[best["tracklet"] - 1] == crowd.people[39]
        assert best["enough_evidence"] == (best["probability"] >= 0.5)
        assert best["enough_evidence"]
        assert best["first_seen"] <= best["last_seen"]
        assert (camera, 40) not in {(each["camera"], each["tracklet"]) for each in found["results"]}
        assert found["models"] == [{"name": "crowd", "hash": MODEL, "tracklets": found["models"][0]["tracklets"]}]

    def test_several_sightings_and_one_that_is_not(self, site, crowd):
        own = [f"c{crowd.cameras[place]}:{place + 1}" for place in np.flatnonzero(crowd.people == 4)[:2]]
        asked = [option for name in own for option in ("--sighting", name)]
        _, found = site.call("search", *asked)
        best = found["results"][0]
        assert best["identity"] == 5
        assert found["reranked"]
        best_name = f"{best['camera']}:{best['tracklet']}"
        _, without = site.call("search", *asked, "--not", best_name, "--no-rerank")
        assert without["query"]["sightings"] == own
        assert without["query"]["not"] == [best_name]
        assert not {best_name, *own} & {f"{each['camera']}:{each['tracklet']}" for each in without["results"]}
        probabilities = [each["probability"] for each in without["results"]]
        assert probabilities == sorted(probabilities, reverse=True)

    def test_an_identity_is_not_its_own_answer(self, site, crowd):
        code, found = site.call("search", "--identity", 3, "--top-k", 200)
        assert code == 0
        identities = {each["identity"] for each in found["results"]}
        assert 3 not in identities
        assert len(identities) > 10

    def test_filters(self, site):
        options = ["--camera", "c1", "--camera", "c2", "--since", "2025-11-20T12:05", "--until", "2025-11-20T12:10"]
        code, found = site.call("search", "--identity", 3, *options)
        assert code == 0
        assert {each["camera"] for each in found["results"]} == {"c1", "c2"}
        assert all(each["last_seen"] >= "2025-11-20T12:05" for each in found["results"])
        assert all(each["first_seen"] < "2025-11-20T12:10" for each in found["results"])

    def test_what_people_read(self, site):
        lines = site.text("search", "--identity", 3, "--top-k", 50).splitlines()
        assert any("probability" in line for line in lines)
        assert sum("not enough evidence" in line for line in lines) > 30

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "search: expected at least one of IMAGE, --identity ID and --sighting CAMERA:NUMBER"),
            (["--not", "c1:1"], "search: expected at least one of IMAGE"),
            (["a.yaml", "b.jpg", "c.yml"], "c.yml: a second cameras.yaml: expected one at most"),
            (["a.jpg", "b.jpg", "--box", "1,2,3,4"], "--box: 1,2,3,4: expected it beside one picture, got 2"),
            (["a.jpg", "--box", "1,2,3"], "--box: 1,2,3: expected four whole numbers"),
            (["--sighting", "c1:1", "--not", "c1"], "c1: expected a tracklet as CAMERA:NUMBER"),
            (["--identity", 1, "cameras.yaml"], "expected either a CAMERAS.YAML or --data DIR"),
            (["--identity", 99], "identity 99: does not exist: expected one of `identity list`"),
            (["--sighting", "c1"], "c1: expected a tracklet as CAMERA:NUMBER"),
            (["--sighting", "c1:9999"], "sighting c1:9999: nothing is stored to compare it by"),
            (["nowhere.jpg"], "nowhere.jpg: no such file; expected a picture"),
            ([__file__], "test_search.py: cannot be read as an image"),
            (["--identity", 1, "--camera", "roof"], "--camera: roof: expected one of c0, c1, c2, c3"),
            (["--identity", 1, "--since", "noon"], "--since: noon: expected a time"),
        ],
    )
    def test_bad_input_is_one_line(self, site, arguments, message):
        code, error = site.call("search", *arguments)
        assert (code, error.count("\n")) == (2, 1)
        assert message in error

    def test_a_site_whose_encoder_is_gone(self, site, tmp_path):
        picture = tmp_path / "a.png"
        cv2.imwrite(str(picture), np.full((240, 320, 3), 128, np.uint8))
        code, error = site.call("search", picture)
        assert code == 2
        assert "none of the encoders of this site is left" in error


@pytest.fixture(scope="module")
def done(tmp_path_factory, scene: Scene) -> RunSite:
    """The scene after a run; tests only read it."""
    site = RunSite(tmp_path_factory.mktemp("searched"), scene.settings)
    assert site.run() == 0
    return site


class TestRun:
    @pytest.mark.parametrize("named_by", ["data", "config"])
    def test_a_photo_finds_its_person(self, done, tmp_path, capfd, named_by):
        """Frame 40 of the hall shows persons 1 and 2; half of the first is cut away, so the second is larger."""
        photo = list(render(WALKS["hall"]))[39]
        second = WALKS["hall"][1].left(40)
        first = WALKS["hall"][0].left(40)
        photo[:, first : first + PERSON_WIDTH][:LOW] = 128
        path = tmp_path / "photo.png"
        cv2.imwrite(str(path), photo)
        where = ["--data", str(done.data_dir)] if named_by == "data" else [str(done.config)]
        assert run_command_line(["search", str(path), *where, "--json"]) == 0
        found = json.loads(capfd.readouterr().out)
        [picture] = found["query"]["images"]
        assert (picture["image"], picture["persons"], picture["boxes"]) == (str(path), 1, [picture["box"]])
        np.testing.assert_allclose(picture["box"], [second, LOW, second + PERSON_WIDTH, LOW + PERSON_HEIGHT], atol=6)
        first_two = found["results"][:2]
        assert {each["camera"] for each in first_two} == {"hall", "door"}
        assert len({each["identity"] for each in first_two}) == 1
        assert first_two[1]["similarity"] > found["results"][2]["similarity"] + 0.2
        assert run_command_line(["search", str(path), *where]) == 0
        assert "photo.png: the person at" in capfd.readouterr().out

    def test_who_is_chosen_in_a_photo(self, done, tmp_path, capfd):
        """The largest is searched for, unless a box says who; a crop and a sighting of one person are one query."""
        path = tmp_path / "photo.png"
        cv2.imwrite(str(path), list(render(WALKS["hall"]))[39])

        def search_for(*options):
            assert run_command_line(["search", *map(str, options), "--data", str(done.data_dir), "--json"]) == 0
            return json.loads(capfd.readouterr().out)

        every = search_for(path)["query"]["images"][0]
        assert (every["persons"], len(every["boxes"])) == (2, 2)
        who = []
        for box in every["boxes"]:
            text = ",".join(map(str, box))
            found = search_for(path, "--box", text)
            assert found["query"]["images"][0]["box"] == box
            who.append(found["results"][0]["identity"])
        assert len(set(who)) == 2
        best = found["results"][0]
        name = f"{best['camera']}:{best['tracklet']}"
        both = search_for(path, "--box", text, "--sighting", name)
        assert both["results"][0]["identity"] == best["identity"]
        assert name not in {f"{each['camera']}:{each['tracklet']}" for each in both["results"]}

    def test_a_picture_without_a_person_is_searched_whole(self, done, tmp_path, capfd):
        path = tmp_path / "grey.png"
        cv2.imwrite(str(path), np.full((240, 320, 3), 128, np.uint8))
        assert run_command_line(["search", str(path), "--data", str(done.data_dir)]) == 0
        assert "no person was found in the picture: all of it is searched for" in capfd.readouterr().out
