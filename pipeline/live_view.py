"""What a run shows of itself while it goes on, to whoever asks at the socket of `live_socket`.

The run loop leaves each camera's newest frame and its state here, which costs it next to nothing. The threads of those
who ask scale, draw and compress.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final

import cv2
import numpy as np

from reid_pipeline.pipeline.datatypes import Frame, Image
from reid_pipeline.pipeline.live_socket import (
    LONGEST_REQUEST,
    SOCKET_NAME,
    LiveBox,
    LiveHead,
    LiveState,
    PictureRequest,
    parse_request,
    socket_address,
)
from reid_pipeline.pipeline.protocols import TrackedBoxes
from reid_pipeline.pipeline.video import draw

logger = logging.getLogger(__name__)

_JPEG_QUALITY: Final = 80
_SILENCE_S: Final = 20.0  # whoever takes no picture for so long has gone
_WAIT_S: Final = 1.0

Answer = tuple[bytes, bytes]  # the head and the JPEG


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A frame with what was found in it."""

    frame: Frame
    tracked: TrackedBoxes
    identities: Mapping[int, int | None]


class LiveView:
    """Answers at the socket of a data folder; use it as a context manager.

    Where no socket can be made there is no live view, and a warning says so: the run goes on.

    Args:
        data_dir: Of the site.
        cameras: Names of the cameras.
        state: Gives what the run does now; called in threads of this object.
        hide: Takes from a picture what is not to be seen; gets the frame's image and its boxes, and returns a copy.
    """

    def __init__(
        self,
        data_dir: Path,
        cameras: Sequence[str],
        state: Callable[[], LiveState],
        hide: Callable[[Image, TrackedBoxes], Image] = lambda image, _tracked: image,
    ) -> None:
        self._data_dir = data_dir
        self._state = state
        self._hide = hide
        self._changed = threading.Condition()
        self._closing = False
        self._shown: dict[str, Shown | None] = dict.fromkeys(cameras)
        self._drawn: dict[tuple[str, int, bool], tuple[Shown, Answer]] = {}
        self._server: _Server | None = None

    def offer(self, frame: Frame, tracked: TrackedBoxes, identities: Mapping[int, int | None]) -> None:
        """Leaves the newest frame of a camera."""
        shown = Shown(frame, tracked, dict(identities))
        with self._changed:
            self._shown[frame.camera] = shown
            self._changed.notify_all()

    def __enter__(self) -> LiveView:
        path = self._data_dir / SOCKET_NAME
        try:
            path.unlink(missing_ok=True)  # of a run that was killed; this one holds the lock of the site
            self._server = _Server(self._data_dir, self._answer)
        except OSError as error:
            logger.warning("%s: %s: the dashboard will not show this run live", path, error.strerror or error)
            return self
        threading.Thread(target=self._server.serve_forever, name="live-view", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            (self._data_dir / SOCKET_NAME).unlink(missing_ok=True)

    def _answer(self, connection: socket.socket) -> None:
        """Serves one who asks, to the end, in a thread of its own."""
        connection.settimeout(_SILENCE_S)
        with connection.makefile("rb") as asked:
            request = parse_request(asked.readline(LONGEST_REQUEST))
        if not isinstance(request, PictureRequest):
            connection.sendall(self._state().to_line())
        elif request.camera in self._shown:
            self._send_pictures(connection, request)

    def _send_pictures(self, connection: socket.socket, request: PictureRequest) -> None:
        last: Shown | None = None
        while (shown := self._wait_for_newer(request.camera, last)) is not None:
            sent_s = time.monotonic()
            connection.sendall(b"".join(self._draw(shown, request)))
            last = shown
            time.sleep(max(0.0, sent_s + 1 / request.fps - time.monotonic()))

    def _wait_for_newer(self, camera: str, last: Shown | None) -> Shown | None:
        """The newest frame once it is another one; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._shown[camera] is not last)
            return None if self._closing else self._shown[camera]

    def _draw(self, shown: Shown, request: PictureRequest) -> Answer:
        """A picture with its head; made once, however many look."""
        key = (request.camera, request.width, request.boxes)
        known = self._drawn.get(key)
        if known is None or known[0] is not shown:
            known = (shown, _draw(shown, self._hide(shown.frame.image, shown.tracked), request))
            self._drawn[key] = known
        return known[1]


def _draw(shown: Shown, image: Image, request: PictureRequest) -> Answer:
    width = image.shape[1]
    scale = min(1.0, request.width / width)
    small = image if scale == 1.0 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    boxes = np.asarray(shown.tracked.boxes * np.float32(scale), np.float32)
    drawn = np.asarray(small, np.uint8)
    if request.boxes:
        drawn = draw(drawn, replace(shown.tracked, boxes=boxes), shown.identities)
    _, data = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    jpeg = data.tobytes()
    found = [
        LiveBox(number, shown.identities.get(number), (round(x1), round(y1), round(x2), round(y2)))
        for number, (x1, y1, x2, y2) in zip(shown.tracked.numbers, boxes.tolist(), strict=True)
    ]
    head = LiveHead(
        camera=shown.frame.camera,
        time_us=shown.frame.time_us,
        frame=shown.frame.index,
        width=drawn.shape[1],
        height=drawn.shape[0],
        boxes=tuple(found),
        length=len(jpeg),
    )
    return head.to_line(), jpeg


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each who asks."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, data_dir: Path, answer: Callable[[socket.socket], None]) -> None:
        self._data_dir = data_dir
        self._answer = answer
        super().__init__(str(data_dir / SOCKET_NAME), socketserver.BaseRequestHandler)

    def server_bind(self) -> None:
        """Makes the socket, for its owner alone."""
        with socket_address(self._data_dir) as address:
            self.socket.bind(address)
            Path(address).chmod(0o600)  # nobody can connect before it listens

    def finish_request(self, request: object, client_address: object) -> None:
        """Answers one who asks; whoever hangs up or asks nonsense is no concern of the run."""
        if not isinstance(request, socket.socket):
            raise TypeError(f"live view: expected a stream, got {type(request).__name__}")
        try:
            self._answer(request)
        except (OSError, ValueError) as error:
            logger.debug("live view: %s", error)
