"""The first schema, with the triggers that keep judgments and the audit append-only."""

from alembic import op

from plaudit.study.schema import metadata

revision = "0001"
down_revision = None

APPEND_ONLY = ("judgment", "audit")


def upgrade() -> None:
    connection = op.get_bind()
    metadata.create_all(connection)
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
    for table in APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            name = f"{table}_{change.lower()}_refused"
            body = (
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                if sqlite
                else "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
            op.execute(f"CREATE TRIGGER {name} BEFORE {change} ON {table} {body}")
