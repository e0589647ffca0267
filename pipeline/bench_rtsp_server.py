"""A real RTSP server that plays H.264 files as cameras: in real time, over and over, without encoding again.

    python -m reid_pipeline.pipeline.bench_rtsp_server --mount /lobby=lobby.mp4 --mount /hall=hall.mp4

`--port`, `--user` and `--password` choose the port and make clients log in.

Prints one line ``ready rtsp://127.0.0.1:PORT/`` and serves on the loopback interface until it is killed. All clients of
a mount share one stream, as they do with a camera. Runs as a program of its own so that a test can kill it.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import av
import gi
from av.bitstream import BitStreamFilterContext

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: E402, F401  # GstApp gives appsrc its methods

LAUNCH = (
    "( appsrc name=camera is-live=true format=time caps=video/x-h264,stream-format=byte-stream,alignment=au"
    " ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
ROLE = "viewer"


@dataclass(frozen=True)
class Packet:
    """One coded picture; times are seconds from the start of the file, ``pts_s`` never before ``dts_s``."""

    data: bytes
    dts_s: float
    pts_s: float


@dataclass(frozen=True)
class Clip:
    """The packets of one file in decoding order, and how long a round takes."""

    packets: list[Packet]
    length_s: float


def read_clip(path: str) -> Clip:
    """Reads an H.264 file of any container into memory."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        to_annexb = BitStreamFilterContext("h264_mp4toannexb", stream)
        step_s = 1.0 / float(stream.average_rate or 25)
        packets: list[Packet] = []
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            pts_s = float(packet.pts * packet.time_base) if packet.pts is not None else len(packets) * step_s
            # Evenly spaced decoding times: a real camera has no pause between the end and the start of a file.
            for filtered in to_annexb.filter(packet):
                packets.append(Packet(bytes(filtered), len(packets) * step_s, pts_s))
    delay_s = max(packet.dts_s - packet.pts_s for packet in packets)
    return Clip([replace(packet, pts_s=packet.pts_s + delay_s) for packet in packets], len(packets) * step_s)


def feed(clip: Clip, appsrc: Any, stop: threading.Event) -> None:
    """Pushes the packets when their time has come, until the media ends."""
    started = time.monotonic()
    for round_number in count():
        base_s = round_number * clip.length_s
        for packet in clip.packets:
            if stop.wait(max(0.0, started + base_s + packet.dts_s - time.monotonic())):
                return
            buffer = Gst.Buffer.new_wrapped(packet.data)
            buffer.dts = int((base_s + packet.dts_s) * Gst.SECOND)
            buffer.pts = int((base_s + packet.pts_s) * Gst.SECOND)
            if appsrc.push_buffer(buffer) != Gst.FlowReturn.OK:
                return


class CameraFactory(GstRtspServer.RTSPMediaFactory):  # type: ignore[misc]  # the bindings have no types
    """Serves one clip as a live stream that all its clients share."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self._clip = clip
        self.set_launch(LAUNCH)
        self.set_shared(True)
        self.connect("media-configure", self._start_feeding)

    def _start_feeding(self, _: object, media: Any) -> None:
        stop = threading.Event()
        appsrc = media.get_element().get_by_name_recurse_up("camera")
        thread = threading.Thread(target=feed, args=(self._clip, appsrc, stop), daemon=True)
        media.connect("unprepared", lambda _: stop.set())
        thread.start()


def require_login(server: Any, factories: list[CameraFactory], user: str, password: str) -> None:
    """Lets in only clients that give this name and password (HTTP basic authentication)."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    for factory in factories:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_role(ROLE)
        permissions.add_permission_for_role(ROLE, "media.factory.access", True)
        permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
        factory.set_permissions(permissions)


def main() -> None:
    """Serves until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--mount", action="append", required=True, metavar="/NAME=FILE")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(arguments.port))
    factories = []
    for mount in arguments.mount:
        name, _, path = mount.partition("=")
        factory = CameraFactory(read_clip(path))
        server.get_mount_points().add_factory(name, factory)
        factories.append(factory)
    if arguments.user is not None:
        require_login(server, factories, arguments.user, arguments.password)
    if server.attach(None) == 0:
        sys.exit(f"port {arguments.port} cannot be opened: it is in use; give another one")
    sys.stdout.write(f"ready rtsp://127.0.0.1:{server.get_bound_port()}/\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
