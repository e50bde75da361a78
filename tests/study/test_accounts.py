"""Invitations, accounts, sessions, roles, erasure."""

import time

import pytest
from sqlalchemy import select, update

from plaudit.errors import DataError
from plaudit.study import schema
from plaudit.study.accounts import (
    account,
    erase,
    invitation,
    invite,
    join,
    owners,
    person_of,
    right_password,
    set_active,
    sign_in,
    sign_out,
)
from tests.study.conftest import fill, judge, person

PASSWORD = "correct horse battery"


def everything(study):
    """All that is stored, as text."""
    with study.database.read() as db:
        return repr([db.execute(select(table)).all() for table in schema.metadata.sorted_tables])


def test_a_link_works_as_often_as_it_says_and_is_stored_hashed(study):
    token = study.database.transact(lambda db: invite(db, "annotator", "test", uses=2))
    assert token not in everything(study)
    for _ in range(2):
        study.database.transact(lambda db: join(db, token))
    with pytest.raises(DataError, match="used up or has expired"):
        study.database.transact(lambda db: join(db, token))
    with study.database.read() as db:
        assert invitation(db, token) is None


def test_a_link_expires(study):
    token = study.database.transact(lambda db: invite(db, "viewer", "test", seconds=-1))
    with pytest.raises(DataError, match="expired"):
        study.database.transact(lambda db: join(db, token))


def test_an_account_signs_in_and_its_password_is_argon2(study):
    token = study.database.transact(lambda db: invite(db, "owner", "test"))
    me, session = study.database.transact(
        lambda db: join(db, token, "Jo", "Jo@Example.com ", PASSWORD)
    )
    stored = everything(study)
    assert PASSWORD not in stored
    assert session not in stored
    assert "$argon2id$" in stored
    with study.database.read() as db:
        found, hashed = account(db, "jo@example.com")
        nobody, other = account(db, "nobody@example.com")
    assert found == me
    assert right_password(hashed, PASSWORD)
    assert not right_password(hashed, "wrong")
    assert nobody is None
    assert not right_password(other, PASSWORD)


@pytest.mark.parametrize(
    ("email", "password", "message"),
    [
        ("jo@example.com", "", "both an e-mail address and a password"),
        ("nonsense", PASSWORD, "not an e-mail address"),
        ("jo@example.com", "short", "at least 10 characters"),
    ],
)
def test_accounts_that_will_not_do(study, email, password, message):
    token = study.database.transact(lambda db: invite(db, "annotator", "test"))
    with pytest.raises(DataError, match=message):
        study.database.transact(lambda db: join(db, token, "Jo", email, password))
    with study.database.read() as db:  # the link is not used up by it
        assert invitation(db, token) == "annotator"


def test_sessions_end(study):
    me = person(study)
    session = study.database.transact(lambda db: sign_in(db, me))
    with study.database.read() as db:
        assert person_of(db, session) == me
        assert person_of(db, "forged") is None
    study.database.transact(lambda db: sign_out(db, session))
    with study.database.read() as db:
        assert person_of(db, session) is None
    session = study.database.transact(lambda db: sign_in(db, me))
    late = update(schema.session).values(expires_at=time.time() - 1)
    study.database.transact(lambda db: db.execute(late))
    with study.database.read() as db:
        assert person_of(db, session) is None


def test_a_barred_person_is_out_and_their_judgments_stay(study):
    fill(study, 1)
    owner, me = person(study, "owner"), person(study)
    session = study.database.transact(lambda db: sign_in(db, me))
    judge(study, me)
    study.database.transact(lambda db: set_active(db, me.id, False, owner.pseudonym))
    with study.database.read() as db:
        assert person_of(db, session) is None
    assert len(list(study.judgments())) == 1
    with pytest.raises(DataError, match="last owner"):
        study.database.transact(lambda db: set_active(db, owner.id, False, owner.pseudonym))
    with study.database.read() as db:
        assert owners(db) == 1


def test_erasing_an_identity_keeps_the_judgments(study):
    fill(study, 1)
    token = study.database.transact(lambda db: invite(db, "annotator", "test"))
    me, session = study.database.transact(
        lambda db: join(db, token, "Jo Doe", "jo@example.com", PASSWORD)
    )
    judge(study, me)
    study.database.transact(lambda db: erase(db, me.id, "owner"))
    stored = everything(study)
    assert "Jo Doe" not in stored
    assert "jo@example" not in stored
    assert [j.annotator for j in study.judgments()] == [me.pseudonym]
    with study.database.read() as db:
        assert person_of(db, session) is None
    with pytest.raises(DataError, match="no annotator 12345"):
        study.database.transact(lambda db: erase(db, 12345, "owner"))


def test_the_audit_names_pseudonyms_only(study):
    token = study.database.transact(lambda db: invite(db, "annotator", "test"))
    study.database.transact(lambda db: join(db, token, "Jo Doe", "jo@example.com", PASSWORD))
    with study.database.read() as db:
        lines = repr(db.execute(select(schema.audit)).all())
    assert "Jo Doe" not in lines
    assert "jo@example" not in lines
