import json
import logging
import urllib.parse
from collections.abc import Iterator

import pytest

from reid_pipeline.configs.log import configure_logging, redact_url


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("reid_pipeline")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://admin:secret@10.0.0.5:554/main", "rtsp://***@10.0.0.5:554/main"),
        ("RTSPS://admin:secret@cam.local", "RTSPS://***@cam.local"),
        ("http://admin@cam/x", "http://***@cam/x"),
        ("rtsp://u:p@[fe80::1]:554/x", "rtsp://***@[fe80::1]:554/x"),
        ("rtsp://u:p%40s%2Fs@cam/x?channel=1", "rtsp://***@cam/x?channel=1"),
        ("rtsp%3A%2F%2Fu%3Ap%40cam%2Fx", "rtsp%3A%2F%2F***%40cam%2Fx"),
        ("http://proxy/?url=rtsp%3a%2f%2fu%3Ap%40cam&n=1", "http://proxy/?url=rtsp%3a%2f%2f***%40cam&n=1"),
        ("rtsp://u%3Ap%40cam/x", "rtsp://***%40cam/x"),
        ("http://cam/v?user=adm&password=s3&channel=1", "http://cam/v?user=***&password=***&channel=1"),
        ("http://cam/v?n=2&access_token=abc", "http://cam/v?n=2&access_token=***"),
        ("http://cam/v?loginuse=a&loginpas=b", "http://cam/v?loginuse=***&loginpas=***"),
        ("http://cam/v?PWD=x&n=1", "http://cam/v?PWD=***&n=1"),
        ("http://cam/v?password=a@b&n=1", "http://cam/v?password=***&n=1"),
        ("http://cam/v?password=a&b&n=1", "http://cam/v?password=***&n=1"),
        ("rtsp://u:p@cam/v?token=abc&n=1", "rtsp://***@cam/v?token=***&n=1"),
        ("rtsp://u:p@cam/v?password=a@b&n=1", "rtsp://***@cam/v?password=***&n=1"),
        ("v?token=abc&n=1", "v?token=***&n=1"),
        ("http%3A%2F%2Fcam%2Fv%3Ftoken%3Dabc%26n%3D1", "http%3A%2F%2Fcam%2Fv%3Ftoken%3D***%26n%3D1"),
        ("postgresql+psycopg://u:p@db/site", "postgresql+psycopg://***@db/site"),
        ("admin:secret@10.0.0.5/main", "***@10.0.0.5/main"),
    ],
)
def test_redact_url_hides_the_secret_and_keeps_the_rest(text: str, expected: str) -> None:
    assert redact_url(text) == expected
    assert redact_url(expected) == expected


@pytest.mark.parametrize("odd", [*"@/?#:&=!'\",( ", "@@", "%40", "?token="])
@pytest.mark.parametrize("around", ["{}", "cannot open {}: timed out", "[{}]", "'{}'", "a={} b"])
def test_redact_url_hides_passwords_with_odd_characters(odd: str, around: str) -> None:
    text = around.format(f"rtsp://admin:head{odd}tail@10.0.0.5:554/main")
    redacted = redact_url(text)
    assert redacted == around.format("rtsp://***@10.0.0.5:554/main")


@pytest.mark.parametrize("odd", ["@", "/", "?", "#", ":", "&", "%", " "])
def test_redact_url_hides_quoted_passwords(odd: str) -> None:
    password = urllib.parse.quote(f"head{odd}tail", safe="")
    assert redact_url(f"x rtsp://admin:{password}@cam/main y") == "x rtsp://***@cam/main y"
    whole = urllib.parse.quote(f"rtsp://admin:{password}@cam/main", safe="")
    assert redact_url(f"http://proxy/?url={whole}") == "http://proxy/?url=rtsp%3A%2F%2F***%40cam%2Fmain"


def test_redact_url_hides_every_address_of_a_text() -> None:
    text = "tried rtsp://a:b@cam1/x,rtsp://c:d@cam2/y and http://e:f@cam3/z, ask bob@example.com"
    expected = "tried rtsp://***@cam1/x,rtsp://***@cam2/y and http://***@cam3/z, ask bob@example.com"
    assert redact_url(text) == expected


def test_redact_url_hides_gstreamer_properties() -> None:
    text = 'rtspsrc location=rtsp://cam/x user-id=admin user-pw="a b\\" c" latency=100 ! decodebin'
    assert redact_url(text) == "rtspsrc location=rtsp://cam/x user-id=*** user-pw=*** latency=100 ! decodebin"


@pytest.mark.parametrize(
    "text",
    [
        "recordings/hall.mp4",
        "rtsp://10.0.0.5:554/main?channel=1",
        "rtsp://10.0.0.5:554 failed, ask bob@example.com",
        "rtsp://[fe80::1]:554/x",
        "frame 12:30:01 of hall, keys=4",
        "https://example.com/docs#install",
        "C:\\videos\\hall.mp4",
    ],
)
def test_redact_url_leaves_other_text(text: str) -> None:
    assert redact_url(text) == text


def test_log_lines_are_redacted_and_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbose=False, json=False)
    configure_logging(verbose=False, json=False)
    logger = logging.getLogger("reid_pipeline.pipeline.sources")
    logger.info("opened %s", "rtsp://u:p@cam/x")
    logger.debug("not shown")
    logging.getLogger("another.library").info("not shown")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("opened rtsp://***@cam/x")


def test_tracebacks_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbose=True, json=False)
    try:
        raise OSError("cannot open rtsp://u:p@cam/x")
    except OSError:
        logging.getLogger("reid_pipeline").exception("camera lobby")
    written = capsys.readouterr().err
    assert "OSError: cannot open rtsp://***@cam/x" in written
    assert "u:p" not in written


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(verbose=True, json=True)
    logging.getLogger("reid_pipeline.storage").debug('opened "%s"', "rtsp://u:p@cam/x")
    entry = json.loads(capsys.readouterr().err)
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "debug",
        "logger": "reid_pipeline.storage",
        "message": 'opened "rtsp://***@cam/x"',
    }
