"""The audit log, users, cases with what they hold, erasures; what retention looks for by time."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates the tables and indices."""
    op.create_index("ix_tracklets_first", "tracklets", ["first_us"])
    op.create_index("ix_crops_time", "crops", ["time_us"])
    _create_erasures()
    _create_audit()
    _create_users()
    _create_cases()


def _create_erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "erased_sources",
        sa.Column("source_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("erasure_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_erased_sources_source_id"),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.id"], name="fk_erased_sources_erasure_id"),
        sa.PrimaryKeyConstraint("source_id", name="pk_erased_sources"),
    )
    op.create_table(
        "erased_contents",
        sa.Column("digest", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("erasure_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.id"], name="fk_erased_contents_erasure_id"),
        sa.PrimaryKeyConstraint("digest", name="pk_erased_contents"),
    )


def _create_audit() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.String(), nullable=True),
        sa.Column("content_digest", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("erasure_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.id"], name="fk_audit_log_erasure_id"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_seals",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("entry_id", _ROW_ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("name = 'begin' OR name = 'end'", name="ck_audit_seals_known"),
        sa.PrimaryKeyConstraint("name", name="pk_audit_seals"),
    )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("cameras", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("password", sa.String(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sqlite_autoincrement=True,
    )


def _create_cases() -> None:
    op.create_table(
        "cases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("closed_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "case_holds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Integer(), nullable=True),
        sa.Column("camera_id", sa.Integer(), nullable=True),
        sa.Column("since_us", sa.BigInteger(), nullable=True),
        sa.Column("until_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name="fk_case_holds_case_id"),
        sa.ForeignKeyConstraint(["identity"], ["identities.id"], name="fk_case_holds_identity"),
        sa.ForeignKeyConstraint(["camera_id"], ["cameras.id"], name="fk_case_holds_camera_id"),
        sa.PrimaryKeyConstraint("id", name="pk_case_holds"),
        sqlite_autoincrement=True,
    )
