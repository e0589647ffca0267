"""The peer of `bench search`: embeddings in a PostgreSQL with pgvector."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reid_pipeline.pipeline import bench_pgvector, bench_search
from reid_pipeline.pipeline.bench_pgvector import EF_SEARCH, open_table
from reid_pipeline.pipeline.cli import run_command_line
from reid_pipeline.storage.vector_index import EVERYBODY, IndexFilter
from reid_pipeline.storage.vector_index_exact import ExactIndex
from tests.storage.vector_reference import DIM, draw, units

pytestmark = pytest.mark.postgresql
SECOND_US = 1_000_000


@pytest.fixture
def url(postgresql):
    url = postgresql.create(empty=True)
    if not postgresql.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("this PostgreSQL has no pgvector")
    yield url
    postgresql.drop(url)


@pytest.fixture
def entries():
    return draw(np.random.default_rng(0), 1, 400)


class TestTable:
    def test_what_was_copied_is_there(self, postgresql, url, entries):
        with open_table(url, DIM) as table:
            assert table.fill([entries.only(slice(250)), entries.only(slice(250, None))]) > 0
            query = f"SELECT id, camera, time_us, vector::text FROM {bench_pgvector._TABLE} ORDER BY id"
            rows = postgresql.execute(query, url)
        ids, cameras, times_us, vectors = zip(*rows, strict=True)
        np.testing.assert_array_equal(ids, entries.ids)
        np.testing.assert_array_equal(cameras, entries.cameras)
        np.testing.assert_array_equal(times_us, entries.times_us)
        np.testing.assert_array_equal(np.array([json.loads(each) for each in vectors], np.float32), entries.vectors)

    @pytest.mark.parametrize(
        "wanted",
        [EVERYBODY, IndexFilter((1, 3)), IndexFilter((2,), 100 * SECOND_US, 300 * SECOND_US), IndexFilter(until_us=0)],
    )
    def test_it_finds_those_that_pass(self, url, entries, wanted):
        """All of them are kept, so that the nearest are found for sure."""
        plain = ExactIndex(DIM)
        plain.add(entries)
        queries = units(np.random.default_rng(1), 5)
        with open_table(url, DIM) as table:
            table.fill([entries])
            assert table.build() > 0
            table.keep(400)
            for query, right in zip(queries, plain.search(queries, 7, wanted), strict=True):
                assert table.search(query, 7, wanted).tolist() == right

    def test_it_is_searched_by_its_index(self, postgresql, url, entries):
        with open_table(url, DIM) as table:
            table.fill([entries])
            table.build()
            kinds = postgresql.execute(
                "SELECT amname FROM pg_class JOIN pg_am ON relam = pg_am.oid WHERE relkind = 'i'"
                f" AND relname LIKE '{bench_pgvector._TABLE}%'",
                url,
            )
            options = postgresql.execute("SELECT reloptions FROM pg_class WHERE relname LIKE '%vector_idx'", url)
            assert sorted(kind for (kind,) in kinds) == ["btree", "hnsw"]
            assert options == [(["m=16", "ef_construction=64"],)]
            assert table.nbytes > len(entries) * 4 * DIM

    def test_nothing_stays(self, postgresql, url, entries):
        with pytest.raises(KeyError), open_table(url, DIM) as table:
            table.fill([entries])
            raise KeyError
        assert postgresql.execute(f"SELECT to_regclass('{bench_pgvector._TABLE}')", url) == [(None,)]

    def test_what_was_left_by_one_that_was_killed_goes(self, postgresql, url):
        postgresql.execute(f"CREATE TABLE {bench_pgvector._TABLE} (other text)", url)
        with open_table(url, DIM) as table:
            assert table.fill([]) == 0


class TestCommand:
    def test_beside(self, url, capfd):
        """Of so few, all searches find what is nearest."""
        command = ["bench", "search", "--n", "2000", "--dim", "16", "--json", "--beside", url]
        assert run_command_line(command) == 0
        output = capfd.readouterr()
        peer = json.loads(output.out)["pgvector"]
        assert peer["versions"].startswith("pgvector ")
        assert tuple(peer["ef_search"]) == tuple(map(str, EF_SEARCH))
        for speed in peer["ef_search"].values():
            assert set(speed) == {"p99_ms", "recall10"}
            assert speed["recall10"]["100%"] > 0.9
        assert peer["bytes_each"] > 4 * 16
        assert "ef_search 40: recall10, 10% pass" in output.err

    def test_without(self, capfd):
        assert run_command_line(["bench", "search", "--n", "1000", "--dim", "16", "--json"]) == 0
        assert "pgvector" not in json.loads(capfd.readouterr().out)

    @pytest.mark.parametrize(
        ("url", "dim", "message"),
        [
            ("sqlite:///x", 16, "--beside: no URL of a database"),
            ("postgresql://nobody@127.0.0.1:1/none", 16, "postgresql://127.0.0.1:1/none: Connection refused"),
            ("postgresql://nobody@127.0.0.1:1/none", 2001, "--dim 2001: expected at most 2000"),
        ],
    )
    def test_it_cannot_be_asked(self, capfd, monkeypatch, url, dim, message):
        """Which is said at once."""
        monkeypatch.setattr(bench_search, "measure", None)
        assert run_command_line(["bench", "search", "--n", "1000", "--dim", str(dim), "--beside", url]) == 2
        [line] = capfd.readouterr().err.strip().splitlines()
        assert message in line

    def test_a_server_without_pgvector(self, postgresql, url, capfd, monkeypatch):
        monkeypatch.setattr(bench_pgvector, "pgvector_version", lambda _: None)
        assert run_command_line(["bench", "search", "--n", "1000", "--beside", url]) == 2
        assert "expected a server with the extension pgvector" in capfd.readouterr().err


def test_later_versions_go_on_until_enough_have_passed(url, monkeypatch):
    said = []
    monkeypatch.setattr(bench_pgvector.PgvectorTable, "_say", lambda _, statement: said.append(statement))
    with open_table(url, DIM) as table:
        table.iterates = False
        table.keep(40)
        assert said == ["SET hnsw.ef_search = 40"]
        table.iterates = True
        table.keep(100)
    assert said[1:] == ["SET hnsw.ef_search = 100", "SET hnsw.iterative_scan = relaxed_order"]


@pytest.mark.parametrize(("version", "iterates"), [("0.6.2", False), ("0.8.0", True), ("0.10.1", True), ("1.0", True)])
def test_which_versions_do(url, monkeypatch, version, iterates):
    monkeypatch.setattr(bench_pgvector, "pgvector_version", lambda _: version)
    with open_table(url, DIM) as table:
        assert table.iterates == iterates
