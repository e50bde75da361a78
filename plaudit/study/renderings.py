"""The HTML of texts: made once by the worker, when a comparison is added, and kept in the study.

What has none yet (an older study, another setting or version) is rendered the same way when it is
first shown. Nothing is parsed in the process that answers requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy import Connection, select
from sqlalchemy.exc import OperationalError

from plaudit.rendering.plain import too_complex
from plaudit.rendering.worker import VERSION, Shown, Task, shared_worker
from plaudit.study import schema as s
from plaudit.study.database import Database, upsert
from plaudit.types import Message, Messages, content_id, messages_id

AT_ONCE = 500  # texts looked up or rendered together
WAITING = 2  # batches that an add may be ahead of the worker


def rendering_key(messages: Messages, prompt_format: str) -> str:
    """Hash of messages and how they are shown; what the assistant wrote is always Markdown."""
    alone = all(message.role == "assistant" for message in messages)
    return content_id("rendering", messages_id(messages), "" if alone else prompt_format)


class Renderings:
    """The stored HTML of a study's texts. Call it outside of transactions: it writes in its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ahead: list[Future[None]] = []
        self._threads: ThreadPoolExecutor | None = None

    def shown(self, texts: Sequence[Messages], prompt_format: str) -> list[Shown]:
        """[{"role", "html"}] of each message of each text."""
        keys = [rendering_key(messages, prompt_format) for messages in texts]
        wanted = dict(zip(keys, texts, strict=True))
        found = self._stored(wanted)
        missing = {key: messages for key, messages in wanted.items() if key not in found}
        if missing:
            found |= self._rendered(missing, prompt_format)
        return [found[key] for key in keys]

    def markdown(self, text: str) -> str:
        """HTML of a Markdown text that no message holds, such as the guideline."""
        return self.shown([(Message("assistant", text),)], "markdown")[0][0]["html"]

    # --------------------------------------------------------------------------- adding

    def begin(self, texts: Iterable[Messages], prompt_format: str) -> None:
        """Render texts while the caller goes on, which waits once it is some batches ahead."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, "renderings")
        batch = list(texts)
        self._ahead.append(self._threads.submit(self._complete, batch, prompt_format))
        while len(self._ahead) > WAITING:
            self._ahead.pop(0).result()

    def finish(self) -> None:
        """Wait for what was begun."""
        while self._ahead:
            self._ahead.pop(0).result()

    def close(self) -> None:
        """Finish, and end the thread."""
        self.finish()
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None

    def _complete(self, texts: Sequence[Messages], prompt_format: str) -> None:
        """Render what has no HTML yet. A text that fails here is rendered when it is shown."""
        wanted = {rendering_key(messages, prompt_format): messages for messages in texts}
        try:
            there = self._stored(wanted, versions_only=True)
            missing = {key: messages for key, messages in wanted.items() if key not in there}
            self._rendered(missing, prompt_format)
        except OperationalError:  # the store was busy with something longer
            return

    # ------------------------------------------------------------------- store and worker

    def _stored(
        self, wanted: Mapping[str, Messages], versions_only: bool = False
    ) -> dict[str, Shown]:
        r, found = s.rendering.c, {}
        keys = sorted(wanted)
        columns = (r.hash,) if versions_only else (r.hash, r.messages)
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            query = select(*columns).where(r.hash.in_(part), r.version == VERSION)
            with self._database.glance() as db:
                found.update({row[0]: row[-1] for row in db.execute(query)})
        return found

    def _rendered(self, missing: Mapping[str, Messages], prompt_format: str) -> dict[str, Shown]:
        """Render and store; where no worker can be started, plain text that is not stored."""
        if not missing:
            return {}
        tasks = [
            Task([message.to_dict() for message in messages], prompt_format)
            for messages in missing.values()
        ]
        try:
            made = dict(zip(missing, shared_worker().render(tasks), strict=True))
        except OSError:
            return {key: _unformatted(messages) for key, messages in missing.items()}
        rows = [{"hash": k, "version": VERSION, "messages": v} for k, v in sorted(made.items())]
        self._database.transact(lambda db: _store(db, rows))
        return made


def _store(db: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    insert = upsert(db)(s.rendering)
    newer = {"version": insert.excluded.version, "messages": insert.excluded.messages}
    db.execute(insert.on_conflict_do_update(index_elements=["hash"], set_=newer), list(rows))


def _unformatted(messages: Messages) -> Shown:
    return [{"role": m.role, "html": too_complex(m.text)} for m in messages]
