"""What a viewer of one camera gets to see of another, tried as an attacker would."""

from __future__ import annotations

import base64
import json
import threading

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from reid_pipeline.dashboard.signed_links import STEP_S, Link, SignedLinks
from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.live_socket import CameraState, LiveState
from reid_pipeline.pipeline.live_view import LiveView
from reid_pipeline.pipeline.protocols import TrackedBoxes
from reid_pipeline.storage.clips import Clips
from reid_pipeline.storage.overview import Overview
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.users import Users
from tests.dashboard.served import client_of, logged_in, served
from tests.pipeline.identity_site import NOON_US, jpeg, write_site

ADA = Access("ada", Role.VIEWER, frozenset({"hall"}))
ROOT = Access("root", Role.ADMIN)
STATE = LiveState(
    1, 2, tuple(CameraState(name, "online", 1, "", True, 5.0, 9, {}, 80.0, 1) for name in ("door", "hall")), {}, 0, 9.0
)


@pytest.fixture
def site(tmp_path):
    write_site(tmp_path / "data")
    with served(tmp_path / "data") as site:
        yield site


def crops(site, access):
    return {each.camera: each.crop for each in Overview(site.site.database, access).newest(10)}


def test_a_picture_is_shown_to_who_may_see_it(site):
    address = site.visit(ADA).crop_address(crops(site, ADA)["hall"])
    answer = logged_in(site, "ada").get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.content in (jpeg("hall", 1), jpeg("hall", 2))
    assert "private" in answer.headers["cache-control"]


def test_a_viewer_of_one_camera_gets_no_picture_of_another(site):
    assert set(crops(site, ADA)) == {"hall"}
    door = crops(site, ROOT)["door"]
    own, others = site.visit(ADA), site.visit(ROOT)
    forged = [
        own.crop_address(door),  # as if a page had named it
        own.crop_address(f"crops/hall/../../{door}"),
        own.crop_address("crops/hall/../../signing.key"),
        site.visit(ADA).links.make(Link("ada", "crop", ("hall",), door)),
    ]
    ada = logged_in(site, "ada")
    for address in forged:
        path = address if address.startswith("/") else f"/crop/{address}"
        answer = ada.get(path)
        assert answer.status_code in (403, 404), path
        assert answer.content == b""
    assert logged_in(site, "root").get(others.crop_address(door)).content in (jpeg("door", 1), jpeg("door", 2))


def test_an_address_of_somebody_else_is_of_no_use_to_who_may_not_see_it(site):
    """Whoever got it by mail, logged in as themselves."""
    address = site.visit(ROOT).crop_address(crops(site, ROOT)["door"])
    assert logged_in(site, "ada").get(address).status_code == 403
    assert client_of(site).get(address).status_code == 401


def test_a_changed_address_opens_nothing(site):
    ada = logged_in(site, "ada")
    token = site.visit(ADA).crop_address(crops(site, ADA)["hall"]).removeprefix("/crop/")
    content, signature = token.split(".")
    user, kind, cameras, value, until = json.loads(base64.urlsafe_b64decode(content + "=="))
    changed = json.dumps([user, kind, [*cameras, "door"], value.replace("hall", "door"), until + 999]).encode()
    attempts = [
        f"{base64.urlsafe_b64encode(changed).decode().rstrip('=')}.{signature}",
        f"{content}.{signature[:-2]}AA",
        f"{content}.",
        content,
        "ä.ö",
        SignedLinks().make(Link("ada", "crop", ("door",), value)),
    ]
    for each in attempts:
        assert ada.get(f"/crop/{each}").status_code == 403, each
    assert ada.get(f"/live/state/{token}").status_code == 403


def test_what_somebody_may_no_longer_see_is_shut_though_the_address_is_still_good(site):
    address = site.visit(ADA).crop_address(crops(site, ADA)["hall"])
    ada = logged_in(site, "ada")
    assert ada.get(address).status_code == 200
    Users(site.site.database, ROOT).add("ada", Role.VIEWER, ["door"])
    assert ada.get(address).status_code == 403


def test_addresses_are_the_same_for_a_while_and_then_end():
    now = [1000.0]
    links = SignedLinks(lambda: now[0])
    link = Link("ada", "crop", ("hall",), "x")
    token = links.make(link)
    now[0] += STEP_S - 1000 % STEP_S - 1
    assert links.make(link) == token
    assert links.read(token, "crop") == link
    assert links.read(token, "clip") is None
    now[0] = (1000 // STEP_S + 2) * STEP_S
    assert links.read(token, "crop") is None


def keep_clip(site, content, camera="hall"):
    clips = Clips(site.site.database)
    part = clips.files.begin(camera, NOON_US)
    part.write(content)
    return clips.store(part, NOON_US, NOON_US + 10_000_000).path


def test_a_clip_comes_whole_or_in_the_parts_that_a_player_asks_for(site):
    content = bytes(range(256)) * 20
    address = site.visit(ADA).clip_address(keep_clip(site, content))
    ada = logged_in(site, "ada")
    whole = ada.get(address)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, content, "bytes")
    for asked, first, last in (("0-", 0, 5119), ("100-199", 100, 199), ("-50", 5070, 5119), ("5000-9999", 5000, 5119)):
        part = ada.get(address, headers={"range": f"bytes={asked}"})
        assert (part.status_code, part.content) == (206, content[first : last + 1]), asked
        assert part.headers["content-range"] == f"bytes {first}-{last}/5120"
    assert ada.get(address, headers={"range": "bytes=6000-"}).status_code == 416
    for nonsense in ("bytes=-", "bytes=a-b", "pages=1-2"):
        assert ada.get(address, headers={"range": nonsense}).content == content


def test_a_clip_of_another_camera_stays_shut_and_one_that_is_gone_is_gone(site):
    path = keep_clip(site, b"footage", "door")
    assert logged_in(site, "ada").get(site.visit(ADA).clip_address(path)).status_code == 403
    root, address = logged_in(site, "root"), site.visit(ROOT).clip_address(path)
    assert root.get(address).content == b"footage"
    Clips(site.site.database).files.delete([path])
    assert root.get(address).status_code == 404


def frame(camera, index):
    return Frame(camera, index, index, np.full((32, 64, 3), 90, np.uint8), 0.0)


TRACKED = TrackedBoxes((4,), np.array([[2, 2, 20, 30]], np.float32), np.ones(1, np.float32), ())


def test_live_pictures_come_of_the_cameras_of_the_address_alone(site):
    with LiveView(site.data_dir, ["door", "hall"], lambda: STATE) as view:
        for camera in ("door", "hall"):
            view.offer(frame(camera, 1), TRACKED, {4: 2})
        ada = logged_in(site, "ada")
        token = site.visit(ADA).wall_token(("hall",))
        assert [each["camera"] for each in ada.get(f"/live/state/{token}").json()["cameras"]] == ["hall"]
        with ada.websocket_connect(f"wss://testserver/live/wall/{token}") as socket:
            for index in (1, 2):
                message = socket.receive_bytes()
                length = int.from_bytes(message[:2], "big")
                head = json.loads(message[2 : 2 + length])
                assert (head["camera"], head["frame"]) == ("hall", index)
                assert head["boxes"] == [{"tracklet": 4, "identity": 2, "box": [2, 2, 20, 30]}]
                assert message[2 + length :][:2] == b"\xff\xd8"
                view.offer(frame("door", index + 1), TRACKED, {})
                view.offer(frame("hall", index + 1), TRACKED, {4: 2})
        both = site.visit(ADA).wall_token(("hall", "door"))
        assert ada.get(f"/live/state/{both}").status_code == 403
        with pytest.raises(WebSocketDisconnect), ada.websocket_connect(f"wss://testserver/live/wall/{both}") as socket:
            socket.receive_bytes()


def test_a_camera_comes_as_mjpeg_until_the_run_ends(site):
    view = LiveView(site.data_dir, ["hall"], lambda: STATE)
    with view:
        view.offer(frame("hall", 1), TRACKED, {4: 2})
        token = site.visit(ADA).wall_token(("hall",))
        end = threading.Timer(1.0, view.__exit__, (None, None, None))
        end.start()
        answer = logged_in(site, "ada").get(f"/live/stream/{token}")
        end.join()
    assert answer.headers["content-type"].startswith("multipart/x-mixed-replace")
    assert answer.content.startswith(b"--picture\r\nContent-Type: image/jpeg")


def test_without_a_run_the_state_says_so(site):
    token = site.visit(ADA).wall_token(("hall",))
    answer = logged_in(site, "ada").get(f"/live/state/{token}").json()
    assert answer == {"running": False, "cameras": []}
