"""The schema of plaudit 0.1, frozen as SQL, with the triggers that keep judgments append-only."""

from alembic import op

from plaudit.study.migrations import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_script(op.get_bind(), f"0001_{op.get_bind().dialect.name}.sql")
