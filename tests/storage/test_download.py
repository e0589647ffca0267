import fcntl
import hashlib

import pytest

from reid_pipeline.storage.download import MIRROR, RemoteFile, fetch_file, mirrored
from reid_pipeline.storage.errors import DownloadFailed, InputError
from tests.file_server import closed_address, serve_files

CONTENT = bytes(range(256)) * 1000
PATH = "/models/graph.onnx"
REMOTE = RemoteFile(
    "graph.onnx", f"https://nowhere.invalid{PATH}", len(CONTENT), "sha256", hashlib.sha256(CONTENT).hexdigest()
)


@pytest.fixture
def server(monkeypatch):
    """Stands in for the address of `REMOTE`."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve_files() as server:
        server.files[PATH] = CONTENT
        monkeypatch.setenv(MIRROR, server.address)
        yield server


def test_a_file_arrives_whole_with_its_progress(server, tmp_path):
    seen = []
    assert fetch_file(REMOTE, tmp_path, seen.append).read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)
    assert [file.name for file in tmp_path.iterdir()] == ["graph.onnx"]
    assert server.asked == [(PATH, None)]


def test_sha384_is_checked_too(server, tmp_path):
    right = RemoteFile("a", REMOTE.url, len(CONTENT), "sha384", hashlib.sha384(CONTENT).hexdigest())
    assert fetch_file(right, tmp_path).read_bytes() == CONTENT
    wrong = RemoteFile("b", REMOTE.url, len(CONTENT), "sha384", "0" * 96)
    with pytest.raises(DownloadFailed, match=r"not the file that was expected \(sha384 differs\)"):
        fetch_file(wrong, tmp_path)
    assert (tmp_path / "a").is_file()


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    fetch_file(REMOTE, tmp_path)
    fetch_file(REMOTE, tmp_path)
    assert len(server.asked) == 1


def test_a_spoilt_file_is_fetched_anew(server, tmp_path):
    (tmp_path / "graph.onnx").write_bytes(CONTENT[::-1])
    assert fetch_file(REMOTE, tmp_path).read_bytes() == CONTENT


def test_a_broken_connection_goes_on_where_it_stopped(server, tmp_path):
    server.cut_after = 100_000
    assert fetch_file(REMOTE, tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=100000-", "bytes=200000-"]


def test_an_interrupted_download_goes_on_next_time(server, tmp_path):
    (tmp_path / "graph.onnx.part").write_bytes(CONTENT[:70_000])
    assert fetch_file(REMOTE, tmp_path).read_bytes() == CONTENT
    assert server.asked == [(PATH, "bytes=70000-")]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.ranges = False
    (tmp_path / "graph.onnx.part").write_bytes(b"x" * 70_000)
    assert fetch_file(REMOTE, tmp_path).read_bytes() == CONTENT
    assert server.asked == [(PATH, "bytes=70000-")]


def test_a_connection_that_always_breaks_at_once_ends_and_keeps_what_came(server, tmp_path):
    server.ranges, server.cut_after = False, 5000
    with pytest.raises(DownloadFailed, match=rf"broken off after 5000 of {len(CONTENT)} bytes.* run it again to go on"):
        fetch_file(REMOTE, tmp_path)
    assert (tmp_path / "graph.onnx.part").read_bytes() == CONTENT[:5000]
    server.ranges, server.cut_after = True, None
    assert fetch_file(REMOTE, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT + b"more"])
def test_another_file_is_not_kept(server, tmp_path, content):
    other = tmp_path / "other.onnx"
    other.write_bytes(b"mine")
    server.files[PATH] = content
    with pytest.raises(DownloadFailed, match="not the file that was expected") as caught:
        fetch_file(REMOTE, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "graph.onnx").exists()
    assert (tmp_path / "graph.onnx.part").read_bytes() == b""
    assert other.read_bytes() == b"mine"


def test_a_far_larger_file_is_not_read_to_its_end(server, tmp_path):
    server.files[PATH] = CONTENT * 20
    part, sizes = tmp_path / "graph.onnx.part", []
    with pytest.raises(DownloadFailed, match="not the file that was expected"):
        fetch_file(REMOTE, tmp_path, lambda _: sizes.append(part.stat().st_size))
    assert max(sizes) < 4 * len(CONTENT)


def test_a_wrong_start_is_thrown_away_once(server, tmp_path):
    (tmp_path / "graph.onnx.part").write_bytes(b"x" * 1000)
    assert fetch_file(REMOTE, tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == ["bytes=1000-", None]


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) + 5])
def test_a_part_that_is_too_long_or_wrong_is_thrown_away(server, tmp_path, length):
    (tmp_path / "graph.onnx.part").write_bytes(b"x" * length)
    assert fetch_file(REMOTE, tmp_path).read_bytes() == CONTENT


def test_a_file_that_shrank_on_the_server_is_not_kept(server, tmp_path):
    server.files[PATH] = CONTENT[:1000]
    (tmp_path / "graph.onnx.part").write_bytes(CONTENT[:70_000])
    with pytest.raises(DownloadFailed, match="broken off after"):
        fetch_file(REMOTE, tmp_path)


def test_a_missing_file_says_the_servers_answer(server, tmp_path):
    server.files.clear()
    with pytest.raises(DownloadFailed, match=rf"{PATH}: the server answers 404 Not Found: check REID_MODEL_MIRROR"):
        fetch_file(REMOTE, tmp_path)


def test_without_a_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv(MIRROR, closed_address())
    with pytest.raises(DownloadFailed, match=r"not reachable, .*refused.*HTTPS_PROXY.*REID_MODEL_MIRROR.*model import"):
        fetch_file(REMOTE, tmp_path)


def test_a_second_process_does_not_write_into_the_same_part(server, tmp_path):
    with (tmp_path / "graph.onnx.part").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DownloadFailed, match="another process is fetching it"):
            fetch_file(REMOTE, tmp_path)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    with pytest.raises(DownloadFailed, match="cannot be written"):
        fetch_file(REMOTE, tmp_path / "none")


@pytest.mark.parametrize(
    ("mirror", "address"),
    [
        ("", "https://a.example/x/y"),
        ("https://b.example", "https://b.example/x/y"),
        ("http://b.example/zoo/", "http://b.example/zoo/x/y"),
    ],
)
def test_a_mirror_replaces_scheme_and_host(monkeypatch, mirror, address):
    monkeypatch.setenv(MIRROR, mirror)
    assert mirrored("https://a.example/x/y") == address


@pytest.mark.parametrize("mirror", ["b.example", "file:///etc", "ftp://b.example"])
def test_a_mirror_that_is_no_address(monkeypatch, mirror):
    monkeypatch.setenv(MIRROR, mirror)
    with pytest.raises(InputError, match=r"REID_MODEL_MIRROR: .*: expected an address"):
        mirrored("https://a.example/x")
