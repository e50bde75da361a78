"""How far the study has come, what needs the owner first, and which model is better."""

from __future__ import annotations

from plaudit.study import people
from plaudit.study_app.pages.page import Values, Visit


def progress(visit: Visit) -> Values:
    overview = visit.state.updater.overview
    working = {
        person["id"]: person["pseudonym"]
        for person in people.people(visit.db)
        if person["stopped_at"] is None and person["excluded_at"] is None
    }
    flagged = [
        (working[facts.id], facts.flags)
        for facts in overview.annotators
        if facts.flags and facts.id in working
    ]
    return {"stopped": people.stopped(visit.db), "flagged": flagged}
