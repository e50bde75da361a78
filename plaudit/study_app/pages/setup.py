"""What is asked: data added in the browser, and the guideline."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from pydantic import BaseModel

from plaudit.config import AddConfig, LabelUse, Mask, Pairing
from plaudit.errors import DataError
from plaudit.study.study import guideline_of
from plaudit.study_app.context import OneFile, Owner, state_of
from plaudit.study_app.pages.page import Values, Visit

router = APIRouter(route_class=OneFile)


def data(visit: Visit) -> Values:
    return {}


def guideline(visit: Visit) -> Values:
    version, markdown = guideline_of(visit.db)
    return {"in_force": version, "markdown": markdown}


class Upload(BaseModel):
    """A file in any format that `plaudit add` takes."""

    file: Annotated[UploadFile, File()]
    labels: LabelUse = "import"
    pairing: Pairing = "all"
    columns: str = ""
    mask: list[Mask] = []
    keep: str = ""

    def config(self) -> AddConfig:
        return AddConfig(
            labels=self.labels,
            pairing=self.pairing,
            columns=self.columns.strip() or None,
            mask=tuple(self.mask),
            keep=(self.keep.strip(),) if self.keep.strip() else (),
        )


class Guideline(BaseModel):
    markdown: str = ""
    seen: int = 0


def _suffix(name: str) -> str:
    """What the name says of the format, and no more of what somebody's browser sent."""
    return "".join(re.findall(r"\.[a-zA-Z0-9]{1,8}(?=\.|$)", name)[-2:])


@router.post("/guideline")
def write_guideline(request: Request, me: Owner, form: Annotated[Guideline, Form()]) -> Response:
    study = state_of(request).study
    version = study.write_guideline(form.markdown, me.person.pseudonym, form.seen)
    unchanged = version == form.seen
    return state_of(request).page(request, "written.html", in_force=version, unchanged=unchanged)


@router.post("/add")
def add_file(request: Request, me: Owner, form: Annotated[Upload, Form()]) -> Response:
    state, name = state_of(request), form.file.filename or "data.jsonl"
    with tempfile.TemporaryDirectory(prefix="plaudit-add-") as folder:
        path = Path(folder) / f"upload{_suffix(name)}"
        with path.open("wb") as target:
            shutil.copyfileobj(form.file.file, target)
        try:
            added = state.study.add(path, form.config(), actor=me.person.pseudonym)
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from error
    added.problems = [problem.replace(str(path), name) for problem in added.problems]
    state.updater.wake()
    return state.page(request, "added.html", added=added)
