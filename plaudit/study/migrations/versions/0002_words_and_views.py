"""Response, messages and viewer in place of reply, turns and reader; soft labels; the views.

`standing` (judgments that count), `comparison_text` (a comparison with its texts) and `progress`
(one row of counts) each hold one rule that the queries used to repeat. SQLite knows a constraint's
name from the table's text alone, which its documentation says how to change.
"""

import sqlalchemy as sa
from alembic import op

from plaudit.study.migrations import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    bind = op.get_bind()
    run_script(bind, "0002_words.sql")
    run_script(bind, f"0002_constraints_{bind.dialect.name}.sql")
    run_script(bind, "0002_views.sql")
    study = sa.table("study", sa.column("settings", sa.JSON))
    for settings in bind.scalars(sa.select(study.c.settings)).all():
        settings["license_responses"] = settings.pop("license_replies", "")
        bind.execute(sa.update(study).values(settings=settings))
