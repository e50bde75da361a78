"""The connection to a Study: a SQLite file or a PostgreSQL URL, migrated when it is opened.

`Database.write` is a transaction that may write, `Database.transact` the same for work that is run
again when PostgreSQL asks for it, `Database.read` one that only reads.

On SQLite a writer takes the lock at its start (a transaction that reads first and then writes fails
at once, whatever the timeout). A process has one connection that writes: its pages stay in memory,
since nobody else changes them, while any other connection reads them anew after each write. What
threads hand to `transact` meanwhile is done by one thread in one transaction, so that a hundred
votes neither wait a hundred times for the disk nor pass the interpreter from thread to thread
at every statement.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
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
TOGETHER = 32  # works in one transaction
T = TypeVar("T")
Work = Callable[[Connection], Any]
PRAGMAS = (
    "busy_timeout=10000",
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
        self._writer = _Writer(_sqlite(engine.url, connections=1)) if self.sqlite else None

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
        if self._writer is not None:
            with self._writer.transaction() as connection:
                yield connection
        else:
            with self.engine.begin() as connection:
                yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` in a transaction like `write`, run again where that may help.

        PostgreSQL may end one of two transactions that wait for each other, or may have been
        restarted. Work is such that twice is once: votes have keys.
        """
        if self._writer is not None:
            result: T = self._writer.do(work)
            return result
        for attempt in range(5):
            try:
                with self.write() as connection:
                    return work(connection)
            except OperationalError as error:
                again = getattr(error.orig, "sqlstate", None) in RUN_AGAIN
                if attempt == 4 or not (again or error.connection_invalidated):
                    raise
        raise AssertionError("unreachable")

    def checkpoint(self, *, empty: bool = True) -> None:
        """Bring what is in SQLite's log into the file; to `empty` the log it waits for readers."""
        if self.sqlite:
            mode = "TRUNCATE" if empty else "PASSIVE"
            with self.engine.connect() as connection:
                connection.connection.cursor().execute(f"PRAGMA wal_checkpoint({mode})").fetchall()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
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


class _Writer:
    """The one connection of a process that writes to a SQLite file, and the thread that uses it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._holder = 0
        self._waiting: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of its own, in the caller's thread."""
        self._refuse_nesting()
        with self._turn:
            self._holder = threading.get_ident()
            try:
                with self._engine.connect() as connection:
                    connection.info["writes"] = True
                    with connection.begin():
                        yield connection
            finally:
                self._holder = 0

    def do(self, work: Work) -> Any:
        """The result of `work`, done by the thread together with what else is waiting."""
        self._refuse_nesting()
        if self._thread is None:
            self._start()
        done: Future[Any] = Future()
        self._waiting.put((work, done))
        return done.result()

    def _refuse_nesting(self) -> None:
        if self._holder == threading.get_ident():
            raise RuntimeError("a transaction inside a transaction would wait for itself")

    def _start(self) -> None:
        with self._turn:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Finish what is waiting."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
        self._engine.dispose()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < TOGETHER and not self._waiting.empty():
                if (more := self._waiting.get()) is None:
                    self._waiting.put(None)  # read again once this batch is done
                    break
                batch.append(more)
            self._finish(batch)

    def _finish(self, batch: list[tuple[Work, Future[Any]]]) -> None:
        """One transaction; each work sees its result or its error, once all is on disk."""
        results: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self.transaction() as connection:
                for work, done in batch:
                    results.append((done, *_attempt(connection, work, alone=len(batch) == 1)))
                if len(batch) == 1 and results[0][2] is not None:
                    raise results[0][2]  # nothing else to keep
        except BaseException as error:
            for _, done in batch:
                done.set_exception(error)
            return
        for done, value, problem in results:
            if problem is None:
                done.set_result(value)
            else:
                done.set_exception(problem)


def _attempt(
    connection: Connection, work: Work, *, alone: bool
) -> tuple[Any, BaseException | None]:
    """A work's result, or its error; then what it wrote is taken back, and nothing else."""
    try:
        with nullcontext() if alone else connection.begin_nested():
            return work(connection), None
    except BaseException as error:
        return None, error


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
    with closing(sqlite3.connect(path, timeout=1)) as connection, suppress(sqlite3.Error):
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


def _sqlite(url: URL, connections: int = 64) -> Engine:
    # The connection used last is used next: few are ever opened, and those stay warm.
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=30,
        pool_use_lifo=True,
        hide_parameters=True,  # a failed statement's values, such as addresses, are not for a log
    )

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
        hide_parameters=True,
    )


def _migrate(database: Database, where: str, create: bool) -> None:
    with database.read() as connection:
        tables = inspect(connection).get_table_names()
        found = None
        if "alembic_version" in tables:
            found = connection.scalar(
                select(text("version_num")).select_from(text("alembic_version"))
            )
    if found is None and tables:
        raise DataError(f"{where}: a database, but not a study (tables: {', '.join(tables[:5])})")
    if database.sqlite:  # not before: the file of another program is not changed
        with database.engine.connect() as connection:
            connection.connection.cursor().execute("PRAGMA journal_mode = WAL").fetchall()
    if found == HEAD:
        return
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
    # A plain copy of the file is a study at least, not an empty file.
    database.checkpoint(empty=False)
