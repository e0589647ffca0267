"""The steps from one schema to the next, applied by `storage.migrate` when a site is opened.

One module a step, named ``v<revision>_<what>.py``; Alembic finds them by their `revision` and `down_revision`. A step
that was released is never changed: ``tests/storage/schema_<revision>.sql`` keeps what it made on SQLite, and
``schema_<revision>_postgresql.sql`` on PostgreSQL.
"""
