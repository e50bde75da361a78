"""Annotators taken out or stopped, withdrawn and practice comparisons, rankings, stored HTML.

`standing` leaves out what an owner took out; `latest` is what it was, a person's last word. A view
has the columns its table had when it was made, so the views are made again.
"""

from alembic import op

from plaudit.study.migrations import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    bind = op.get_bind()
    for view in ("standing", "comparison_text", "progress"):
        op.execute(f"DROP VIEW {view}")
    sqlite = bind.dialect.name == "sqlite"
    types = {"BIGSERIAL": "INTEGER", "BIGINT": "INTEGER"} if sqlite else {}
    run_script(bind, "0003_tables.sql", **types)
    run_script(bind, f"0003_triggers_{bind.dialect.name}.sql")
    run_script(bind, "0003_columns.sql", **types)
    run_script(bind, "0003_views.sql")
