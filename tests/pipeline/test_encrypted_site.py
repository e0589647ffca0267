"""A site with site.master_key: everything works on it, and no picture and no vector is in any of its files."""

from __future__ import annotations

import base64
import json
import re

import cv2
import numpy as np
import pytest

from reid_pipeline.learning.material_reader import read_material
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.pipeline.site_data import open_site
from reid_pipeline.storage.clips import Clips
from reid_pipeline.storage.errors import SealBroken
from reid_pipeline.storage.master_key import write_key
from tests.pipeline.run_site import RunSite
from tests.scene import PERSON_HEIGHT, PERSON_WIDTH, WALKS, render

JPEG = b"\xff\xd8\xff"


@pytest.fixture(scope="module")
def done(tmp_path_factory, scene):
    """The scene, run with encryption; tests only read it."""
    folder = tmp_path_factory.mktemp("sealed")
    write_key(folder / "key")
    site = RunSite(folder / "site", scene.settings | {"site": {"master_key": "../key"}})
    assert site.run() == 0
    return site


def files_of(site):
    return [path for path in site.data_dir.rglob("*") if path.is_file()]


def command(capsys, *arguments):
    code = run_command_line([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else captured.err


def all_vectors(site):
    with open_site(None, site.data_dir) as opened:
        [model] = opened.repository.embedding_models()
        return [row.vector for row in opened.repository.gallery(model.hash, 0)]


def test_no_picture_and_no_vector_is_in_the_clear(done):
    vectors = all_vectors(done)
    assert len(vectors) > 5
    for path in files_of(done):
        content = path.read_bytes()
        assert JPEG not in content, path
        assert not any(vector[:4].tobytes() in content for vector in vectors), path
    assert list(done.data_dir.glob("crops/*/*/*.jpg"))
    assert list(done.data_dir.glob("corpus/*/*.jpegs"))
    assert done.summary()["settings"]["site.master_key"] == str(done.config.parent.parent / "key")


def test_the_identities_are_those_of_a_site_in_the_clear(done, tmp_path, scene):
    plain = RunSite(tmp_path, scene.settings)
    assert plain.run() == 0
    for name in ("tracks/mtmc.txt", "tracks/hall.txt"):
        assert plain.read(name) == done.read(name)
    np.testing.assert_array_equal(all_vectors(plain), all_vectors(done))


def test_people_are_found_and_their_pictures_are_shown(done, tmp_path, capsys):
    data = ("--data", done.data_dir)
    code, found = command(capsys, "search", "--identity", 1, *data)
    assert code == 0
    assert found["results"]
    frame = list(render(WALKS["hall"]))[29]
    left, top = WALKS["hall"][0].left(30), WALKS["hall"][0].top
    cv2.imwrite(str(tmp_path / "one.png"), frame[top : top + PERSON_HEIGHT, left : left + PERSON_WIDTH])
    assert command(capsys, "search", tmp_path / "one.png", *data)[0] == 0
    assert command(capsys, "journey", 1, *data, "--export", tmp_path / "journey")[0] == 0
    assert command(capsys, "access", 1, *data, "--export", tmp_path / "access", "--reason", "asked")[0] == 0
    for folder in ("journey", "access"):
        [page] = (tmp_path / folder).glob("*.html")
        picture = re.search(r"data:image/jpeg;base64,([^\"]+)", page.read_text(encoding="utf-8"))
        assert cv2.imdecode(np.frombuffer(base64.b64decode(picture[1]), np.uint8), cv2.IMREAD_COLOR) is not None
    assert command(capsys, "identity", "list", *data)[0] == 0
    assert "crops" in command(capsys, "db", "stats", *data)[1]["rows"]
    assert command(capsys, "db", "check", *data) == (0, {"findings": [], "whole": True})


def test_learning_reads_its_corpus(done):
    material = read_material(done.data_dir, (64, 32), lambda *_: None)
    assert len(material.crops) > 5
    assert material.crops.std() > 20


def test_commands_without_the_key_are_one_line_and_exit_code_2(done, scene, tmp_path, capsys):
    key = done.config.parent.parent / "key"
    kept = key.read_bytes()
    key.unlink()
    try:
        code, error = command(capsys, "identity", "list", "--data", done.data_dir)
        assert code == 2
        assert "expected a file with the master key" in error
        write_key(key)
        for arguments in (("identity", "list", "--data", done.data_dir), ("run", done.config)):
            code, error = command(capsys, *arguments)
            assert code == 2
            assert "is another key: expected the one that" in error
            assert len(error.strip().splitlines()) == 1
    finally:
        key.write_bytes(kept)
    elsewhere = RunSite(tmp_path, scene.settings | {"site": {"data_dir": str(done.data_dir)}})
    code, error = command(capsys, "run", elsewhere.config)
    assert code == 2
    assert "is encrypted: expected site.master_key: " in error


@pytest.mark.parametrize(
    ("site", "outputs", "expected"),
    [
        ({"master_key": "A" * 43 + "="}, {}, "(not shown): expected where the key is"),
        ({"master_key": "env:"}, {}, "expected env: and the name of a variable"),
        ({"master_key": "env:REID_NO_SUCH_KEY"}, {}, "REID_NO_SUCH_KEY is not set"),
        ({"master_key": "key"}, {"video": True}, "expected false with site.master_key"),
    ],
)
def test_settings_that_cannot_be(tmp_path, scene, capsys, site, outputs, expected):
    config = RunSite(tmp_path, scene.settings | {"site": site, "outputs": outputs}).config
    code, error = command(capsys, "run", config)
    assert code == 2
    assert expected in error
    assert "A" * 43 not in error
    assert not (tmp_path / "data").exists()


def test_a_key_is_made(tmp_path, capsys):
    assert command(capsys, "db", "key", tmp_path / "key") == (0, {"path": str(tmp_path / "key")})
    assert command(capsys, "db", "key", tmp_path / "key")[0] == 2


def test_who_is_erased_is_gone(tmp_path, scene, capsys):
    write_key(tmp_path / "key")
    site = RunSite(tmp_path / "site", scene.settings | {"site": {"master_key": "../key"}})
    assert site.run() == 0
    before = site.query("SELECT count(*) FROM data_keys")[0][0]
    for identity in [row[0] for row in site.query("SELECT id FROM identities WHERE NOT vacant")]:
        erase = ("erase", "--identity", identity, "--data", site.data_dir, "--reason", "asked", "--yes")
        assert command(capsys, *erase)[0] == 0
    assert before > 0
    assert site.query("SELECT count(*) FROM data_keys") == [(0,)]


def test_footage_is_encrypted_too(tmp_path, scene, capsys):
    write_key(tmp_path / "key")
    site = RunSite(tmp_path / "site", scene.settings | {"site": {"master_key": "../key"}})
    assert site.run() == 0
    assert command(capsys, "record", site.config)[0] == 0
    clips = list(site.data_dir.glob("clips/*/*/*"))
    assert clips
    assert not any(b"moov" in path.read_bytes() or b"moof" in path.read_bytes() for path in clips)
    assert "clips" in {row[0] for row in site.query("SELECT kind FROM data_keys")}
    cut = ("record", "cut", "--sighting", "hall:1", "--data", site.data_dir, "--out", tmp_path / "cut")
    assert command(capsys, *cut)[0] == 0
    [file, *_] = (tmp_path / "cut").rglob("*.mp4")
    reader = cv2.VideoCapture(str(file))
    assert reader.read()[0]
    clips[0].write_bytes(clips[1].read_bytes())
    with open_site(None, site.data_dir) as opened:
        store = Clips(opened.database)
        path = clips[0].relative_to(site.data_dir).as_posix()
        with pytest.raises(SealBroken):
            store.files.open(path)
