"""Annotators taken out or stopped, withdrawn and practice comparisons, rankings, stored HTML.

`standing` leaves out what an owner took out; `latest` is what it was, a person's last word. A view
has the columns its table had when it was made, so the views are made again.
"""

from alembic import op
from sqlalchemy import select, update

from plaudit.study import schema as s
from plaudit.study.migrations import run_script
from plaudit.types import as_messages, word_count

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
    _count_words()


def _count_words() -> None:
    """Words of responses in scripts without spaces, which counted as one however long."""
    r, bind = s.response.c, op.get_bind()
    long_words = select(r.id, r.messages).where(r.words * 8 < r.characters).order_by(r.id)
    for row in bind.execute(long_words).all():
        words = word_count("\n".join(message.text for message in as_messages(row.messages)))
        bind.execute(update(s.response).where(r.id == row.id).values(words=words))
