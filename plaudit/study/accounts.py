"""Who takes part: invitations, accounts, sessions, roles, and erasing an identity.

Secrets (link and session tokens) are stored as SHA-256 only, passwords as argon2. A pseudonym is
drawn, never taken from a name, and is all that judgments, exports and the audit know.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from plaudit.errors import DataError
from plaudit.study import schema as s

IMPORTED = "imported"
ROLES = ("owner", "annotator", "viewer")
SESSION_SECONDS = 14 * 24 * 3600
SHORTEST_PASSWORD = 10

# Adjectives and animals, an empty line between them.
_WORDS = (Path(__file__).parent / "pseudonyms.txt").read_text(encoding="utf-8").split("\n\n")
_ADJECTIVES, _ANIMALS = map(str.split, _WORDS)

_passwords = PasswordHasher()
_NOBODY = _passwords.hash("nobody")  # so that an unknown account takes as long as a known one


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks: a row of annotator."""

    id: int
    pseudonym: str
    role: str
    preferences: dict[str, Any]


def _hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def audit(db: Connection, actor: str, verb: str, **details: Any) -> None:
    """Add a line to the audit; names nobody but by pseudonym."""
    db.execute(insert(s.audit).values(actor=actor, verb=verb, details=details))


# --------------------------------------------------------------------------- invitations


def invite(
    db: Connection, role: str, actor: str, uses: int = 1, seconds: float = 7 * 24 * 3600
) -> str:
    """Make an invitation; returns the link's token, which is not kept.

    Raises DataError on an unknown role or a number of uses that is none.
    """
    if role not in ROLES:
        raise DataError(f"role {role!r} is not one of {', '.join(ROLES)}")
    if not 1 <= uses <= 1000:
        raise DataError(f"uses must lie in 1 to 1000, found {uses}")
    token = secrets.token_urlsafe(24)
    row = {"hash": _hashed(token), "role": role, "uses": uses, "expires_at": time.time() + seconds}
    db.execute(insert(s.invitation).values(**row))
    audit(db, actor, "invite", role=role, uses=uses)
    return token


def invitation(db: Connection, token: str) -> str | None:
    """The role that a link gives; None when it is unknown, used up or expired."""
    return db.scalar(select(s.invitation.c.role).where(*_usable(token)))


def _usable(token: str) -> tuple[Any, ...]:
    i = s.invitation.c
    return i.hash == _hashed(token), i.uses > 0, i.expires_at > time.time()


def join(
    db: Connection, token: str, name: str = "", email: str = "", password: str = ""
) -> tuple[Person, str]:
    """Use an invitation; returns the person and a session token.

    An e-mail address and a password make an account to sign in with later; without them the
    session ends where its cookie does. Raises DataError on a link, address or password that
    will not do.
    """
    email = email.strip().lower()
    if bool(email) != bool(password):
        raise DataError("an account needs both an e-mail address and a password")
    if email and ("@" not in email or len(email) > 254):
        raise DataError("that is not an e-mail address")
    if password and len(password) < SHORTEST_PASSWORD:
        raise DataError(f"a password has at least {SHORTEST_PASSWORD} characters")
    used = db.execute(
        update(s.invitation)
        .where(*_usable(token))
        .values(uses=s.invitation.c.uses - 1)
        .returning(s.invitation.c.role)
    ).one_or_none()
    if used is None:
        raise DataError("this link is used up or has expired; ask for a new one")
    # Asked only of who holds a good link: it tells whether an account exists.
    if email and db.scalar(select(s.identity.c.annotator).where(s.identity.c.email == email)):
        raise DataError("there is an account with this address: sign in instead")
    person = new_annotator(db, used.role)
    if name.strip() or email:
        db.execute(
            insert(s.identity).values(
                annotator=person.id,
                name=name.strip()[:200],
                email=email or None,
                password=_passwords.hash(password) if password else None,
            )
        )
    audit(db, person.pseudonym, "join", role=person.role)
    return person, _new_session(db, person.id)


def new_annotator(db: Connection, role: str, pseudonym: str | None = None) -> Person:
    """Add an annotator, under a drawn pseudonym where none is given."""
    name = pseudonym or _free_pseudonym(db)
    row = insert(s.annotator).values(pseudonym=name, role=role).returning(s.annotator.c.id)
    return Person(db.execute(row).scalar_one(), name, role, {})


def _free_pseudonym(db: Connection) -> str:
    for digits in (0, 2, 2, 4, 4, 8):
        name = f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_ANIMALS)}"
        if digits:
            name += f"-{secrets.randbelow(10**digits):0{digits}}"
        if not db.scalar(select(s.annotator.c.id).where(s.annotator.c.pseudonym == name)):
            return name
    return secrets.token_hex(16)


# ------------------------------------------------------------------------------ sessions


def _new_session(db: Connection, annotator: int) -> str:
    token = secrets.token_urlsafe(24)
    now = time.time()
    db.execute(delete(s.session).where(s.session.c.expires_at < now))
    row = {"hash": _hashed(token), "annotator": annotator, "expires_at": now + SESSION_SECONDS}
    db.execute(insert(s.session).values(**row))
    return token


def account(db: Connection, email: str) -> tuple[Person | None, str]:
    """The active person of an account and the password's hash, for `sign_in`."""
    row = db.execute(
        select(s.annotator, s.identity.c.password)
        .join(s.identity, s.identity.c.annotator == s.annotator.c.id)
        .where(s.identity.c.email == email.strip().lower(), s.annotator.c.active)
    ).one_or_none()
    if row is None or row.password is None:
        return None, _NOBODY
    return Person(row.id, row.pseudonym, row.role, row.preferences), row.password


def has_account(db: Connection, person: Person) -> bool:
    """Whether the person can sign in again, from anywhere."""
    identity = s.identity
    found = select(identity.c.password).where(identity.c.annotator == person.id)
    return db.scalar(found) is not None


def right_password(hashed: str, password: str) -> bool:
    """Whether the password is that one; takes long on purpose, so call it in no transaction."""
    try:
        return _passwords.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def sign_in(db: Connection, person: Person) -> str:
    """A session token for a person whose password was right."""
    audit(db, person.pseudonym, "sign in")
    return _new_session(db, person.id)


def sign_out(db: Connection, token: str) -> None:
    db.execute(delete(s.session).where(s.session.c.hash == _hashed(token)))


_PERSON = (
    select(s.annotator)
    .join(s.session, s.session.c.annotator == s.annotator.c.id)
    .where(
        s.session.c.hash == bindparam("token_hash"),
        s.session.c.expires_at > bindparam("now"),
        s.annotator.c.active,
    )
)


def person_of(db: Connection, token: str) -> Person | None:
    """The person of a session; None when it has ended or the person was deactivated."""
    values = {"token_hash": _hashed(token), "now": time.time()}
    row = db.execute(_PERSON, values).one_or_none()
    return Person(row.id, row.pseudonym, row.role, row.preferences) if row else None


# -------------------------------------------------------------------------------- owners


def lock_owners(db: Connection) -> None:
    """One decision about owners at a time: two of them must not remove each other."""
    a = s.annotator.c
    db.execute(select(a.id).where(a.role == "owner").order_by(a.id).with_for_update())


def owners(db: Connection) -> int:
    """How many active owners can come in: by a password, or by a session that lasts."""
    a = s.annotator
    account = select(s.identity.c.annotator).where(
        s.identity.c.annotator == a.c.id, s.identity.c.password.is_not(None)
    )
    session = select(s.session.c.hash).where(
        s.session.c.annotator == a.c.id, s.session.c.expires_at > time.time()
    )
    of = select(func.count()).where(
        a.c.role == "owner", a.c.active, or_(account.exists(), session.exists())
    )
    return db.scalar(of) or 0


def set_active(db: Connection, annotator: int, active: bool, actor: str) -> None:
    """Deactivate a person, or reactivate them; their judgments stay.

    Raises DataError on an unknown person, or when no owner would be left.
    """
    lock_owners(db)
    name = _pseudonym(db, annotator)
    db.execute(update(s.annotator).where(s.annotator.c.id == annotator).values(active=active))
    if not active:
        if not owners(db):
            raise DataError("the last owner cannot be deactivated")
        db.execute(delete(s.session).where(s.session.c.annotator == annotator))
        a = s.assignment  # what they hold goes to others now
        held = update(a).where(a.c.annotator == annotator, a.c.state == "leased")
        db.execute(held.values(leased_until=0.0))
    audit(db, actor, "reactivate" if active else "deactivate", annotator=name)


def erase(db: Connection, annotator: int, actor: str) -> None:
    """Forget who a person is: name, address, password and sessions. Judgments stay.

    Raises DataError on an unknown person.
    """
    name = _pseudonym(db, annotator)
    db.execute(delete(s.identity).where(s.identity.c.annotator == annotator))
    db.execute(delete(s.session).where(s.session.c.annotator == annotator))
    audit(db, actor, "erase identity", annotator=name)


def _pseudonym(db: Connection, annotator: int) -> str:
    name = db.scalar(select(s.annotator.c.pseudonym).where(s.annotator.c.id == annotator))
    if name is None or name == IMPORTED:
        raise DataError(f"no annotator {annotator}")
    return str(name)
