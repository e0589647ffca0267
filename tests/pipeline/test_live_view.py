from __future__ import annotations

import socket
import threading

import cv2
import numpy as np
import pytest

from reid_pipeline.pipeline.datatypes import Frame
from reid_pipeline.pipeline.live_socket import (
    SOCKET_NAME,
    CameraState,
    LiveBox,
    LiveHead,
    LiveState,
    PictureRequest,
    parse_request,
    read_live_picture,
    read_live_state,
    socket_address,
)
from reid_pipeline.pipeline.live_view import LiveView
from reid_pipeline.pipeline.protocols import TrackedBoxes

STATE = LiveState(
    3, 17, (CameraState("hall", "online", 5, "", True, 4.9, 12, {"overload": 2}, 81.5, 1),), {"detect": 1.5}, 0, 91.0
)


def frame(index, camera="hall", size=(60, 200)):
    image = np.full((*size, 3), 10 * index, np.uint8)
    return Frame(camera, index, 1_000_000 * index, image, 0.0)


def tracked(*boxes):
    return TrackedBoxes(
        tuple(range(1, len(boxes) + 1)), np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32), ()
    )


@pytest.fixture
def view(tmp_path):
    with LiveView(tmp_path, ["hall", "door"], lambda: STATE) as view:
        yield view


def test_a_state_is_what_the_run_says(view, tmp_path):
    assert read_live_state(tmp_path) == STATE


@pytest.mark.usefixtures("view")
def test_only_the_owner_can_ask(tmp_path):
    assert (tmp_path / SOCKET_NAME).stat().st_mode & 0o777 == 0o600


def test_a_picture_is_the_newest_frame_with_its_boxes_scaled(view, tmp_path):
    view.offer(frame(4), tracked((0, 0, 20, 40)), {1: 7})
    view.offer(frame(5), tracked((10, 10, 30, 50), (100, 0, 120, 40)), {1: 7})
    head, jpeg = read_live_picture(tmp_path, PictureRequest("hall", width=100, boxes=False))
    assert head == LiveHead(
        "hall", 5_000_000, 5, 100, 30, (LiveBox(1, 7, (5, 5, 15, 25)), LiveBox(2, None, (50, 0, 60, 20))), len(jpeg)
    )
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (30, 100, 3)
    assert abs(float(pixels.mean()) - 50) < 2
    drawn = cv2.imdecode(np.frombuffer(read_live_picture(tmp_path, PictureRequest("hall"))[1], np.uint8), 1)
    assert drawn.shape == (60, 200, 3)
    assert float(drawn.max()) > 200


def test_what_is_to_be_hidden_is_not_in_the_picture(tmp_path):
    def hide(image, tracked):
        hidden = image.copy()
        x1, y1, x2, y2 = tracked.boxes[0].astype(int)
        hidden[y1:y2, x1:x2] = 0
        return hidden

    with LiveView(tmp_path, ["hall"], lambda: STATE, hide) as view:
        view.offer(frame(20), tracked((0, 0, 200, 60)), {})
        _, jpeg = read_live_picture(tmp_path, PictureRequest("hall", boxes=False))
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).max() < 5


def test_pictures_go_on_as_frames_come_and_end_with_the_run(tmp_path):
    with LiveView(tmp_path, ["hall"], lambda: STATE) as view:
        view.offer(frame(1), tracked(), {})
        with socket_address(tmp_path) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(address)
            connection.sendall(PictureRequest("hall", fps=60).to_line())
            answer = connection.makefile("rb")
            seen = []
            for index in (1, 2, 3):
                head = LiveHead.from_line(answer.readline())
                answer.read(head.length)
                seen.append(head.frame)
                view.offer(frame(index + 1), tracked(), {})
            assert seen == [1, 2, 3]
            ended = threading.Thread(target=view.__exit__, args=(None, None, None))
            ended.start()
            while answer.readline():
                pass
            ended.join()
            answer.close()
    assert not (tmp_path / SOCKET_NAME).exists()


def test_nobody_and_nonsense_do_not_disturb(view, tmp_path):
    assert read_live_state(tmp_path / "elsewhere") is None
    assert read_live_picture(tmp_path, PictureRequest("cellar")) is None
    for line in (b"nonsense\n", b"{}\n", b'{"camera": "hall", "fps": 0, "width": 960, "boxes": true}\n', b"x" * 5000):
        with socket_address(tmp_path) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            connection.sendall(line)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(10) == b""
    assert read_live_state(tmp_path) == STATE


def test_a_socket_of_a_run_that_was_killed_is_in_nobody_s_way(tmp_path):
    (tmp_path / SOCKET_NAME).touch()
    with LiveView(tmp_path, [], lambda: STATE):
        assert read_live_state(tmp_path) == STATE


def test_a_folder_with_a_very_long_path_will_do(tmp_path):
    deep = tmp_path.joinpath(*["a-rather-long-name-of-a-folder"] * 6)
    deep.mkdir(parents=True)
    with LiveView(deep, [], lambda: STATE):
        assert read_live_state(deep) == STATE


def test_a_request_survives_its_line():
    request = PictureRequest("hall", 2.5, 640, boxes=False)
    assert parse_request(request.to_line()) == request
