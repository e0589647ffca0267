"""Decisions that were undone, and the tracklets that operators' decisions were about."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates the two tables."""
    _create_undone_decisions()
    _create_decision_tracklets()


def _create_undone_decisions() -> None:
    op.create_table(
        "undone_decisions",
        sa.Column("undo_id", _ROW_ID, autoincrement=False, nullable=False),
        sa.Column("log_id", _ROW_ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["undo_id"], ["identity_log.id"], name="fk_undone_decisions_undo_id"),
        sa.ForeignKeyConstraint(["log_id"], ["identity_log.id"], name="fk_undone_decisions_log_id"),
        sa.PrimaryKeyConstraint("undo_id", "log_id", name="pk_undone_decisions"),
        sa.UniqueConstraint("log_id", name="uq_undone_decisions_log_id"),
    )


def _create_decision_tracklets() -> None:
    op.create_table(
        "decision_tracklets",
        sa.Column("log_id", _ROW_ID, autoincrement=False, nullable=False),
        sa.Column("tracklet_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("same", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["log_id"], ["identity_log.id"], name="fk_decision_tracklets_log_id"),
        sa.ForeignKeyConstraint(
            ["tracklet_id"], ["tracklets.id"], name="fk_decision_tracklets_tracklet_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("log_id", "tracklet_id", name="pk_decision_tracklets"),
    )
    op.create_index("ix_decision_tracklets_tracklet", "decision_tracklets", ["tracklet_id"])
