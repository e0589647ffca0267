"""The corpus: unlabelled crops, where they come from and where their bytes are; and what was learnt from them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates the five tables."""
    _create_origins()
    _create_tracklets()
    _create_shards()
    _create_items()
    _create_learning_runs()


def _create_origins() -> None:
    op.create_table(
        "corpus_origins",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["camera_id"], ["cameras.id"], name="fk_corpus_origins_camera_id"),
        sa.PrimaryKeyConstraint("id", name="pk_corpus_origins"),
        sa.UniqueConstraint("key", name="uq_corpus_origins_key"),
        sqlite_autoincrement=True,
    )


def _create_tracklets() -> None:
    op.create_table(
        "corpus_tracklets",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("origin_id", sa.Integer(), nullable=False),
        sa.Column("tracklet_id", sa.Integer(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["origin_id"], ["corpus_origins.id"], name="fk_corpus_tracklets_origin_id"),
        sa.ForeignKeyConstraint(
            ["tracklet_id"], ["tracklets.id"], name="fk_corpus_tracklets_tracklet_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_corpus_tracklets"),
        sa.UniqueConstraint("origin_id", "number", name="uq_corpus_tracklets_origin_id_number"),
        sa.UniqueConstraint("tracklet_id", name="uq_corpus_tracklets_tracklet_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_corpus_tracklets_time", "corpus_tracklets", ["first_us"])


def _create_shards() -> None:
    op.create_table(
        "corpus_shards",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("gaps", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_corpus_shards"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_corpus_shards_day", "corpus_shards", ["day"])


def _create_items() -> None:
    op.create_table(
        "corpus_items",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("tracklet_id", _ROW_ID, nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("shard_id", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("quality", sa.Double(), nullable=False),
        sa.Column("digest", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tracklet_id"], ["corpus_tracklets.id"], name="fk_corpus_items_tracklet_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["shard_id"], ["corpus_shards.id"], name="fk_corpus_items_shard_id"),
        sa.PrimaryKeyConstraint("id", name="pk_corpus_items"),
    )
    op.create_index("ix_corpus_items_tracklet", "corpus_items", ["tracklet_id", "time_us"])
    op.create_index("ix_corpus_items_shard", "corpus_items", ["shard_id", "offset"])
    has_digest = sa.text("digest IS NOT NULL")
    op.create_index(
        "ix_corpus_items_digest", "corpus_items", ["digest"], sqlite_where=has_digest, postgresql_where=has_digest
    )


def _create_learning_runs() -> None:
    op.create_table(
        "learning_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("promoted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_learning_runs"),
        sqlite_autoincrement=True,
    )
