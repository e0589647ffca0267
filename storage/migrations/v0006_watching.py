"""Clips and keys of what is encrypted; who is logged in; watch lists and their alerts; the plan of a site."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates the tables and indices."""
    _create_clips()
    _create_login_sessions()
    _create_watch_lists()
    _create_watch_alerts()
    _create_plan()
    op.create_index("ix_audit_log_time", "audit_log", ["at_us", "id"])


def _create_clips() -> None:
    op.create_table(
        "clips",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["camera_id"], ["cameras.id"], name="fk_clips_camera_id"),
        sa.PrimaryKeyConstraint("id", name="pk_clips"),
        sa.UniqueConstraint("path", name="uq_clips_path"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_clips_camera", "clips", ["camera_id", "first_us"])
    op.create_index("ix_clips_first", "clips", ["first_us"])
    op.create_table(
        "data_keys",
        sa.Column("camera_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["camera_id"], ["cameras.id"], name="fk_data_keys_camera_id"),
        sa.PrimaryKeyConstraint("camera_id", "day", "kind", name="pk_data_keys"),
    )


def _create_login_sessions() -> None:
    op.add_column("users", sa.Column("one_time_until_us", sa.BigInteger(), nullable=True))
    op.create_table(
        "login_sessions",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_login_sessions_user_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_login_sessions"),
    )


def _create_watch_lists() -> None:
    op.create_table(
        "watch_entries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Integer(), nullable=True),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.Column("added_by", sa.String(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("approved_us", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_watch_entries_case_id"),
        sa.ForeignKeyConstraint(["identity"], ["identities.id"], name="fk_watch_entries_identity"),
        sa.PrimaryKeyConstraint("id", name="pk_watch_entries"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_watch_entries_expires", "watch_entries", ["expires_us"])
    op.create_table(
        "watch_examples",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("tracklet_id", sa.Integer(), nullable=True),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["watch_entries.id"], name="fk_watch_examples_entry_id"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_watch_examples_model_id"),
        sa.ForeignKeyConstraint(
            ["tracklet_id"], ["tracklets.id"], name="fk_watch_examples_tracklet_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_watch_examples"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_watch_examples_entry", "watch_examples", ["entry_id", "model_id"])
    op.create_index("ix_watch_examples_tracklet", "watch_examples", ["tracklet_id"])


def _create_watch_alerts() -> None:
    op.create_table(
        "watch_alerts",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("tracklet_id", sa.Integer(), nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("acknowledged_us", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["entry_id"], ["watch_entries.id"], name="fk_watch_alerts_entry_id"),
        sa.ForeignKeyConstraint(
            ["tracklet_id"], ["tracklets.id"], name="fk_watch_alerts_tracklet_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_watch_alerts"),
        sa.UniqueConstraint("entry_id", "tracklet_id", name="uq_watch_alerts_entry_id_tracklet_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_watch_alerts_tracklet", "watch_alerts", ["tracklet_id"])
    op.create_index("ix_watch_alerts_time", "watch_alerts", ["time_us"])


def _create_plan() -> None:
    op.create_table(
        "floor_plan",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=False),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_floor_plan_one_row"),
        sa.PrimaryKeyConstraint("id", name="pk_floor_plan"),
    )
    op.create_table(
        "camera_places",
        sa.Column("camera_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["camera_id"], ["cameras.id"], name="fk_camera_places_camera_id"),
        sa.PrimaryKeyConstraint("camera_id", name="pk_camera_places"),
    )
