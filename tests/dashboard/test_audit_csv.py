import csv
import io

from reid_pipeline.dashboard.audit_csv import COLUMNS, audit_csv
from reid_pipeline.storage.audit_log import AuditRecord


def test_entries_as_a_table():
    entries = [
        AuditRecord(2, 1_000_000, "ä, b", "search", '=HYPERLINK("x")', {"identity": 3}),
        AuditRecord(1, 0, "", "", "", {}, erasure=7),
    ]
    rows = list(csv.reader(io.StringIO(audit_csv(entries).decode())))
    assert rows == [
        list(COLUMNS),
        ["2", "1970-01-01T00:00:01.000Z", "ä, b", "search", '\'=HYPERLINK("x")', '{"identity": 3}', ""],
        ["1", "1970-01-01T00:00:00.000Z", "", "", "", "", "7"],
    ]


def test_without_entries_there_is_the_head():
    assert audit_csv([]).decode().splitlines() == [",".join(COLUMNS)]
