"""Response, messages and viewer in place of reply, turns and reader; soft labels; the views.

`standing` (judgments that count), `comparison_text` (a comparison with its texts) and `progress`
(one row of counts) each hold one rule that the queries used to repeat.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = (
    ("prompt", "turns", "messages"),
    ("response", "turns", "messages"),
    ("origin", "reply", "response"),
    ("comparison", "reply_a", "response_a"),
    ("comparison", "reply_b", "response_b"),
    ("comparison", "place", "queue_position"),
    ("annotator", "place", "queue_position"),
)
CONSTRAINTS = (
    ("response", "pk_reply", "pk_response"),
    ("response", "fk_reply_prompt_prompt", "fk_response_prompt_prompt"),
    ("response", "uq_reply_prompt_hash", "uq_response_prompt_hash"),
    ("origin", "fk_origin_reply_reply", "fk_origin_response_response"),
    ("origin", "uq_origin_reply_hash", "uq_origin_response_hash"),
    ("comparison", "fk_comparison_reply_a_reply", "fk_comparison_response_a_response"),
    ("comparison", "fk_comparison_reply_b_reply", "fk_comparison_response_b_response"),
)
SOFT_LABEL = """
ALTER TABLE judgment ADD COLUMN p FLOAT CONSTRAINT ck_judgment_p
CHECK (p IS NULL OR kind = 'imported' AND p BETWEEN 0 AND 1)
"""


def upgrade() -> None:
    op.execute("ALTER TABLE reply RENAME TO response")
    for table, old, new in COLUMNS:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    if op.get_bind().dialect.name == "sqlite":
        _rename_constraints_of_sqlite()
    else:
        op.execute("ALTER SEQUENCE reply_id_seq RENAME TO response_id_seq")
        for table, old, new in CONSTRAINTS:
            op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}")
    op.execute(SOFT_LABEL)
    for table in ("annotator", "invitation"):
        op.execute(f"UPDATE {table} SET role = 'viewer' WHERE role = 'reader'")
    _rename_a_setting()
    views = Path(__file__).with_name("0002_views.sql").read_text(encoding="utf-8")
    for statement in views.split("\n\n"):
        op.execute(statement)


def _rename_constraints_of_sqlite() -> None:
    """SQLite knows a constraint's name from the table's text alone, and alters it by this road."""
    bind = op.get_bind()
    version = bind.scalar(sa.text("PRAGMA schema_version"))
    op.execute("PRAGMA writable_schema = ON")
    for table, old, new in CONSTRAINTS:
        change = "UPDATE sqlite_master SET sql = replace(sql, :old, :new) WHERE name = :table"
        bind.execute(sa.text(change), {"old": f" {old} ", "new": f" {new} ", "table": table})
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = OFF")


def _rename_a_setting() -> None:
    study = sa.table("study", sa.column("settings", sa.JSON))
    for settings in op.get_bind().scalars(sa.select(study.c.settings)).all():
        settings["license_responses"] = settings.pop("license_replies", "")
        op.execute(sa.update(study).values(settings=settings))
