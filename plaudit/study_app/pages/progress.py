"""How far the study has come, what needs the owner first, and which model is better."""

from __future__ import annotations

from plaudit.study import people
from plaudit.study_app.pages.page import Values, Visit


def progress(visit: Visit) -> Values:
    overview = visit.state.updater.overview
    names = {person["id"]: person for person in people.people(visit.db)}
    flagged = [
        (names[facts.id]["pseudonym"], facts.flags)
        for facts in overview.annotators
        if facts.flags and facts.id in names and names[facts.id]["stopped_at"] is None
    ]
    return {"stopped": people.stopped(visit.db), "flagged": flagged}
