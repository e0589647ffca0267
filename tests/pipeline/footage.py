"""Footage for the tests of recording: longer clips of numbered frames, and a stream of one over TCP."""

from __future__ import annotations

import io
import socket
import threading
from pathlib import Path

import av

from tests.pipeline.conftest import FPS, HEIGHT, WIDTH, numbered_image, read_number

NOON_US = 1_763_640_000_000_000  # 2025-11-20 12:00:00 UTC


def frames_of(path, first_us=0):
    """Capture times and numbers of the pictures of a file, whose first one has a given time."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            (
                first_us + round(picture.pts * picture.time_base * 1_000_000),
                read_number(picture.to_ndarray(format="bgr24")),
            )
            for picture in container.decode(stream)
        ]


def clip_frames(clips, camera):
    """The same of all clips of a camera, one after the other; each can be read without the others."""
    found = []
    for clip in clips.between(camera, None, None):
        with clips.open(clip) as file, av.open(io.BytesIO(file.read())) as container:
            stream = container.streams.video[0]
            pictures = [
                (picture.pts * picture.time_base, read_number(picture.to_ndarray(format="bgr24")))
                for picture in container.decode(stream)
            ]
        begin = pictures[0][0]
        found.append([(clip.first_us + round((time - begin) * 1_000_000), number) for time, number in pictures])
    return found


def expected_clips(path):
    """Where clips of a file at 10 frames a second begin: at the first key frame after ten seconds. By frame, from 0."""
    begins = [0]
    for key in keys_of(path):
        if key - begins[-1] >= 100:
            begins.append(key)
    return begins


def keys_of(path):
    """The key frames of a file, from 0."""
    with av.open(str(path)) as container:
        return [index for index, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]


def write_mjpeg(path, frames):
    """As `make_clip`, of JPEG pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=FPS, options={"q": "3"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number in range(1, frames + 1):
            picture = av.VideoFrame.from_ndarray(numbered_image(number), format="bgr24")
            container.mux(stream.encode(picture.reformat(format="yuvj420p")))
        container.mux(stream.encode())
    return path


class Stream:
    """Sends a clip as MPEG-TS over TCP, once to each that connects, all at once; then it waits for `let_go`."""

    def __init__(self, clip: Path) -> None:
        self._content = _transport_stream(clip)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self.sent = threading.Semaphore(0)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
                client.sendall(self._content)
            except OSError:
                return
            self._open.append(client)
            self.sent.release()

    def let_go(self) -> None:
        """Ends the connection of who came last."""
        self._open.pop().close()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for client in self._open:
            client.close()


def _transport_stream(clip: Path) -> bytes:
    content = io.BytesIO()
    with av.open(str(clip)) as source, av.open(content, "w", format="mpegts") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copy
                target.mux(packet)
    return content.getvalue()
