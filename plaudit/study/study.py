"""Study: comparisons and judgments in one store, from Python.

study = plaudit.Study("desk.db")
study.compare("How do I reset my password?", [short, helpful])
for judgment in study.judgments():
    ...
study.export("labels")
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, case, exists, func, insert, select, update

from plaudit.config import AddConfig, ExportConfig, Pairing, StudySettings, known_names
from plaudit.data import read
from plaudit.data.readers.reader import response_messages
from plaudit.errors import DataError, UsageError
from plaudit.rendering.worker import Shown
from plaudit.study import schema as s
from plaudit.study.accounts import audit
from plaudit.study.answers import Conflict
from plaudit.study.backup import backup, copy
from plaudit.study.database import Database, open_database
from plaudit.study.export import export
from plaudit.study.export_files import Exported
from plaudit.study.images import with_images
from plaudit.study.ingest import add_batch, batches
from plaudit.study.model_results import ModelResults, model_results
from plaudit.study.privacy import is_name
from plaudit.study.questions import Added, Question, authors, questions, storable
from plaudit.study.renderings import Renderings
from plaudit.study.restore import restore
from plaudit.study.stored_rows import PRESENT
from plaudit.types import Comparison, Judgment, Messages, Origin, Slate, Source, as_messages

Progress = Callable[[int, int], None]


# A retest repeats a judgment and is none of its own.
COUNTED = s.standing.c.kind != "retest"


class Study:
    """A store of comparisons and judgments, made when it is not there.

    Args:
        where: a SQLite file, or a postgresql:// URL.
        create: whether to make it; without, a missing one raises DataError.
        settings: of a new study: `Study("desk.db", overlap=3)`.

    Raises DataError on what is no study, UsageError on settings that cannot be used.
    """

    def __init__(self, where: str | Path, *, create: bool = True, **settings: Any) -> None:
        self.where = str(where)
        _refuse_unknown(settings)
        first = StudySettings(**settings)
        self.database: Database = open_database(self.where, create)
        self.renderings = Renderings(self.database)
        self.database.transact(lambda db: _begin(db, first))
        if settings:
            self.change(**settings)

    def __enter__(self) -> Study:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None and self.database.made and self._untouched():
            self.database.unmake()  # a typing error leaves no empty study behind
        self.close()

    def _untouched(self) -> bool:
        with self.database.read() as db:
            used = (select(exists(select(t))) for t in (s.comparison, s.annotator, s.audit))
            return not any(map(db.scalar, used))

    def close(self) -> None:
        """Close the connections; what was acknowledged is on disk already."""
        self.renderings.close()
        self.database.close()

    # ------------------------------------------------------------------------- settings

    @property
    def settings(self) -> StudySettings:
        with self.database.read() as db:
            return settings_of(db)

    def change(
        self,
        actor: str = "command line",
        *,
        seen: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> StudySettings:
        """Change settings; `seen` are the values that the change was made in view of.

        Raises UsageError on what cannot be used, Conflict when a setting is not what was seen.
        """
        _refuse_unknown(changes)
        return self.database.transact(lambda db: _change(db, actor, changes, seen or {}))

    def guideline(self) -> tuple[int, str]:
        """The version and Markdown of the guideline in force; version 0 is none."""
        with self.database.read() as db:
            return guideline_of(db)

    def write_guideline(
        self, markdown: str, actor: str = "command line", seen: int | None = None
    ) -> int:
        """A new version of the guideline, unless nothing changed; returns its number.

        Raises Conflict when `seen`, the version that it was written in view of, is not in force.
        """
        with self.database.write() as db:
            _lock(db)
            version, before = guideline_of(db)
            if seen is not None and seen != version and markdown.strip() != before.strip():
                raise Conflict(
                    f"version {version} was written meanwhile; copy your text, reload the page "
                    "and put both together"
                )
            if markdown.strip() != before.strip():
                version += 1
                db.execute(insert(s.guideline).values(version=version, markdown=markdown))
                audit(db, actor, "write guideline", version=version)
            return version

    # --------------------------------------------------------------------------- adding

    def add(
        self,
        data: str | Path,
        config: AddConfig | None = None,
        *,
        progress: Progress | None = None,
        actor: str = "command line",
        **settings: Any,
    ) -> Added:
        """Add DATA in any format that plaudit reads; the same data again adds nothing.

        Raises DataError on data that cannot be read or recognised; what was added before the
        place of the error stays added.
        """
        config = config or AddConfig(**settings)
        added = Added()
        config, added.names = self._surveyed(str(data), config)
        reading = read(str(data), **config.reading())
        if reading.format == "study":
            restore(
                self.database, reading, str(data), self.settings.overlap, added, progress, actor
            )
        else:
            overlap = self.settings.overlap if config.overlap is None else config.overlap
            slates = with_images(reading, data, added)
            for batch in batches(questions(slates, config, added)):
                self._add(batch, config, overlap, added)
                if progress is not None:
                    progress(added.rows, added.rows)
            self.renderings.finish()
        if reading.bad:
            added.drop("unreadable", reading.bad)
            added.rows += reading.bad
        added.problems = [str(p) for p in (*reading.problems, *added.problems)][:3]
        added.format = reading.format
        counts = {name: getattr(added, name) for name in ("comparisons", "known", "labels")}
        if added.replaced:
            counts["replaced"] = added.replaced
        self.note("add", actor, **counts)
        if added.replaced:
            self.database.checkpoint()  # the log has the clear texts too
        return added

    def _surveyed(self, data: str, config: AddConfig) -> tuple[AddConfig, tuple[str, ...]]:
        """What must be known of all rows before the first is added.

        That is the columns to keep, by their own names, and the names of models to be masked.
        """
        if not config.keep and "models" not in config.mask:
            return config, ()
        if data == "-":
            raise UsageError("--keep and --mask models read the data twice; save it to a file")
        columns: set[str] = set()
        names: set[str] = set()
        for slate in read(data, **config.reading()):
            columns |= slate.columns.keys()
            names |= {one.model for who in slate.origins for one in authors((who,))}
        with self.database.read() as db:
            names |= {*db.scalars(select(s.origin.c.model).distinct())}
        keep = known_names("--keep", config.keep, columns, "column")
        known = {part for name in names for part in (name, storable(name)) if is_name(part)}
        return replace(config, keep=keep), tuple(sorted(known))

    def compare(
        self,
        prompt: str | Sequence[Any],
        responses: Sequence[str | Sequence[Any]],
        *,
        models: Sequence[str] = (),
        sampling: dict[str, Any] | None = None,
        group: str | None = None,
        columns: dict[str, Any] | None = None,
        pairing: Pairing = "all",
        overlap: int | None = None,
        in_order: bool = False,
    ) -> list[str]:
        """Ask people which response is better; returns the comparisons' ids, on disk already.

        Args:
            prompt: text, or messages.
            responses: two or more, each text or messages.
            models: who wrote each response; never shown to annotators.
            sampling: how they were sampled, such as {"temperature": 0.7}.
            group: prompts of one group stay on one side of a split.
            columns: other facts, exported with the comparison.
            pairing: which pairs of K responses: all, ring or one; rank asks for all in one go.
            overlap: people to ask; when None the study's setting, and of a share of the
                comparisons drawn at random its `agreement_overlap`.
            in_order: ask before what is asked in random order.
        """
        if models and len(models) != len(responses):
            raise UsageError(f"{len(models)} models for {len(responses)} responses")
        slate = Slate(
            as_messages([("user", prompt)] if isinstance(prompt, str) else prompt),
            tuple(response_messages(r if isinstance(r, str) else list(r)) for r in responses),
            Source("compare", 1),
            group=group,
            origins=tuple(Origin(model, sampling or {}) for model in models),
            columns=columns or {},
        )
        config = AddConfig(labels="ignore", pairing=pairing, overlap=overlap, in_order=in_order)
        added = Added()
        batch = list(questions([slate], config, added))
        if not batch:
            raise DataError(f"nothing to compare: {', '.join(added.dropped)}")
        self._add(batch, config, self.settings.overlap if overlap is None else overlap, added)
        self.renderings.finish()
        return [question.hash for question in batch]

    def note(self, verb: str, actor: str = "command line", **details: Any) -> None:
        """Add a line to the audit."""
        with self.database.write() as db:
            audit(db, actor, verb, **details)

    def _add(
        self, batch: Sequence[Question], config: AddConfig, overlap: int, added: Added
    ) -> None:
        transact, seen = self.database.transact, added.seen
        added.merge(transact(lambda db: add_batch(db, batch, config, overlap, seen)))
        texts = (text for q in batch for text in (q.prompt, q.a, q.b))
        self.renderings.begin(texts, self.settings.prompt_format)

    # -------------------------------------------------------------------------- reading

    def comparisons(self) -> Iterator[Comparison]:
        """Every comparison, in canonical orientation."""
        c = s.comparison_text.c
        query = select(c.prompt_messages, c.a_messages, c.b_messages).order_by(c.id)
        query = query.join(s.comparison, s.comparison.c.id == c.id).where(PRESENT)
        with self.database.read() as db:
            for prompt, a, b in db.execution_options(yield_per=1000).execute(query):
                yield Comparison(as_messages(prompt), as_messages(a), as_messages(b))

    def shown(self, texts: Sequence[Messages]) -> list[Shown]:
        """[{"role", "html"}] of each message of each text, as annotators see it."""
        return self.renderings.shown(texts, self.settings.prompt_format)

    def judgments(self) -> Iterator[Judgment]:
        """Every judgment that counts, retests apart: neither superseded nor withdrawn."""
        j = s.standing.c
        query = (
            select(s.standing, s.comparison.c.hash, s.annotator.c.pseudonym)
            .join(s.comparison, s.comparison.c.id == j.comparison)
            .join(s.annotator, s.annotator.c.id == j.annotator)
            .where(COUNTED)
            .order_by(j.id)
        )
        with self.database.read() as db:
            for row in db.execution_options(yield_per=1000).execute(query).mappings():
                yield Judgment(
                    row["hash"],
                    row["answer"],
                    row["pseudonym"],
                    row["strength"],
                    "ba" if row["left"] == "b" else "ab",
                    None if row["active_ms"] is None else row["active_ms"] / 1000,
                    "" if row["guideline"] is None else str(row["guideline"]),
                )

    def counts(self) -> dict[str, int]:
        """How many comparisons, judgments (those of `judgments`), and judgments remaining."""
        judgments = select(func.count()).select_from(s.standing).where(COUNTED)
        with self.database.read() as db:
            progress = db.execute(select(s.progress)).one()
            return {
                "comparisons": progress.comparisons,
                "judgments": db.scalar(judgments) or 0,
                "remaining": progress.remaining,
            }

    def model_results(self) -> ModelResults:
        """Which model's responses people prefer: win rates and scores with intervals."""
        with self.database.read() as db:
            return model_results(db)

    def backup(self, file: str | Path) -> dict[str, int]:
        """Write the whole study into one SQLite file; see `plaudit.study.backup`."""
        return backup(self.database, str(file))

    def copy_to(self, where: str | Path) -> dict[str, int]:
        """Copy the whole study into an empty store; see `plaudit.study.backup`."""
        return copy(self.database, str(where))

    def export(
        self,
        output: str | Path,
        config: ExportConfig | None = None,
        *,
        progress: Progress | None = None,
        **settings: Any,
    ) -> Exported:
        """Write the judgments to a folder, with a manifest; see `plaudit.study.export`."""
        return export(
            self.database, Path(output), config or ExportConfig(**settings), progress=progress
        )


def settings_of(db: Connection) -> StudySettings:
    """The study's settings."""
    return StudySettings.of(db.scalar(select(s.study.c.settings)) or {})


def guideline_of(db: Connection) -> tuple[int, str]:
    """The version and text of the guideline in force; version 0 is none."""
    g = s.guideline
    row = db.execute(select(g).order_by(g.c.version.desc()).limit(1)).one_or_none()
    return (row.version, row.markdown) if row else (0, "")


def _refuse_unknown(settings: Mapping[str, Any]) -> None:
    known = {field.name for field in fields(StudySettings)}
    if unknown := set(settings) - known:
        raise UsageError(f"no setting {unknown.pop()!r}; known: {', '.join(sorted(known))}")


def _lock(db: Connection) -> None:
    """One at a time: two owners who save at once must not undo each other's change."""
    db.execute(select(s.study.c.id).with_for_update())


def _change(
    db: Connection, actor: str, changes: Mapping[str, Any], seen: Mapping[str, Any]
) -> StudySettings:
    _lock(db)
    before = settings_of(db)
    for name, value in seen.items():
        found = getattr(before, name)
        if found not in (value, changes[name]):
            raise Conflict(
                f"{name.replace('_', ' ')} was changed meanwhile, from {value!r} to {found!r}; "
                "reload the page and change it again"
            )
    after = replace(before, **changes)
    if after == before:
        return before
    db.execute(update(s.study).values(settings=asdict(after)))
    if after.overlap != before.overlap:
        c = s.comparison
        step = after.overlap - before.overlap
        # Comparisons that were given an overlap of their own keep it, and those drawn at random
        # for agreement too: a new share or overlap of these is for what is added from now on.
        same = update(c).where(c.c.overlap == before.overlap, ~c.c.agreement)
        slots = case((c.c.gold.is_(None), c.c.slots + step), else_=c.c.slots)
        db.execute(same.values(overlap=after.overlap, slots=slots))
        db.execute(update(s.annotator).values(searched_to=0))  # what they had seen is open again
    old, new = asdict(before), asdict(after)
    changed = {name: [old[name], new[name]] for name in changes if old[name] != new[name]}
    audit(db, actor, "change settings", **changed)
    return after


def _begin(db: Connection, settings: StudySettings) -> None:
    if not db.scalar(select(func.count()).select_from(s.study)):
        values = {"settings": asdict(settings), "secret": secrets.token_hex(32)}
        db.execute(insert(s.study).values(id=1, **values))


_open: dict[str, Study] = {}
_opening = threading.Lock()


def compare(
    prompt: str | Sequence[Any],
    responses: Sequence[str | Sequence[Any]],
    *,
    study: str | Path,
    **details: Any,
) -> list[str]:
    """Ask people which response is better, from the script that makes the responses.

    The study is made where it is not there; `plaudit collect STUDY` shows it to people, now or
    later. Returns at once, with the comparison on disk; `details` are those of
    `Study.compare`.

        plaudit.compare(prompt, [response_a, response_b], study="desk.db")
    """
    where = str(study) if "://" in str(study) else str(Path(study).expanduser().absolute())
    with _opening:
        if where not in _open:
            _open[where] = Study(where)
    return _open[where].compare(prompt, responses, **details)
