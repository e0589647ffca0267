"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Creates all tables."""
    _create_cameras()
    _create_identities()
    _create_models()
    _create_runs()
    _create_site()
    _create_sources()
    _create_tracklets()
    _create_crops()
    _create_identity_log()
    _create_segments()
    _create_embeddings()
    op.execute("INSERT INTO site (id, next_identity) VALUES (1, 1)")


def _create_cameras() -> None:
    op.create_table(
        "cameras",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("next_number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cameras"),
        sa.UniqueConstraint("name", name="uq_cameras_name"),
        sqlite_autoincrement=True,
    )


def _create_identities() -> None:
    op.create_table(
        "identities",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("merged_into", sa.Integer(), nullable=True),
        sa.Column("vacant", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["merged_into"], ["identities.id"], name="fk_identities_merged_into"),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
    )
    op.create_index("ix_identities_merged_into", "identities", ["merged_into"])


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("licence", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("hash", name="uq_models_hash"),
        sqlite_autoincrement=True,
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sqlite_autoincrement=True,
    )


def _create_site() -> None:
    op.create_table(
        "site",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("next_identity", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_site_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_site"),
    )


def _create_sources() -> None:
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("frames_committed", sa.Integer(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["camera_id"], ["cameras.id"], name="fk_sources_camera_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
        sa.UniqueConstraint("camera_id", "fingerprint", name="uq_sources_camera_id_fingerprint"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_sources_current",
        "sources",
        ["camera_id"],
        unique=True,
        sqlite_where=sa.text("current = 1"),
        postgresql_where=sa.text("current"),
    )


def _create_tracklets() -> None:
    op.create_table(
        "tracklets",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("first_frame", sa.Integer(), nullable=False),
        sa.Column("last_frame", sa.Integer(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("identity", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["camera_id"], ["cameras.id"], name="fk_tracklets_camera_id"),
        sa.ForeignKeyConstraint(["identity"], ["identities.id"], name="fk_tracklets_identity"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_tracklets_run_id"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_tracklets_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_tracklets"),
        sa.UniqueConstraint("camera_id", "number", name="uq_tracklets_camera_id_number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tracklets_identity", "tracklets", ["identity"])
    op.create_index(
        "ix_tracklets_open",
        "tracklets",
        ["id"],
        sqlite_where=sa.text("closed = 0"),
        postgresql_where=sa.text("NOT closed"),
    )
    op.create_index("ix_tracklets_run", "tracklets", ["run_id"])
    op.create_index("ix_tracklets_source", "tracklets", ["source_id", "number"])


def _create_crops() -> None:
    op.create_table(
        "crops",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("tracklet_id", sa.Integer(), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("quality", sa.Double(), nullable=False),
        sa.Column("x1", sa.Double(), nullable=False),
        sa.Column("y1", sa.Double(), nullable=False),
        sa.Column("x2", sa.Double(), nullable=False),
        sa.Column("y2", sa.Double(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["tracklet_id"], ["tracklets.id"], name="fk_crops_tracklet_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_crops"),
        sa.UniqueConstraint("tracklet_id", "frame", name="uq_crops_tracklet_id_frame"),
        sqlite_autoincrement=True,
    )


def _create_identity_log() -> None:
    op.create_table(
        "identity_log",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("identity", sa.Integer(), nullable=False),
        sa.Column("other", sa.Integer(), nullable=True),
        sa.Column("tracklet_id", sa.Integer(), nullable=True),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["identity"], ["identities.id"], name="fk_identity_log_identity"),
        sa.ForeignKeyConstraint(["other"], ["identities.id"], name="fk_identity_log_other"),
        sa.ForeignKeyConstraint(
            ["tracklet_id"], ["tracklets.id"], name="fk_identity_log_tracklet_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_identity_log"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_identity_log_identity", "identity_log", ["identity"])
    op.create_index("ix_identity_log_other", "identity_log", ["other"])
    op.create_index("ix_identity_log_tracklet", "identity_log", ["tracklet_id"])


def _create_segments() -> None:
    op.create_table(
        "segments",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("tracklet_id", sa.Integer(), nullable=False),
        sa.Column("first_frame", sa.Integer(), nullable=False),
        sa.Column("last_frame", sa.Integer(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tracklet_id"], ["tracklets.id"], name="fk_segments_tracklet_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_segments"),
    )
    op.create_index("ix_segments_tracklet", "segments", ["tracklet_id", "first_frame"])


def _create_embeddings() -> None:
    op.create_table(
        "embeddings",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("tracklet_id", sa.Integer(), nullable=False),
        sa.Column("crop_id", _ROW_ID, nullable=True),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("quality", sa.Double(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["crop_id"], ["crops.id"], name="fk_embeddings_crop_id", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_embeddings_model_id"),
        sa.ForeignKeyConstraint(
            ["tracklet_id"], ["tracklets.id"], name="fk_embeddings_tracklet_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_embeddings"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_embeddings_crop", "embeddings", ["crop_id"])
    op.create_index("ix_embeddings_model_time", "embeddings", ["model_id", "time_us"])
    op.create_index("ix_embeddings_tracklet", "embeddings", ["tracklet_id"])
