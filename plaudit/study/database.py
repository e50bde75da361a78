"""The connection to a Study: a SQLite file or a PostgreSQL URL, migrated when it is opened.

`Database.write` is a transaction that may write, `Database.transact` the same for work that is run
again when PostgreSQL asks for it, `Database.read` one that only reads. On SQLite a writer takes the
lock at its start (a transaction that reads first and then writes fails at once, whatever the
timeout), and writers of this process queue in turn instead of polling for the file's lock.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event, inspect, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from plaudit.errors import DataError

HEAD = "0003"  # the newest migration
RUN_AGAIN = ("40P01", "40001")  # deadlock, serialisation failure
T = TypeVar("T")
PRAGMAS = (
    # First, since switching to WAL can itself find the file busy.
    "busy_timeout=10000",
    "journal_mode=WAL",
    # An acknowledged vote outlives a power cut, which NORMAL does not promise under WAL.
    "synchronous=FULL",
    "foreign_keys=ON",
    "cache_size=-65536",
)


class Database:
    """An engine with the two kinds of transaction.

    `made` is the file that opening has made, if it has.
    """

    def __init__(self, engine: Engine, made: Path | None = None) -> None:
        self.engine, self.made = engine, made
        self.sqlite = engine.dialect.name == "sqlite"
        self._turn = _FairLock() if self.sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the study."""
        with self.engine.connect() as connection:
            if not self.sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def glance(self) -> Iterator[Connection]:
        """For one reading statement, without the round trips of a transaction."""
        with self.engine.connect() as connection:
            if not self.sqlite:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write, durable when this ends."""
        with self._turn, self.engine.connect() as connection:
            connection.info["writes"] = True
            try:
                with connection.begin():
                    yield connection
            finally:
                connection.info.pop("writes", None)

    def transact(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` in a transaction like `write`, run again where that may help.

        PostgreSQL may end one of two transactions that wait for each other, or may have been
        restarted. Work is such that twice is once: votes have keys.
        """
        for attempt in range(5):
            try:
                with self.write() as connection:
                    return work(connection)
            except OperationalError as error:
                again = getattr(error.orig, "sqlstate", None) in RUN_AGAIN
                if attempt == 4 or not (again or error.connection_invalidated):
                    raise
        raise AssertionError("unreachable")

    def checkpoint(self) -> None:
        """Bring all that is in SQLite's log into the file, and empty the log."""
        if self.sqlite:
            with self._turn, self.engine.connect() as connection:
                connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self.engine.dispose()

    def unmake(self) -> None:
        """Close, and remove the file where opening has made it and nobody else has it open."""
        self.close()
        if self.made is not None and _unused(self.made):
            for path in _files(self.made):
                path.unlink(missing_ok=True)


def upsert(db: Connection) -> Any:
    """The database's own `insert`, which can say what to do with a row that is there."""
    return sqlite.insert if db.dialect.name == "sqlite" else postgresql.insert


class _FairLock:
    """A lock handed on in the order of arrival, so that no writer starves."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._next = self._now = 0
        self._holder = 0

    def __enter__(self) -> None:
        if self._holder == threading.get_ident():
            raise RuntimeError("a transaction inside a transaction would wait for itself")
        with self._condition:
            mine, self._next = self._next, self._next + 1
            while mine != self._now:
                self._condition.wait()
            self._holder = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._now, self._holder = self._now + 1, 0
            self._condition.notify_all()


def open_database(where: str, create: bool = True) -> Database:
    """Open, and migrate if needed, the study at a path or URL.

    Raises DataError on what is neither, cannot be reached, is no study or a newer one.
    """
    url, made = _url(where, create), None
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        made = _keep_private(path)
        database = Database(_sqlite(url), made)
    else:
        database = Database(_postgresql(url))
    try:
        _migrate(database, where, create)
    except (OperationalError, DatabaseError) as error:
        database.unmake()
        raise DataError(f"{where}: cannot be opened as a study: {error.orig}") from error
    except BaseException:
        database.unmake()
        raise
    return database


def _keep_private(path: Path) -> Path | None:
    """Make the file for its owner alone where it is not there; returns it if it was made.

    SQLite gives its log the permissions of the file. One that everybody can read was not meant
    to be, and is closed; one open to a group stays so.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        for each in _files(path):
            if each.exists() and each.stat().st_mode & 0o007:
                with suppress(OSError):  # another one's, who has to do it
                    each.chmod(each.stat().st_mode & 0o770)
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be made: {error.strerror}") from error
    return path


def _unused(path: Path) -> bool:
    """Whether nobody has the file open: SQLite gives up its log for the last one only."""
    with closing(sqlite3.connect(path)) as connection, suppress(sqlite3.Error):
        return bool(connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",))
    return False


def _files(path: Path) -> list[Path]:
    """A study's file, and those that SQLite keeps beside it."""
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))]


def _url(where: str, create: bool) -> URL:
    if "://" not in where:
        path = Path(where).expanduser()
        if not path.exists() and not create:
            raise DataError(f"{where}: no such study; plaudit add {where} DATA makes one")
        if path.is_dir():
            raise DataError(f"{where} is a folder; a study is a file, such as desk.db, or a URL")
        if not path.absolute().parent.is_dir():
            raise DataError(f"{where}: the folder {path.absolute().parent} is not there")
        if path.is_file() and path.stat().st_size and path.open("rb").read(6) != b"SQLite":
            raise DataError(f"{where}: not a study (not a SQLite file); nothing was changed")
        return URL.create("sqlite", database=str(path))
    try:
        url = make_url(where)
    except ArgumentError as error:
        raise DataError(f"{where}: not a database URL: {error}") from error
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise DataError(
            f"a study is a SQLite file or a postgresql:// URL, found {url.get_backend_name()}://"
        )
    return url.set(drivername="postgresql+psycopg")


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, pool_size=64, max_overflow=0, pool_timeout=30, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, not at the driver's
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.info.get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    options = "-c lock_timeout=10s -c statement_timeout=120s"
    return create_engine(
        url,
        pool_size=16,
        max_overflow=16,
        connect_args={"options": options},
        hide_parameters=True,  # a failed statement's values, such as addresses, are not for a log
    )


def _migrate(database: Database, where: str, create: bool) -> None:
    with database.read() as connection:
        tables = inspect(connection).get_table_names()
        found = None
        if "alembic_version" in tables:
            found = connection.scalar(
                select(text("version_num")).select_from(text("alembic_version"))
            )
    if found == HEAD:
        return
    if found is None and tables:
        raise DataError(f"{where}: a database, but not a study (tables: {', '.join(tables[:5])})")
    if found is not None and found > HEAD:
        raise DataError(
            f"{where}: made by a newer plaudit (schema {found}, this one knows {HEAD}); "
            "pip install -U plaudit"
        )
    if found is None and not create:
        raise DataError(f"{where}: no such study; plaudit add {where} DATA makes one")
    _upgrade(database, where)


def _upgrade(database: Database, where: str) -> None:
    """Run the migrations in one transaction: all of them, or none."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", os.fspath(Path(__file__).parent / "migrations"))
    with database.write() as connection:
        if not database.sqlite:  # two openers of a new study: the second waits and finds it done
            connection.execute(text("SELECT pg_advisory_xact_lock(70726)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if database.sqlite:
            broken = connection.execute(text("PRAGMA foreign_key_check")).all()
            if broken:
                raise DataError(f"{where}: not upgraded: rows refer to missing ones: {broken[:3]}")
    database.checkpoint()  # a plain copy of the file is a study at least, not an empty file
