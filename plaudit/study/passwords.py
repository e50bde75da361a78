"""Passwords: what one must be, its argon2 hash, and whether one is right.

Hashing takes long on purpose. Call it in no transaction, which others wait for.
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from plaudit.errors import DataError

SHORTEST, LONGEST = 10, 1000
# The least that OWASP's Password Storage Cheat Sheet recommends for Argon2id.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
NOBODY = _hasher.hash("nobody")  # so that an unknown account takes as long as a known one


def check_account(email: str, password: str) -> str:
    """The address as it is stored. Raises DataError on an address or password that will not do."""
    email = email.strip().lower()
    if bool(email) != bool(password):
        raise DataError("an account needs both an e-mail address and a password")
    name, at, domain = email.rpartition("@")
    if not (name and at and domain) or len(email) > 254 or not email.isprintable() or " " in email:
        raise DataError("that is not an e-mail address")
    check_password(password)
    return email


def check_password(password: str) -> None:
    """Raises DataError on a password too short or too long."""
    if len(password) < SHORTEST:
        raise DataError(f"a password has at least {SHORTEST} characters")
    if len(password) > LONGEST:
        raise DataError(f"a password has at most {LONGEST:,} characters")


def hash_password(password: str) -> str:
    """The hash to store."""
    return _hasher.hash(password)


def right_password(hashed: str, password: str) -> bool:
    """Whether the password is that one."""
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def outdated(hashed: str) -> bool:
    """Whether the hash was made at another cost than today's."""
    return _hasher.check_needs_rehash(hashed)
