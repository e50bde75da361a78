"""A whole study as one file, and from one store into another: SQLite and PostgreSQL alike.

A copy has every table as it is, with the ids, accounts, assignments and the secret that signs
cookies, so that people stay signed in and nobody is asked again. A backup is a copy in one SQLite
file, without sessions: whoever holds it is nobody's browser, and people sign in again. To restore
one, open it as a study, or copy it to PostgreSQL. It has names, addresses and password hashes: for
others there are the formats of `plaudit export`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from plaudit.errors import DataError, UsageError
from plaudit.study import schema as s
from plaudit.study.database import Database, open_database

ROWS_AT_ONCE = 1000


def backup(database: Database, file: str) -> dict[str, int]:
    """Write the study into one new SQLite file, while it is in use; returns rows by table.

    It is one state of the study, readable by its owner alone. Raises UsageError where the file is
    there already or is no file's name, DataError where it cannot be written.
    """
    target = Path(file).expanduser()
    if "://" in file:
        raise UsageError(f"--backup writes a file, found {file!r:.60}; a URL is for --copy-to")
    with _made_whole(target) as part:
        if database.sqlite:
            _copy_file(database, part)
        else:
            copy(database, str(part))
        return _without_sessions(part)


def copy(database: Database, where: str) -> dict[str, int]:
    """Copy the study to a SQLite file or postgresql:// URL that has none; rows by table.

    Raises DataError where something is there already or a row cannot be stored there.
    """
    target = open_database(where)
    done = False
    try:
        with database.read() as source, target.write() as sink:
            _refuse_filled(sink, where)
            counts = {t.name: _copy_table(source, sink, t) for t in s.metadata.sorted_tables}
            if not target.sqlite:
                _continue_ids(sink)
        done = True
        return counts
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise DataError(f"{where}: nothing was copied: {cause}") from error
    finally:
        target.close() if done else target.unmake()


def remove_file(path: Path) -> None:
    """Remove a SQLite file with what stands beside it."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


@contextmanager
def _made_whole(target: Path) -> Iterator[Path]:
    """A file beside the target, which becomes the target when all went well."""
    if target.exists():
        raise UsageError(f"{target} is there already; name a file that is not")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target}: the folder {target.absolute().parent} is not there")
    part = target.with_name(f".{target.name}.part")
    try:
        remove_file(part)
        part.touch(mode=0o600)
        yield part
        os.replace(part, target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error}") from error
    finally:
        remove_file(part)


def _copy_file(database: Database, part: Path) -> None:
    """SQLite's own copy of a file in use: one state of it, whatever stands in its log."""
    try:
        with (
            closing(sqlite3.connect(str(database.engine.url.database), timeout=60)) as source,
            closing(sqlite3.connect(part)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise DataError(f"{database.engine.url.database}: no backup made: {error}") from error


def _without_sessions(part: Path) -> dict[str, int]:
    """Make one plain file of a copy, with no session left in it; rows by table."""
    with closing(sqlite3.connect(part, isolation_level=None)) as db:
        db.execute("DELETE FROM session")
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("VACUUM")
        if (found := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise DataError(f"{part}: the copy is damaged: {found}")
        return {
            table.name: db.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0]
            for table in s.metadata.sorted_tables
        }


# ------------------------------------------------------------------------- table by table


def _refuse_filled(db: Connection, where: str) -> None:
    """Raise DataError unless the store is as it was made: no row but perhaps that of the study."""
    for table in s.metadata.sorted_tables:
        if table is not s.study and db.scalar(select(func.count()).select_from(table)):
            raise DataError(
                f"{where}: a study is there already (rows in {table.name}); a copy goes into a "
                "new file or an empty database"
            )
    db.execute(delete(s.study))


def _copy_table(source: Connection, sink: Connection, table: Table) -> int:
    """Rows in the order of their keys, so that those that others refer to come first."""
    query = select(table).order_by(*table.primary_key.columns)
    count = 0
    streamed = source.execution_options(yield_per=ROWS_AT_ONCE)
    for rows in streamed.execute(query).mappings().partitions():
        values: list[dict[str, Any]] = [dict(row) for row in rows]
        sink.execute(insert(table), values)
        count += len(values)
    return count


def _continue_ids(db: Connection) -> None:
    """Let PostgreSQL number new rows after those that were copied."""
    for table in s.metadata.sorted_tables:
        if "id" not in table.c:
            continue
        sequence = text("SELECT pg_get_serial_sequence(:name, 'id')")
        found = db.scalar(sequence, {"name": table.name})
        if found is not None:
            last = db.scalar(select(func.max(table.c.id)))
            db.execute(
                text("SELECT setval(CAST(:found AS regclass), :last, :used)"),
                {"found": found, "last": last or 1, "used": last is not None},
            )
