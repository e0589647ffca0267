from __future__ import annotations

import json

import pytest

from reid_pipeline.storage.database import open_configured, open_database
from reid_pipeline.storage.database_link import LINK_NAME, check_link, has_site, link, linked_url
from reid_pipeline.storage.dialect_postgresql import parse_url
from reid_pipeline.storage.errors import DataDirError

URL = parse_url("postgresql://reid:secret@db:6432/site")


def test_a_folder_remembers_its_database_without_the_password(tmp_path):
    assert not has_site(tmp_path)
    link(tmp_path, URL)
    assert has_site(tmp_path)
    assert json.loads((tmp_path / LINK_NAME).read_text()) == {"database": "postgresql://reid@db:6432/site"}
    assert linked_url(tmp_path) == parse_url("postgresql://reid@db:6432/site")
    assert [path.name for path in tmp_path.iterdir()] == [LINK_NAME]


@pytest.mark.parametrize("url", [str(URL), "postgresql://other@db:6432/site?sslmode=require"])
def test_the_user_and_the_options_may_change(tmp_path, url):
    link(tmp_path, URL)
    check_link(tmp_path, parse_url(url))
    link(tmp_path, parse_url(url))
    assert linked_url(tmp_path).username == parse_url(url).username


@pytest.mark.parametrize("url", [None, parse_url("postgresql://reid@db:6432/other"), parse_url("postgresql://db/site")])
def test_another_database_is_refused(tmp_path, url):
    link(tmp_path, URL)
    with pytest.raises(
        DataDirError, match=r"belongs to another database, postgresql://db:6432/site: expected"
    ) as caught:
        check_link(tmp_path, url)
    assert "secret" not in str(caught.value)


def test_a_site_on_sqlite_is_not_left_for_a_server(tmp_path):
    open_database(tmp_path).close()
    with pytest.raises(
        DataDirError, match=r"belongs to another database, site\.db in it: expected site\.database: null"
    ):
        open_database(tmp_path, str(URL))
    check_link(tmp_path, None)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"database"'])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / LINK_NAME).write_text(content)
    with pytest.raises(DataDirError, match=rf"{LINK_NAME}: cannot be read: expected"):
        open_database(tmp_path)


@pytest.mark.postgresql
def test_the_folder_leads_to_the_database(tmp_path, postgresql):
    url = postgresql.create()
    with pytest.raises(DataDirError, match="no site here"):
        open_database(tmp_path, url, create=False)
    open_configured(tmp_path, url).close()
    open_database(tmp_path, create=False).close()
    assert not (tmp_path / "site.db").exists()
    with pytest.raises(DataDirError, match="belongs to another database"):
        open_configured(tmp_path, None)
    postgresql.drop(url)
