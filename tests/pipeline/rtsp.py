"""A real RTSP server for tests, in a process of its own that can be killed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

PASSWORD = "geheim"
SERVER = importlib.util.find_spec("reid_pipeline.pipeline.bench_rtsp_server").origin


def has_rtsp_server() -> bool:
    if importlib.util.find_spec("gi") is None:
        return False
    import gi

    try:
        gi.require_version("GstRtspServer", "1.0")
    except ValueError:
        return False
    return True


needs_rtsp_server = [
    pytest.mark.gstreamer,
    pytest.mark.skipif(not has_rtsp_server(), reason="PyGObject or the typelib of GstRtspServer is not installed"),
]


class Server:
    """One run of `bench_rtsp_server.py` that serves a clip as /camera."""

    def __init__(self, clip: Path, port: int = 0, login: bool = False) -> None:
        command = [sys.executable, SERVER, "--port", str(port), "--mount", f"/camera={clip}"]
        command += ["--user", "viewer", "--password", PASSWORD] if login else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        found = re.match(r"ready rtsp://127\.0\.0\.1:(\d+)/", self._process.stdout.readline())
        assert found, "the RTSP server did not start"
        self.port = int(found[1])

    def url(self, login: str = "", mount: str = "camera") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}/{mount}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
