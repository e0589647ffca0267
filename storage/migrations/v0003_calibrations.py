"""What similarities mean on a site, by model and cameras."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "calibrations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("first_camera_id", sa.Integer(), nullable=True),
        sa.Column("second_camera_id", sa.Integer(), nullable=True),
        sa.Column("one_camera", sa.Boolean(), nullable=False),
        sa.Column("intercept", sa.Double(), nullable=False),
        sa.Column("slope", sa.Double(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("tracklets", sa.Integer(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("fitted_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_calibrations_model_id"),
        sa.ForeignKeyConstraint(["first_camera_id"], ["cameras.id"], name="fk_calibrations_first_camera_id"),
        sa.ForeignKeyConstraint(["second_camera_id"], ["cameras.id"], name="fk_calibrations_second_camera_id"),
        sa.PrimaryKeyConstraint("id", name="pk_calibrations"),
        sa.UniqueConstraint(
            "model_id",
            "first_camera_id",
            "second_camera_id",
            name="uq_calibrations_model_id_first_camera_id_second_camera_id",
        ),
    )
