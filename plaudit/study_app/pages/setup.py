"""How a study is set up from its owner's pages: data, invitations, settings, guideline, exports."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.background import BackgroundTask

from plaudit.config import AddConfig, ExportConfig, LabelUse, Mask, Pairing
from plaudit.errors import DataError
from plaudit.study import review
from plaudit.study.accounts import audit, invite
from plaudit.study_app.context import OneFile, Owner, state_of, writes
from plaudit.study_app.pages.owner import Number, done
from plaudit.web.headers import page_address

router = APIRouter(prefix="/owner", route_class=OneFile)


class Invitation(BaseModel):
    role: str = "annotator"
    uses: int = 1
    days: float = Field(default=7, gt=0, le=90, allow_inf_nan=False)


class SettingsForm(BaseModel):
    """The study's settings as people write them: minutes, per cent, one reason per line."""

    name: str = Field(max_length=200)
    question: str = Field(max_length=500)
    mode: str
    overlap: int
    lease_minutes: float = Field(gt=0, le=10_080, allow_inf_nan=False)
    gold_rate: float = Field(ge=0, le=50, allow_inf_nan=False)
    retest_rate: float = Field(ge=0, le=50, allow_inf_nan=False)
    reasons: str = ""
    license_prompts: str = Field(default="", max_length=200)
    license_responses: str = Field(default="", max_length=200)
    license_judgments: str = Field(default="", max_length=200)

    def settings(self) -> dict[str, Any]:
        """As `Study.change` takes them. Raises DataError on reasons too long or too many."""
        reasons = tuple(line.strip() for line in self.reasons.splitlines() if line.strip())
        if len(reasons) > 20 or any(len(reason) > 60 for reason in reasons):
            raise DataError("at most 20 reasons, each of at most 60 characters")
        values = {k: v.strip() if isinstance(v, str) else v for k, v in self.model_dump().items()}
        del values["lease_minutes"]
        return values | {
            "lease_seconds": round(self.lease_minutes * 60),
            "gold_rate": self.gold_rate / 100,
            "retest_rate": self.retest_rate / 100,
            "reasons": reasons,
        }


class Guideline(BaseModel):
    markdown: str = ""


class Upload(BaseModel):
    """A file in any format that `plaudit add` takes."""

    file: Annotated[UploadFile, File()]
    labels: LabelUse = "import"
    pairing: Pairing = "all"
    columns: str = ""
    mask: list[Mask] = []

    def config(self) -> AddConfig:
        return AddConfig(
            labels=self.labels,
            pairing=self.pairing,
            columns=self.columns.strip() or None,
            mask=tuple(self.mask),
        )


class Download(BaseModel):
    aggregate: str = "auto"
    test_share: float = 0.0


@router.post("/invite")
@writes
def new_link(
    db: Connection, request: Request, me: Owner, form: Annotated[Invitation, Form()]
) -> Response:
    token = invite(db, form.role, me.person.pseudonym, form.uses, form.days * 86400)
    link = f"{page_address(request)}/join/{token}"
    return state_of(request).page(request, "link.html", link=link, role=form.role, uses=form.uses)


@router.post("/invitations/{number}/revoke")
@writes
def revoke_link(db: Connection, request: Request, me: Owner, number: Number) -> Response:
    review.revoke(db, number, me.person.pseudonym)
    return done("The link no longer works.")


@router.post("/settings")
def change_settings(request: Request, me: Owner, form: Annotated[SettingsForm, Form()]) -> Response:
    state_of(request).study.change(me.person.pseudonym, **form.settings())
    return done("Settings saved.")


@router.post("/guideline")
def write_guideline(request: Request, me: Owner, form: Annotated[Guideline, Form()]) -> Response:
    version = state_of(request).study.write_guideline(form.markdown, me.person.pseudonym)
    return done(f"Version {version} is in use.")


@router.post("/add")
def add_file(request: Request, me: Owner, form: Annotated[Upload, Form()]) -> Response:
    state, name = state_of(request), form.file.filename or "data.jsonl"
    with tempfile.TemporaryDirectory(prefix="plaudit-add-") as folder:
        path = Path(folder) / f"upload{''.join(Path(name).suffixes[-2:])[-20:]}"
        with path.open("wb") as target:
            shutil.copyfileobj(form.file.file, target)
        try:
            added = state.study.add(path, form.config(), actor=me.person.pseudonym)
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from error
    added.problems = [problem.replace(str(path), name) for problem in added.problems]
    state.updater.wake()
    return state.page(request, "added.html", added=added)


@router.get("/export/{format}.zip")
def download(
    request: Request,
    me: Owner,
    format: Literal["pairs", "trl", "raw", "dataset"],
    query: Annotated[Download, Query()],
) -> Response:
    """An export as one file; read straight from the store, so as new as the click."""
    study = state_of(request).study
    folder = Path(tempfile.mkdtemp(prefix="plaudit-export-"))
    try:
        study.export(folder / "export", ExportConfig(format=format, **query.model_dump()))
        archive = shutil.make_archive(str(folder / "export"), "zip", folder / "export")
        with study.database.write() as db:
            audit(db, me.person.pseudonym, "export", format=format)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(
        archive,
        filename=f"plaudit-{format}-{time.strftime('%Y-%m-%d')}.zip",
        media_type="application/zip",
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )
