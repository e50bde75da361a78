"""The numbers of the owner's pages, kept at most half a minute old beside the judging.

A small study is counted in a thread. Counting a large one would keep votes waiting for the
interpreter, so it has a process of its own, which ends with this one, however this one ends.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection as Pipe
from typing import Any

from sqlalchemy import Connection, func, select

from plaudit.study import people
from plaudit.study import schema as s
from plaudit.study.annotator_facts import stop_reasons
from plaudit.study.database import Database, open_database
from plaudit.study.judgment_table import JudgmentTable
from plaudit.study.model_results import ModelResults, model_results
from plaudit.study.quality import Overview, assess, newest
from plaudit.study.review import problem_counts
from plaudit.study.study import settings_of

LARGE = 20_000  # judgments


class Counting:
    """Counts a study, from what it has read before and what is new."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = JudgmentTable()
        self._one = threading.Lock()  # a page may ask for new numbers while a thread counts
        self._found: Any = None  # counts and settings of the last assessment
        self._models = ModelResults()
        self._compare_after = 0.0
        self._assessed = 0.0
        self.overview = Overview()

    def refresh(self) -> Overview:
        """The numbers as they are now; whom a rule of the study stops there is stopped."""
        with self._one:
            with self._database.read() as db:
                new = self._table.refresh(db)
                counts = dict(db.execute(select(s.progress)).mappings().one()) | problem_counts(db)
                settings, since = settings_of(db), people.resumed(db)
                found = counts, settings, since
                if new or found != self._found:
                    self._compare_models(db)
            now = time.time()
            # The last hour and day move by themselves: after five minutes all is counted again.
            if new or found != self._found or now - self._assessed > 300:
                self.overview = assess(self._table, counts, self._models, settings, now)
                self._stop_annotators(stop_reasons(self._table, settings, since))
                self._found, self._assessed = found, now
            else:
                self.overview = replace(self.overview, at=now)
            return self.overview

    def _compare_models(self, db: Connection) -> None:
        """At most a twentieth of the time goes into this: in a large study it takes seconds."""
        started = time.monotonic()
        if started > self._compare_after:
            self._models = model_results(db, self._table, newest(self._table))
            self._compare_after = started + 20 * (time.monotonic() - started)

    def _stop_annotators(self, reasons: Mapping[int, str]) -> None:
        if reasons:
            self._database.transact(lambda db: people.stop(db, reasons))


class OverviewUpdater:
    """Keeps an Overview at most half a minute old."""

    def __init__(self, database: Database, every: float = 15.0) -> None:
        self._database = database
        self._every = every
        self._counting = Counting(database)
        self._process: _Process | None = None
        self._wake = threading.Condition()
        self._stop = self._asked = False
        self._thread: threading.Thread | None = None
        self.overview = self._counting.overview

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="overview", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stop = True
            self._wake.notify_all()
        if self._process is not None:
            self._process.end()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def wake(self) -> None:
        """Have the thread compute it soon, after something that an owner waits to see."""
        with self._wake:
            self._asked = True
            self._wake.notify_all()

    def refresh(self) -> Overview:
        """Compute it now, here."""
        self.overview = self._counting.refresh()
        return self.overview

    def _refresh_beside(self) -> None:
        """Compute it in a process where the study is large."""
        if self._process is None:
            if not _is_large(self._database):
                self.refresh()
                return
            self._counting = Counting(self._database)  # forgets what it has read
            self._process = _Process(self._database)
        try:
            self.overview = self._process.count()
        except (EOFError, OSError):  # it was ended; the next one starts afresh
            self._process = None

    def _run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                self._refresh_beside()
            except Exception as error:  # the page then says how old its numbers are
                print(f"plaudit: overview not refreshed: {error}")
            # Half the time at most goes into this, however large the study is.
            pause = max(self._every, time.monotonic() - started)
            with self._wake:
                self._wake.wait_for(lambda: self._stop or self._asked, timeout=pause)
                self._asked = False
                if self._stop:
                    return


def _is_large(database: Database) -> bool:
    with database.glance() as db:
        return (db.scalar(select(func.max(s.judgment.c.id))) or 0) > LARGE


class _Process:
    """A process that counts when it is asked to."""

    def __init__(self, database: Database) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._pipe, other = spawning.Pipe()
        where = database.engine.url.render_as_string(hide_password=False)
        self._process = spawning.Process(target=_count, args=(where, other), daemon=True)
        self._process.start()
        other.close()  # so that reading here ends when the process does

    def count(self) -> Overview:
        """Raises EOFError or OSError where the process has ended."""
        self._pipe.send(None)
        found: Overview = self._pipe.recv()
        return found

    def end(self) -> None:
        self._process.terminate()


def _count(where: str, pipe: Pipe) -> None:
    """The process: an Overview for each message, until the other end is gone."""
    counting = Counting(open_database(where.removeprefix("sqlite:///"), create=False))
    while True:
        try:
            pipe.recv()
            pipe.send(counting.refresh())
        except (EOFError, BrokenPipeError):
            return
