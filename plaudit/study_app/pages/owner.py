"""The owner's pages, one table of them by section.

A viewer sees progress and annotators without changing anything and without knowing who anyone is.
Whoever resolves a disagreement is as blind as an annotator.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter

from plaudit.study_app.pages import export, people, progress, review, settings, setup
from plaudit.study_app.pages.page import Page

router = APIRouter(prefix="/owner")
BOTH = ("owner", "viewer")


@dataclass(frozen=True)
class Section:
    """A part of the menu; its first page is where it opens."""

    title: str
    pages: tuple[Page, ...]


SECTIONS = (
    Section("Progress", (Page("progress", "Progress", "", progress.progress, BOTH),)),
    Section(
        "Review",
        (
            Page("comparisons", "Comparisons", "/comparisons", review.comparisons),
            Page("disagreements", "Disagreements", "/disagreements", review.disagreements),
            Page("problems", "Skipped and reported", "/problems", review.problems),
            Page("gold", "Gold", "/gold", review.gold),
        ),
    ),
    Section(
        "People",
        (
            Page("annotators", "Annotators", "/annotators", people.annotators, BOTH),
            Page("invitations", "Invitations", "/invitations", people.invitations),
        ),
    ),
    Section(
        "Set-up",
        (
            Page("setup", "Data", "/setup", setup.data),
            Page("settings", "Settings", "/settings", settings.settings),
            Page("guideline", "Guideline", "/guideline", setup.guideline),
            Page("audit", "Audit log", "/audit", people.audit),
        ),
    ),
    Section("Export", (Page("export", "Export", "/export", export.formats),)),
)
# The part of the progress page that renews itself.
_NUMBERS = Page("numbers", "", "/numbers", progress.progress, BOTH)

for _page in (*(page for section in SECTIONS for page in section.pages), _NUMBERS):
    router.add_api_route(_page.path, _page.endpoint(), methods=["GET"], response_model=None)
for _module in (export, people, review, settings, setup):
    router.include_router(_module.router)
