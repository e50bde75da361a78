"""The owner's pages: progress, annotators, disagreements, gold, export, set-up.

A reader sees them without changing anything and without knowing who anyone is. Whoever resolves a
disagreement is as blind as an annotator.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import (
    APIRouter,
    Depends,
    File,
    Form,
    HTTPException,
    Query,
    Request,
    Response,
    UploadFile,
)
from fastapi import Path as Parameter
from fastapi.responses import FileResponse, HTMLResponse
from sqlalchemy import Connection, func, select, update
from starlette.background import BackgroundTask

from plaudit.config import AddConfig, ExportConfig, LabelUse, Mask, Pairing
from plaudit.errors import DataError
from plaudit.statistics.aggregation import MODELS
from plaudit.study import schema as s
from plaudit.study.accounts import ROLES, audit, erase, invite, set_active
from plaudit.study.answers import resolve
from plaudit.study_app.context import Visitor, allowed, desk_of, root_of
from plaudit.study_app.rendering import render_turns
from plaudit.types import as_messages

router = APIRouter(prefix="/owner")
Owner = Annotated[Visitor, Depends(allowed("owner"))]
Reader = Annotated[Visitor, Depends(allowed("owner", "reader"))]
PAGE = 20
Text = Annotated[str, Form()]
Page = Annotated[int, Query(ge=0, le=10_000)]
Number = Annotated[int, Parameter(ge=1, le=2**62)]


def _done(message: str) -> HTMLResponse:
    return HTMLResponse(f'<p class="done" role="status">{message}</p>')


# ------------------------------------------------------------------------------ progress


@router.get("")
def progress(request: Request, visitor: Reader) -> Response:
    desk = desk_of(request)
    return desk.page(request, "progress.html", overview=desk.watch.overview, here="progress")


@router.get("/numbers")
def numbers(request: Request, visitor: Reader) -> Response:
    """The part of the progress page that renews itself."""
    desk = desk_of(request)
    return desk.page(request, "numbers.html", overview=desk.watch.overview)


# ---------------------------------------------------------------------------- annotators


@router.get("/annotators")
def annotators(request: Request, visitor: Reader) -> Response:
    desk = desk_of(request)
    a, i = s.annotator, s.identity
    query = (
        select(a.c.id, a.c.pseudonym, a.c.role, a.c.active, i.c.name, i.c.email)
        .outerjoin(i, i.c.annotator == a.c.id)
        .order_by(a.c.id)
    )
    with desk.study.database.read() as db:
        people = [dict(row) for row in db.execute(query).mappings()]
    if visitor.person.role != "owner":
        people = [person | {"name": None, "email": None} for person in people]
    facts = {facts.id: facts for facts in desk.watch.overview.annotators}
    return desk.page(
        request,
        "annotators.html",
        people=people,
        facts=facts,
        overview=desk.watch.overview,
        here="annotators",
    )


@router.post("/annotators/{annotator}/active")
def bar(
    request: Request, visitor: Owner, annotator: Number, active: Annotated[bool, Form()]
) -> Response:
    actor = visitor.person.pseudonym
    database = desk_of(request).study.database
    database.transact(lambda db: set_active(db, annotator, active, actor))
    return _reload(request, "/owner/annotators")


@router.post("/annotators/{annotator}/erase")
def forget(request: Request, visitor: Owner, annotator: Number) -> Response:
    actor = visitor.person.pseudonym
    desk_of(request).study.database.transact(lambda db: erase(db, annotator, actor))
    return _reload(request, "/owner/annotators")


def _reload(request: Request, path: str) -> Response:
    return Response(status_code=204, headers={"hx-redirect": root_of(request) + path})


# --------------------------------------------------------------------------------- queue


@router.get("/queue")
def queue(request: Request, visitor: Owner, page: Page = 0) -> Response:
    desk = desk_of(request)
    overview = desk.watch.overview
    j = s.judgment
    with desk.study.database.read() as db:
        newest = select(j.c.comparison, j.c.report).order_by(j.c.id.desc()).limit(2000).subquery()
        reports = [
            {"report": row.report, **_card(db, row.comparison)}
            for row in db.execute(select(newest).where(newest.c.report != "").limit(PAGE)).all()
        ]
        waiting = [c for c in overview.queue if not _resolved(db, c)]
        shown = [_card(db, c) for c in waiting[page * PAGE : (page + 1) * PAGE]]
    return desk.page(
        request,
        "queue.html",
        cards=shown,
        reports=reports,
        overview=overview,
        page=page,
        more=len(waiting) > (page + 1) * PAGE,
        here="queue",
    )


@router.post("/queue/{comparison}")
def settle(
    request: Request, visitor: Owner, comparison: Number, answer: Text, key: Text, note: Text = ""
) -> Response:
    """The owner's word; a and b are the canonical sides, which is how the queue shows them."""
    database = desk_of(request).study.database
    database.transact(lambda db: resolve(db, visitor.person, comparison, answer, key, note))
    words = {"a": "the left is better", "b": "the right is better", "tie": "a tie"}
    return _done(f"Resolved: {words.get(answer, 'both bad')}.")


def _resolved(db: Connection, comparison: int) -> bool:
    j = s.judgment
    found = select(j.c.id).where(j.c.comparison == comparison, j.c.kind == "resolution")
    return db.scalar(found.limit(1)) is not None


def _card(db: Connection, comparison: int) -> dict[str, Any]:
    """A comparison with its votes and the reasons given, without who wrote what."""
    c, a, b, j = s.comparison, s.response.alias(), s.response.alias(), s.judgment
    row = db.execute(
        select(s.prompt.c.messages, a.c.messages.label("a"), b.c.messages.label("b"), c.c.gold)
        .select_from(c)
        .join(s.prompt, s.prompt.c.id == c.c.prompt)
        .join(a, a.c.id == c.c.response_a)
        .join(b, b.c.id == c.c.response_b)
        .where(c.c.id == comparison)
    ).one()
    later = j.alias()
    votes = db.execute(
        select(j.c.answer, j.c.strength, j.c.reasons, j.c.rationale, s.annotator.c.pseudonym)
        .join(s.annotator, s.annotator.c.id == j.c.annotator)
        .where(
            j.c.comparison == comparison,
            j.c.kind == "vote",
            j.c.answer != "withdrawn",
            ~select(later.c.id).where(later.c.supersedes == j.c.id).exists(),
        )
        .order_by(j.c.id)
    ).mappings()
    return {
        "id": comparison,
        "prompt": render_turns(as_messages(row.messages)),
        "a": render_turns(as_messages(row.a)),
        "b": render_turns(as_messages(row.b)),
        "gold": row.gold,
        "votes": [dict(vote) for vote in votes],
    }


# ---------------------------------------------------------------------------------- gold


@router.get("/gold")
def gold(request: Request, visitor: Owner, page: Page = 0) -> Response:
    """Gold comparisons, and those that all of several people agreed on, to promote."""
    desk = desk_of(request)
    c, j = s.comparison, s.judgment
    with desk.study.database.read() as db:
        total = db.scalar(select(func.count()).where(c.c.gold.is_not(None))) or 0
        ids = db.scalars(
            select(c.c.id)
            .where(c.c.gold.is_not(None))
            .order_by(c.c.place, c.c.id)
            .offset(page * PAGE)
            .limit(PAGE)
        ).all()
        cards = [_card(db, i) for i in ids]
        # Among the newest votes, so that the page costs the same in a large study.
        later = j.alias()
        newest = select(j.c.comparison, j.c.annotator, j.c.answer).where(
            j.c.kind == "vote", ~select(later.c.id).where(later.c.supersedes == j.c.id).exists()
        )
        newest_votes = newest.order_by(j.c.id.desc()).limit(2000).subquery()
        agreed = db.scalars(
            select(newest_votes.c.comparison)
            .join(c, c.c.id == newest_votes.c.comparison)
            .where(c.c.gold.is_(None), newest_votes.c.answer.in_(("a", "b")))
            .group_by(newest_votes.c.comparison)
            .having(
                func.count(newest_votes.c.annotator.distinct()) >= 3,
                func.min(newest_votes.c.answer) == func.max(newest_votes.c.answer),
            )
            .limit(10)
        ).all()
        candidates = [_card(db, i) for i in agreed]
    return desk.page(
        request,
        "gold.html",
        cards=cards,
        candidates=candidates,
        total=total,
        page=page,
        more=total > (page + 1) * PAGE,
        here="gold",
    )


@router.post("/gold/{comparison}")
def set_gold(request: Request, visitor: Owner, comparison: Number, answer: Text = "") -> Response:
    """Make a comparison gold with this answer, or gold no more with none."""
    if answer not in ("", "a", "b", "tie"):
        raise DataError(f"gold is a, b or tie, found {answer!r}")
    database = desk_of(request).study.database

    def work(db: Connection) -> None:
        c = s.comparison
        overlap = db.scalar(select(c.c.overlap).where(c.c.id == comparison))
        if overlap is None:
            raise HTTPException(404, "no such comparison")
        # Gold is asked by its own rate and holds no slots; what is gold no more has its own again.
        values: dict[str, Any] = {"gold": answer or None, "gold_since": time.time(), "slots": 0}
        if not answer:
            a = s.assignment
            taken = select(func.count()).where(
                a.c.comparison == comparison,
                a.c.kind == "vote",
                a.c.state.in_(("leased", "done")),
            )
            values |= {"gold_since": None, "slots": overlap - (db.scalar(taken) or 0)}
        db.execute(update(c).where(c.c.id == comparison).values(**values))
        verb = "make gold" if answer else "gold no more"
        audit(db, visitor.person.pseudonym, verb, comparison=comparison, answer=answer)

    database.transact(work)
    return _done("It is gold now." if answer else "It is no longer gold.")


# -------------------------------------------------------------------------------- export


@router.get("/export")
def export_page(request: Request, visitor: Owner) -> Response:
    desk = desk_of(request)
    overview = desk.watch.overview
    return desk.page(
        request, "export.html", overview=overview, models=("auto", *MODELS), here="export"
    )


@router.get("/export/{format}.zip")
def download(
    request: Request,
    visitor: Owner,
    format: Literal["pairs", "trl", "raw", "dataset"],
    probability: str = "auto",
    test_share: float = 0.0,
) -> Response:
    """An export as one file; read straight from the store, so as new as the click."""
    desk = desk_of(request)
    folder = Path(tempfile.mkdtemp(prefix="plaudit-export-"))
    try:
        config = ExportConfig(format=format, probability=probability, test_share=test_share)
        desk.study.export(folder / "export", config)
        archive = shutil.make_archive(str(folder / "export"), "zip", folder / "export")
        actor = visitor.person.pseudonym
        desk.study.database.transact(lambda db: audit(db, actor, "export", format=format))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    name = f"plaudit-{format}-{time.strftime('%Y-%m-%d')}.zip"
    return FileResponse(
        archive,
        filename=name,
        media_type="application/zip",
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )


# -------------------------------------------------------------------------------- set-up


@router.get("/setup")
def setup(request: Request, visitor: Owner) -> Response:
    desk = desk_of(request)
    _, guideline = desk.study.guideline()
    with desk.study.database.read() as db:
        lines = db.execute(select(s.audit).order_by(s.audit.c.id.desc()).limit(30)).mappings()
        audited = [dict(line) for line in lines]
        i = s.invitation
        still = select(i).where(i.c.uses > 0, i.c.expires_at > time.time()).order_by(i.c.id)
        links = [dict(link) for link in db.execute(still).mappings()]
    return desk.page(
        request,
        "setup.html",
        settings=asdict(desk.study.settings),
        guideline=guideline,
        roles=ROLES,
        audited=audited,
        links=links,
        here="setup",
    )


@router.post("/invite")
def new_link(
    request: Request,
    visitor: Owner,
    role: Text = "annotator",
    uses: Annotated[int, Form()] = 1,
    days: Annotated[float, Form(gt=0, le=90, allow_inf_nan=False)] = 7,
) -> Response:
    desk = desk_of(request)
    actor = visitor.person.pseudonym
    token = desk.study.database.transact(lambda db: invite(db, role, actor, uses, days * 86400))
    base = request.base_url.replace(scheme="https") if desk.config.https else request.base_url
    link = f"{str(base).rstrip('/')}/join/{token}"
    return desk.page(request, "link.html", link=link, role=role, uses=uses)


@router.post("/invitations/{number}/revoke")
def revoke(request: Request, visitor: Owner, number: Number) -> Response:
    """The link works no more."""
    i = s.invitation

    def work(db: Connection) -> None:
        db.execute(update(i).where(i.c.id == number).values(uses=0))
        audit(db, visitor.person.pseudonym, "revoke invitation", number=number)

    desk_of(request).study.database.transact(work)
    return _done("The link works no more.")


@router.post("/settings")
def change_settings(
    request: Request,
    visitor: Owner,
    name: Text,
    question: Text,
    mode: Text,
    overlap: Annotated[int, Form()],
    lease_minutes: Annotated[float, Form(gt=0, le=10_080, allow_inf_nan=False)],
    gold_rate: Annotated[float, Form(ge=0, le=50, allow_inf_nan=False)],
    retest_rate: Annotated[float, Form(ge=0, le=50, allow_inf_nan=False)],
    reasons: Text = "",
    license_prompts: Text = "",
    license_responses: Text = "",
    license_judgments: Text = "",
) -> Response:
    desk_of(request).study.change(
        visitor.person.pseudonym,
        name=name.strip()[:200],
        question=question.strip()[:500],
        mode=mode,
        overlap=overlap,
        lease_seconds=round(lease_minutes * 60),
        gold_rate=gold_rate / 100,
        retest_rate=retest_rate / 100,
        reasons=tuple(_lines(reasons)),
        license_prompts=license_prompts.strip()[:200],
        license_responses=license_responses.strip()[:200],
        license_judgments=license_judgments.strip()[:200],
    )
    return _done("Settings saved.")


def _lines(text: str) -> Sequence[str]:
    return [line.strip()[:60] for line in text.splitlines() if line.strip()][:20]


@router.post("/guideline")
def write_guideline(request: Request, visitor: Owner, markdown: Text) -> Response:
    version = desk_of(request).study.write_guideline(markdown, visitor.person.pseudonym)
    return _done(f"Version {version} is in force.")


@router.post("/add")
def add_file(
    request: Request,
    visitor: Owner,
    file: Annotated[UploadFile, File()],
    labels: Annotated[LabelUse, Form()] = "import",
    pairing: Annotated[Pairing, Form()] = "all",
    columns: Text = "",
    mask: Annotated[tuple[Mask, ...], Form()] = (),
) -> Response:
    """Add an uploaded file, in any format that `plaudit add` takes."""
    desk = desk_of(request)
    suffix = "".join(Path(file.filename or "data.jsonl").suffixes[-2:])
    config = AddConfig(
        labels=labels,
        pairing=pairing,
        columns=columns.strip() or None,
        mask=mask,
    )
    with tempfile.TemporaryDirectory(prefix="plaudit-add-") as folder:
        path = Path(folder) / f"upload{suffix}"
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target)
        try:
            added = desk.study.add(path, config, actor=visitor.person.pseudonym)
        except DataError as error:
            raise DataError(str(error).replace(str(path), file.filename or "the file")) from error
    desk.watch.wake()
    return desk.page(request, "added.html", added=added)
