"""Exports as downloads: made when asked for, gone when sent."""

from __future__ import annotations

import csv
import io
import tempfile
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Literal

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from plaudit.config import ExportConfig
from plaudit.data.readers.votes import guarded
from plaudit.statistics.aggregation import MODELS
from plaudit.study import browse, people
from plaudit.study_app.context import Session, session_of, state_of
from plaudit.study_app.pages.page import Values, Visit

router = APIRouter()
Format = Literal["pairs", "trl", "raw", "dataset", "csv"]
PART = 1 << 16


def formats(visit: Visit) -> Values:
    return {"models": ("auto", *MODELS), "columns": browse.known_columns(visit.db)}


class Download(BaseModel):
    """A plain form, since a download of any size is the browser's own work: so the token is a
    field of it."""

    csrf: str = ""
    aggregate: str = "auto"
    test_share: float = Field(default=0, ge=0, lt=100, allow_inf_nan=False)  # per cent
    gold: bool = False
    keep: list[str] = []

    def config(self, format: Format) -> ExportConfig:
        share = self.test_share / 100
        values = self.model_dump(include={"aggregate", "gold"})
        return ExportConfig(format=format, test_share=share, keep=tuple(self.keep), **values)


class Token(BaseModel):
    csrf: str = ""


def _owner(request: Request, csrf: str) -> Session:
    """Who sent a plain form. Raises 401 and 403."""
    session = session_of(request)
    if session is None:
        raise HTTPException(401, "please sign in")
    state_of(request).tokens.refuse_forged(request, session.token, csrf)
    if session.person.role != "owner":
        raise HTTPException(403, "only for owners")
    return session


@router.post("/export/payments.csv")
def payments(request: Request, form: Annotated[Token, Form()]) -> Response:
    """What each annotator has done and for how long, with who they are to a platform."""
    state, session = state_of(request), _owner(request, form.csrf)
    with state.study.database.read() as db:
        rows = people.payments(db)
    state.study.note("export", session.person.pseudonym, format="payments")
    table = io.StringIO()
    names = ("pseudonym", "platform", "external_id", "name", "email", "taken_out")
    writer = csv.writer(table)
    writer.writerow([*names, "judgments", "active_hours", "first", "last"])
    for row in rows:
        who = [guarded(row[name] or "") for name in names[:-1]]
        out = "" if row["excluded_at"] is None else _moment(row["excluded_at"])
        hours = f"{row['active_hours']:.3f}"
        times = _moment(row["first"]), _moment(row["last"])
        writer.writerow([*who, out, row["judgments"], hours, *times])
    headers = {"content-disposition": 'attachment; filename="payments.csv"'}
    text = "\ufeff" + table.getvalue()  # the mark that spreadsheets know UTF-8 by
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


@router.post("/export/{format}.zip")
def download(
    request: Request,
    format: Format,
    form: Annotated[Download, Form()],
) -> Response:
    """An export as one file; read straight from the store, so as new as the click."""
    state, session = state_of(request), _owner(request, form.csrf)
    archive: IO[bytes] = tempfile.TemporaryFile(prefix="plaudit-export-")  # noqa: SIM115
    try:
        with tempfile.TemporaryDirectory(prefix="plaudit-export-") as folder:
            state.study.export(Path(folder) / "export", form.config(format))
            _zip(Path(folder) / "export", archive)
        state.study.note("export", session.person.pseudonym, format=format)
    except BaseException:
        archive.close()
        raise
    name = f"plaudit-{format}-{time.strftime('%Y-%m-%d')}.zip"
    headers = {
        "content-disposition": f'attachment; filename="{name}"',
        "content-length": str(archive.seek(0, 2)),
    }
    return StreamingResponse(_parts(archive), media_type="application/zip", headers=headers)


def _zip(folder: Path, target: IO[bytes]) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))


def _parts(archive: IO[bytes]) -> Iterator[bytes]:
    """The file, which has no name any more and ends with its last reader."""
    with archive:
        archive.seek(0)
        while part := archive.read(PART):
            yield part
