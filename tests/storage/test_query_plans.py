"""Each index of the schema is there for a query: the query must use it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import Engine, event

from reid_pipeline.storage.audit_reading import AuditFilter, AuditReader
from reid_pipeline.storage.cases import Cases
from reid_pipeline.storage.clips import Clips
from reid_pipeline.storage.corpus_records import CorpusCrop, CorpusFilter, ImportedTracklet
from reid_pipeline.storage.corpus_store import CorpusStore
from reid_pipeline.storage.permissions import Access, Role
from reid_pipeline.storage.records import Changes
from reid_pipeline.storage.retention import Limits, Retention
from reid_pipeline.storage.schema import Base
from reid_pipeline.storage.tracklet_views import ViewFilter
from reid_pipeline.storage.watch_alerts import WatchAlerts
from reid_pipeline.storage.watch_lists import Proposal, WatchLists, read_active


@pytest.fixture
def database_url():
    """SQLite alone: PostgreSQL makes its plans by how many rows there are."""


@contextmanager
def statements():
    """Collects what is executed in the block, with its parameters."""
    seen = []

    def note(connection, cursor, statement, parameters, context, many):
        seen.append((statement, parameters[0] if many else parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def indices_of(site, seen):
    """The named indices that SQLite's plans for these statements use."""
    plans = []
    with site.database.session_scope() as session:
        for statement, parameters in seen:
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans += [row[3] for row in plan]
    return set(re.findall(r"INDEX (ix_\w+)", "\n".join(plans)))


CROP = CorpusCrop(0, b"x", 1, 1, 1.0, digest=5)

QUESTIONS = {
    "boxes of the current source": (
        lambda site: list(site.repository.tracklet_boxes("hall")),
        {"ix_sources_current", "ix_tracklets_source", "ix_segments_tracklet"},
    ),
    "boxes of a source": (
        lambda site: list(site.repository.tracklet_boxes("hall", 1)),
        {"ix_tracklets_source", "ix_segments_tracklet"},
    ),
    "boxes of a time": (
        lambda site: list(site.repository.tracklet_boxes_between("hall", 0, 1)),
        {"ix_segments_tracklet"},
    ),
    "gallery": (lambda site: list(site.repository.gallery("m1", 0)), {"ix_embeddings_model_time"}),
    "looks of all tracklets": (
        lambda site: list(site.repository.tracklet_views("m1", ViewFilter(cameras=("hall",)))),
        {"ix_embeddings_tracklet"},
    ),
    "looks of a person": (
        lambda site: list(site.repository.tracklet_views("m1", ViewFilter(identity=1))),
        {"ix_tracklets_identity", "ix_embeddings_tracklet"},
    ),
    "models in use": (lambda site: site.repository.embedding_models(), {"ix_embeddings_model_time"}),
    "retention of crops": (
        lambda site: Retention(site.database).remove(Limits(crops=1)),
        {"ix_crops_time", "ix_watch_examples_entry"},
    ),
    "footage of a time": (lambda site: Clips(site.database).between("hall", 0, 1), {"ix_clips_camera"}),
    "retention of footage": (
        lambda site: Retention(site.database).remove(Limits(clips=1)),
        {"ix_clips_first", "ix_clips_camera", "ix_tracklets_identity", "ix_watch_examples_entry"},
    ),
    "retention of tracklets": (
        lambda site: Retention(site.database).remove(Limits(tracks=1)),
        {
            "ix_tracklets_first",
            "ix_tracklets_identity",
            "ix_segments_tracklet",
            "ix_embeddings_tracklet",
            "ix_identity_log_tracklet",
            "ix_decision_tracklets_tracklet",
            "ix_watch_alerts_tracklet",
            "ix_watch_examples_entry",
            "ix_watch_examples_tracklet",
        },
    ),
    "totals of a run": (lambda site: site.repository.totals(1), {"ix_tracklets_run"}),
    "stale tracklets": (lambda site: site.repository.close_stale_tracklets(), {"ix_tracklets_open"}),
    "history": (
        lambda site: site.repository.identity_history(1),
        {"ix_identity_log_identity", "ix_identity_log_other"},
    ),
    "merge": (
        lambda site: site.write(Changes(identity_events=(site.merged(2, 1),))),
        {"ix_identities_merged_into", "ix_tracklets_identity"},
    ),
    "replaced view": (
        lambda site: site.write(Changes(views=(site.view(1, 2, replaces=1),))),
        {"ix_embeddings_crop"},
    ),
    "again": (
        lambda site: site.source(again=True),
        {
            "ix_sources_current",
            "ix_tracklets_source",
            "ix_tracklets_identity",
            "ix_segments_tracklet",
            "ix_embeddings_tracklet",
            "ix_identity_log_tracklet",
            "ix_decision_tracklets_tracklet",
            "ix_corpus_items_tracklet",
            "ix_corpus_shards_day",
            "ix_watch_alerts_tracklet",
            "ix_watch_examples_tracklet",
        },
    ),
    "tracklets of the corpus": (
        lambda site: list(CorpusStore(site.database).tracklets()),
        {"ix_corpus_tracklets_time"},
    ),
    "crops of the corpus": (
        lambda site: list(CorpusStore(site.database).items(CorpusFilter(cameras=("hall",), until_us=9))),
        {"ix_corpus_tracklets_time", "ix_corpus_items_tracklet"},
    ),
    "import": (
        lambda site: CorpusStore(site.database).add(1, [ImportedTracklet(1, 0, 0, (CROP,))]),
        {"ix_corpus_items_digest", "ix_corpus_shards_day"},
    ),
    "expired crops": (
        lambda site: CorpusStore(site.database).expire(1),
        {"ix_corpus_shards_day", "ix_corpus_items_shard", "ix_corpus_items_tracklet"},
    ),
    "active entries of watch lists": (lambda site: read_active(site.database, 1), {"ix_watch_entries_expires"}),
    "examples of an entry": (
        lambda site: WatchLists(site.database, Access("ada", Role.ADMIN)).end(1),
        {"ix_watch_examples_entry"},
    ),
    "newest entries of the audit log": (
        lambda site: AuditReader(site.database, Access("ada", Role.ADMIN)).newest(5, AuditFilter("ada", until_us=9)),
        {"ix_audit_log_time"},
    ),
    "newest alerts": (
        lambda site: WatchAlerts(site.database, Access("ada", Role.ADMIN)).read(),
        {"ix_watch_alerts_time"},
    ),
}


def add_watch_entry(site):
    ada = Access("ada", Role.ADMIN)
    case = Cases(site.database, ada).open("a", "b")
    WatchLists(site.database, ada, lambda: 0).propose(Proposal(case, "b", 9, 0.1, identity=1))


def fill_corpus(site):
    store = CorpusStore(site.database)
    store.add(store.open_origin("hall", "a", 0).id, [ImportedTracklet(1, 0, 0, (replace(CROP, digest=None),))])


@pytest.mark.parametrize(("question", "expected"), QUESTIONS.values(), ids=QUESTIONS)
def test_a_query_uses_its_indices(site, question, expected):
    site.source()
    events = (site.opened(1), site.opened(2), site.assigned(1, 1))
    site.write(Changes(new_tracklets=(site.begin(1),), boxes=(site.box_run(1, [1]),), identity_events=events))
    fill_corpus(site)
    add_watch_entry(site)
    with statements() as seen:
        question(site)
    assert indices_of(site, seen) == expected


def test_no_index_is_without_a_query():
    named = {index.name for table in Base.metadata.tables.values() for index in table.indexes}
    assert set().union(*(expected for _, expected in QUESTIONS.values())) == named


@pytest.mark.parametrize(
    "wanted", [ViewFilter(), ViewFilter(cameras=("door", "hall"), since_us=1)], ids=["all", "some"]
)
def test_vectors_of_many_tracklets_are_never_sorted(site, wanted):
    with statements() as seen:
        list(site.repository.tracklet_views("m1", wanted))
    with site.database.session_scope() as session:
        plans = [session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {each[0]}", each[1]) for each in seen[1:]]
        steps = [row[3] for plan in plans for row in plan]
    assert steps
    assert not any("TEMP B-TREE" in step for step in steps)


@pytest.mark.parametrize(
    "wanted", [CorpusFilter(), CorpusFilter(cameras=("door", "hall"), since_us=1, until_us=9)], ids=["all", "some"]
)
def test_crops_of_the_corpus_are_never_sorted(site, wanted):
    with statements() as seen:
        list(CorpusStore(site.database).items(wanted))
    with site.database.session_scope() as session:
        plans = [session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {each[0]}", each[1]) for each in seen[1:]]
        steps = [row[3] for plan in plans for row in plan]
    assert steps
    assert not any("TEMP B-TREE" in step for step in steps)
