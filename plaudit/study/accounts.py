"""Who takes part: invitations, ways back in, accounts and sessions.

Secrets (tokens of links, sessions and browsers) are stored as SHA-256 only, passwords as argon2.
A pseudonym is drawn, never taken from a name, and is all that judgments, exports and the audit
know.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    exists,
    insert,
    select,
    update,
)

from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.passwords import NOBODY

IMPORTED = "imported"
ROLES = ("owner", "annotator", "viewer")
SESSION_SECONDS = 14 * 24 * 3600
RENEW_AFTER = 24 * 3600  # a session that is used begins anew, at most once in so long
LINK_SECONDS = 7 * 24 * 3600
USED_UP = "this link is used up or has expired; ask for a new one"

# Adjectives and animals, an empty line between them.
_WORDS = (Path(__file__).parent / "pseudonyms.txt").read_text(encoding="utf-8").split("\n\n")
_ADJECTIVES, _ANIMALS = map(str.split, _WORDS)


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks: a row of annotator."""

    id: int
    pseudonym: str
    role: str
    preferences: dict[str, Any]
    device: str | None = None  # hash of the token of the browser they joined in


def person_in(row: Any) -> Person:
    """The person that a row of annotator is."""
    return Person(row.id, row.pseudonym, row.role, row.preferences, row.device)


def hashed(token: str) -> str:
    """What is stored of a token."""
    return sha256(token.encode()).hexdigest()


def audit(db: Connection, actor: str, verb: str, **details: Any) -> None:
    """Add a line to the audit; names nobody but by pseudonym."""
    db.execute(insert(s.audit).values(actor=actor, verb=verb, details=details))


# ----------------------------------------------------------------------------------- links


def invite(
    db: Connection,
    role: str,
    actor: str,
    uses: int = 1,
    seconds: float = LINK_SECONDS,
    *,
    needs_account: bool = False,
    platform: str | None = None,
) -> str:
    """Make an invitation; returns the link's token, which is not kept.

    Args:
        needs_account: whoever joins must make an account, so that one person joins once.
        platform: the query parameter in which a platform gives its ID of a person, such as
            PROLIFIC_PID; who comes with the same ID is the same annotator.

    Raises DataError on an unknown role, a number of uses that is none, or a parameter's name
    that is none.
    """
    if role not in ROLES:
        raise DataError(f"role {role!r} is not one of {', '.join(ROLES)}")
    if not 1 <= uses <= 1000:
        raise DataError(f"uses must lie in 1 to 1000, found {uses}")
    if platform is not None and not (platform.isascii() and platform.isidentifier()):
        raise DataError(
            f"a platform's parameter is a name such as PROLIFIC_PID, found {platform!r:.60}"
        )
    if platform is not None and role != "annotator":
        raise DataError(f"a platform sends annotators only, found the role {role!r}")
    token = secrets.token_urlsafe(24)
    row = {
        "hash": hashed(token),
        "role": role,
        "uses": uses,
        "expires_at": time.time() + seconds,
        "needs_account": needs_account,
        "platform": platform,
    }
    db.execute(insert(s.invitation).values(**row))
    special = {"needs_account": True} if needs_account else {}
    audit(db, actor, "invite", role=role, uses=uses, **special, **_given(platform=platform))
    return token


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def return_link(db: Connection, annotator: int, actor: str) -> str:
    """A link, used once, by which a person comes back; with an account they set a new password.

    Raises DataError on an unknown or deactivated person.
    """
    person = _known(db, annotator)
    token = secrets.token_urlsafe(24)
    row = {"hash": hashed(token), "role": person.role, "uses": 1, "annotator": annotator}
    db.execute(insert(s.invitation).values(**row, expires_at=time.time() + LINK_SECONDS))
    audit(db, actor, "issue return link", annotator=person.pseudonym)
    return token


def _known(db: Connection, annotator: int) -> Person:
    row = db.execute(select(s.annotator).where(s.annotator.c.id == annotator)).one_or_none()
    if row is None or row.pseudonym == IMPORTED or row.role == IMPORTED:
        raise DataError(f"no annotator {annotator}")
    if not row.active:
        raise DataError(f"{row.pseudonym} is deactivated; reactivate them first")
    return person_in(row)


@dataclass(frozen=True, slots=True)
class Link:
    """What a link leads to: joining as somebody new, or the way back in for `person`."""

    role: str
    person: Person | None = None
    number: int | None = None  # of the invitation; None for a person's own return link
    needs_account: bool = False
    platform: str | None = None
    external_id: str = ""  # what the platform says who comes


def find_link(db: Connection, token: str, sent: Mapping[str, str] | None = None) -> Link | None:
    """What a link's token is good for; None when it is unknown, used up or expired.

    Args:
        sent: the parameters that the link was opened with, among them a platform's ID of the
            person; who came with it before comes back, even by a link that is used up for others.

    Raises DataError where the person it brings back was deactivated.
    """
    a, i = s.annotator.c, s.invitation.c
    own = db.execute(select(s.annotator).where(a.return_hash == hashed(token), a.active))
    if row := own.one_or_none():
        return Link(row.role, person_in(row))
    link = db.execute(select(s.invitation).where(i.hash == hashed(token))).one_or_none()
    if link is None or link.expires_at <= time.time():
        return None
    external_id = _external_id(link.platform, sent or {})
    person = _sent_back(db, link, external_id)
    if person is None and (link.uses < 1 or link.annotator is not None):
        return None
    return Link(link.role, person, link.id, link.needs_account, link.platform, external_id)


def _external_id(platform: str | None, sent: Mapping[str, str]) -> str:
    """The platform's ID; empty without one, or where its place was left unfilled: {{%ID%}}."""
    value = sent.get(platform or "", "").strip()
    return value if re.fullmatch(r"[\w.@:+-]{1,200}", value) else ""


def _sent_back(db: Connection, link: Any, external_id: str) -> Person | None:
    """The active person that an invitation brings back. Raises DataError on a deactivated one."""
    a, who = s.annotator.c, s.identity.c
    if link.annotator is not None and link.uses > 0:
        query = select(s.annotator).where(a.id == link.annotator, a.active)
    elif link.platform and external_id:
        query = (
            select(s.annotator)
            .join(s.identity, who.annotator == a.id)
            .where(who.platform == link.platform, who.external_id == external_id)
        )
    else:
        return None
    row = db.execute(query).one_or_none()
    if row is not None and not row.active:
        raise DataError(f"{row.pseudonym} was deactivated by the study's owner; ask them")
    return person_in(row) if row else None


@dataclass(frozen=True, kw_only=True)
class Newcomer:
    """What somebody says who joins; `password` is its hash, `device` and `code` are tokens."""

    name: str = ""
    email: str = ""
    password: str | None = None
    device: str | None = None
    external_id: str = ""
    consented: bool = False
    code: str | None = None  # of the personal return link


def join(db: Connection, token: str, new: Newcomer | None = None) -> tuple[Person, str]:
    """Use an invitation as somebody new; returns the person and a session token.

    Raises DataError on a link that will not do, an address that has an account, and in the
    browser of somebody who was deactivated or taken out.
    """
    new = new or Newcomer()
    i = s.invitation.c
    usable = (i.hash == hashed(token), i.uses > 0, i.expires_at > time.time())
    used = db.execute(
        update(s.invitation)
        .where(*usable, i.annotator.is_(None))
        .values(uses=i.uses - 1)
        .returning(i.role, i.needs_account, i.platform)
    ).one_or_none()
    if used is None:
        raise DataError(USED_UP)
    if used.needs_account and not new.password:
        raise DataError("this link asks for an account: an e-mail address and a password")
    if used.platform and not new.external_id:
        raise DataError(f"this link needs the {used.platform} that its platform adds to it")
    before = _of_browser(db, new.device)
    if out := [row.pseudonym for row in before if not row.active or row.excluded_at]:
        raise DataError(f"{out[0]} of this browser no longer takes part; ask the study's owner")
    # Asked only of who holds a good link: it tells whether an account exists.
    if new.email and db.scalar(select(exists().where(s.identity.c.email == new.email))):
        raise DataError(TAKEN)
    person = new_annotator(db, used.role, new=new)
    if new.name.strip() or new.email or used.platform:
        row: dict[str, Any] = {"name": new.name.strip()[:200], "email": new.email or None}
        if used.platform:
            row |= {"platform": used.platform, "external_id": new.external_id}
        row |= {"annotator": person.id, "password": new.password}
        db.execute(insert(s.identity).values(**row))
    same = [row.pseudonym for row in before]
    audit(db, person.pseudonym, "join", role=person.role, **_given(same_browser_as=same))
    return person, new_session(db, person.id)


TAKEN = "no account can be made with this address and password: sign in, or take another address"


def come_back(
    db: Connection, token: str, sent: Mapping[str, str] | None = None, password: str | None = None
) -> tuple[Person, str, str | None]:
    """Use a link as the person it brings back; returns them, a session token and a new code.

    Args:
        password: the hash of the new one, of who has an account and comes by an owner's link.

    Raises DataError on a link that brings nobody back, or without the password.
    """
    link = find_link(db, token, sent)
    if link is None or link.person is None:
        raise DataError(USED_UP)
    person, code = link.person, None
    if link.number is not None and link.platform is None:
        i = s.invitation.c
        once = update(s.invitation).where(i.id == link.number, i.uses > 0).values(uses=0)
        if not db.execute(once).rowcount:  # used by another request at this moment
            raise DataError(USED_UP)
        if has_account(db, person):
            if not password:
                raise DataError("choose a new password")
            set_password(db, person, password)
        else:
            code = renew_code(db, person)
        # Whoever needed the owner's help has lost the old way in, and somebody may have found it.
        end_sessions(db, person)
    audit(db, person.pseudonym, "come back", **_given(new_password=bool(password)))
    return person, new_session(db, person.id), code


def people_of_browser(db: Connection, device: str | None) -> list[str]:
    """Pseudonyms of who joined in the browser with this token, the first one first."""
    return [row.pseudonym for row in _of_browser(db, device)]


def _of_browser(db: Connection, device: str | None) -> list[Any]:
    if device is None:
        return []
    a = s.annotator.c
    return [*db.execute(select(s.annotator).where(a.device == hashed(device)).order_by(a.id))]


def renew_code(db: Connection, person: Person) -> str:
    """The code of the person's own return link from now on; the one before works no more."""
    code = secrets.token_urlsafe(24)
    mine = s.annotator.c.id == person.id
    db.execute(update(s.annotator).where(mine).values(return_hash=hashed(code)))
    return code


def code_owner(db: Connection, code: str) -> int | None:
    """Whose return link this is the code of."""
    a = s.annotator.c
    return db.scalar(select(a.id).where(a.return_hash == hashed(code)))


def consent(db: Connection, person: Person) -> None:
    """Note that the person has agreed to what the study asks them to agree to."""
    mine = s.annotator.c.id == person.id
    db.execute(update(s.annotator).where(mine).values(consented_at=time.time()))


def has_consented(db: Connection, person: Person) -> bool:
    mine = s.annotator.c.id == person.id
    return db.scalar(select(s.annotator.c.consented_at).where(mine)) is not None


# ---------------------------------------------------------------------------------- people


def new_annotator(
    db: Connection, role: str, pseudonym: str | None = None, new: Newcomer | None = None
) -> Person:
    """Add an annotator, under a drawn pseudonym where none is given."""
    name, new = pseudonym or _free_pseudonym(db), new or Newcomer()
    device = hashed(new.device) if new.device else None
    row = {
        "pseudonym": name,
        "role": role,
        "device": device,
        "return_hash": hashed(new.code) if new.code else None,
        "consented_at": time.time() if new.consented else None,
    }
    done = db.execute(insert(s.annotator).values(**row).returning(s.annotator.c.id))
    return Person(done.scalar_one(), name, role, {}, device)


def _free_pseudonym(db: Connection) -> str:
    for digits in (0, 2, 2, 4, 4, 8):
        name = f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_ANIMALS)}"
        if digits:
            name += f"-{secrets.randbelow(10**digits):0{digits}}"
        if not db.scalar(select(s.annotator.c.id).where(s.annotator.c.pseudonym == name)):
            return name
    return secrets.token_hex(16)


# ------------------------------------------------------------------------------ sessions


def new_session(db: Connection, annotator: int) -> str:
    """A session's token; sessions that are over go."""
    token = secrets.token_urlsafe(24)
    now = time.time()
    db.execute(delete(s.session).where(s.session.c.expires_at < now))
    row = {"hash": hashed(token), "annotator": annotator, "expires_at": now + SESSION_SECONDS}
    db.execute(insert(s.session).values(**row))
    return token


_SESSION = (
    select(s.annotator, s.session.c.expires_at)
    .join(s.session, s.session.c.annotator == s.annotator.c.id)
    .where(
        s.session.c.hash == bindparam("token_hash"),
        s.session.c.expires_at > bindparam("now"),
        s.annotator.c.active,
    )
)


def person_of(db: Connection, token: str) -> Person | None:
    """The person of a session; None when it has ended or the person was deactivated."""
    found = session_of(db, token)
    return found[0] if found else None


def session_of(db: Connection, token: str) -> tuple[Person, bool] | None:
    """The person of a session, and whether it is time for `renew_session`."""
    now = time.time()
    row = db.execute(_SESSION, {"token_hash": hashed(token), "now": now}).one_or_none()
    if row is None:
        return None
    return person_in(row), row.expires_at < now + SESSION_SECONDS - RENEW_AFTER


def renew_session(db: Connection, token: str) -> None:
    """Let a session that is used last as long as a new one."""
    now, c = time.time(), s.session.c
    mine = update(s.session).where(c.hash == hashed(token), c.expires_at > now)
    db.execute(mine.values(expires_at=now + SESSION_SECONDS))


def sign_in(db: Connection, person: Person) -> str:
    """A session token for a person whose password was right."""
    audit(db, person.pseudonym, "sign in")
    return new_session(db, person.id)


def sign_out(db: Connection, token: str) -> None:
    db.execute(delete(s.session).where(s.session.c.hash == hashed(token)))


def end_sessions(db: Connection, person: Person, but: str = "") -> int:
    """End the person's sessions everywhere, but for the one of this token; how many."""
    c = s.session.c
    ended = delete(s.session).where(c.annotator == person.id, c.hash != hashed(but))
    return int(db.execute(ended).rowcount)


# ------------------------------------------------------------------------------- accounts


def account(db: Connection, email: str) -> tuple[Person | None, str]:
    """The active person of an account and the password's hash, for `sign_in`."""
    row = db.execute(
        select(s.annotator, s.identity.c.password)
        .join(s.identity, s.identity.c.annotator == s.annotator.c.id)
        .where(s.identity.c.email == email.strip().lower(), s.annotator.c.active)
    ).one_or_none()
    if row is None or row.password is None:
        return None, NOBODY
    return person_in(row), row.password


def has_account(db: Connection, person: Person) -> bool:
    """Whether the person can sign in again, from anywhere."""
    return password_of(db, person) is not None


def password_of(db: Connection, person: Person) -> str | None:
    """The hash of the person's password."""
    identity = s.identity.c
    return db.scalar(select(identity.password).where(identity.annotator == person.id))


def set_password(db: Connection, person: Person, password: str) -> None:
    """Store a password's hash for a person who has an account."""
    mine = s.identity.c.annotator == person.id
    db.execute(update(s.identity).where(mine).values(password=password))


def make_account(db: Connection, person: Person, email: str, password: str) -> None:
    """Give a person who came by a link an account. Raises DataError where they or another have it.

    Args:
        email: as `passwords.check_account` gives it.
        password: its hash.
    """
    identity = s.identity.c
    if has_account(db, person):
        raise DataError("you have an account already")
    if db.scalar(select(exists().where(identity.email == email))):
        raise DataError(TAKEN)
    mine, values = identity.annotator == person.id, {"email": email, "password": password}
    if not db.execute(update(s.identity).where(mine).values(**values)).rowcount:
        db.execute(insert(s.identity).values(annotator=person.id, name="", **values))
    audit(db, person.pseudonym, "make account")
