"""Links, accounts, sessions, roles, erasure."""

import threading
import time

import pytest
from sqlalchemy import func, select, update

from plaudit.errors import DataError
from plaudit.study import Study, schema
from plaudit.study.accounts import (
    SESSION_SECONDS,
    Newcomer,
    account,
    code_owner,
    come_back,
    end_sessions,
    find_link,
    invite,
    join,
    make_account,
    people_of_browser,
    person_of,
    renew_code,
    renew_session,
    return_link,
    session_of,
    sign_in,
    sign_out,
)
from plaudit.study.owners import erase, first_owner, owners, set_active, unlocked_owners
from plaudit.study.passwords import check_account, hash_password, outdated, right_password
from tests.study.conftest import fill, judge, person

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
JO = Newcomer(name="Jo Doe", email="jo@example.com", password=HASH)


def everything(study):
    """All that is stored, as text."""
    with study.database.read() as db:
        return repr([db.execute(select(table)).all() for table in schema.metadata.sorted_tables])


def do(study, work, *arguments, **details):
    return study.database.transact(lambda db: work(db, *arguments, **details))


# ----------------------------------------------------------------------------------- links


def test_a_link_works_as_often_as_it_says_and_is_stored_hashed(study):
    token = do(study, invite, "annotator", "test", uses=2)
    assert token not in everything(study)
    for _ in range(2):
        do(study, join, token)
    with pytest.raises(DataError, match="used up or has expired"):
        do(study, join, token)
    assert do(study, find_link, token) is None


def test_a_link_expires(study):
    token = do(study, invite, "viewer", "test", seconds=-1)
    with pytest.raises(DataError, match="expired"):
        do(study, join, token)


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({"uses": 0}, "uses must lie in 1 to 1000"),
        ({"platform": "a b"}, "a platform's parameter is a name such as PROLIFIC_PID"),
        (
            {"platform": "PID", "role": "owner"},
            "a platform sends annotators only, found the role 'owner'",
        ),
        ({"role": "god"}, "role 'god' is not one of owner"),
    ],
)
def test_links_that_will_not_do(study, details, message):
    with pytest.raises(DataError, match=message):
        do(study, invite, **{"role": "annotator", "actor": "test", **details})


def test_a_link_can_ask_for_an_account(study):
    token = do(study, invite, "annotator", "test", uses=5, needs_account=True)
    with pytest.raises(DataError, match="asks for an account"):
        do(study, join, token)
    me, _ = do(study, join, token, JO)
    with pytest.raises(DataError, match="sign in, or take another address"):
        do(study, join, token, JO)
    with study.database.read() as db:
        assert account(db, "jo@example.com")[0] == me


def test_the_same_id_of_a_platform_is_the_same_annotator(study):
    token = do(study, invite, "annotator", "test", uses=1, platform="PROLIFIC_PID")
    sent = {"PROLIFIC_PID": "5f3c", "STUDY_ID": "x"}
    assert do(study, find_link, token, sent).person is None
    me, _ = do(study, join, token, Newcomer(external_id="5f3c"))
    # The link is used up, for others.
    link = do(study, find_link, token, sent)
    assert (link.person, link.external_id) == (me, "5f3c")
    assert do(study, come_back, token, sent)[0] == me
    assert do(study, find_link, token, {"PROLIFIC_PID": "other"}) is None
    with study.database.read() as db:
        assert db.scalar(select(func.count()).select_from(schema.annotator)) == 1
    assert "5f3c" not in repr(audited(study))


@pytest.mark.parametrize("value", ["", " ", "{{%PROLIFIC_PID%}}", "<b>", "a" * 201, "a\0b", "a b"])
def test_what_is_no_id_of_a_platform_is_none(study, value):
    token = do(study, invite, "annotator", "test", platform="PROLIFIC_PID")
    assert do(study, find_link, token, {"PROLIFIC_PID": value}).external_id == ""
    with pytest.raises(DataError, match="needs the PROLIFIC_PID"):
        do(study, join, token, Newcomer(external_id=""))


def test_a_personal_return_link_works_until_it_is_renewed(study):
    token = do(study, invite, "annotator", "test")
    me, _ = do(study, join, token, Newcomer(code="my own code"))
    assert "my own code" not in everything(study)
    for _ in range(3):
        again, session, _ = do(study, come_back, "my own code")
        assert again == me
        assert do(study, person_of, session) == me
    new = do(study, renew_code, me)
    assert do(study, find_link, "my own code") is None
    assert do(study, code_owner, new) == me.id
    do(study, set_active, me.id, False, "owner")
    assert do(study, find_link, new) is None


def test_an_owner_issues_a_way_back_that_works_once(study):
    me, old = do(study, join, do(study, invite, "annotator", "test"), Newcomer(code="lost code"))
    token = do(study, return_link, me.id, "calm-owner")
    assert token not in everything(study)
    with pytest.raises(DataError, match="used up"):
        do(study, join, token)  # nobody else can join by it
    again, session, code = do(study, come_back, token)
    assert again == me
    assert do(study, find_link, "lost code") is None
    assert do(study, find_link, code).person == me
    assert do(study, person_of, old) is None  # the lost browser is signed out
    assert do(study, person_of, session) == me
    with pytest.raises(DataError, match="used up"):
        do(study, come_back, token)


def test_an_owner_resets_a_password(study):
    me, old = do(study, join, do(study, invite, "annotator", "test"), JO)
    token = do(study, return_link, me.id, "calm-owner")
    with pytest.raises(DataError, match="choose a new password"):
        do(study, come_back, token)
    new = hash_password("another good password")
    do(study, come_back, token, password=new)
    with study.database.read() as db:
        found, stored = account(db, "jo@example.com")
        assert person_of(db, old) is None
    assert found == me
    assert right_password(stored, "another good password")
    assert not right_password(stored, PASSWORD)


def test_no_way_back_for_who_was_deactivated_or_never_was(study):
    me = person(study)
    do(study, set_active, me.id, False, "owner")
    with pytest.raises(DataError, match="reactivate them first"):
        do(study, return_link, me.id, "owner")
    with pytest.raises(DataError, match="no annotator 999"):
        do(study, return_link, 999, "owner")


def test_a_second_identity_of_one_browser_is_noticed(study):
    token = do(study, invite, "annotator", "test", uses=5)
    one, _ = do(study, join, token, Newcomer(device="browser 1"))
    two, _ = do(study, join, token, Newcomer(device="browser 1"))
    other, _ = do(study, join, token, Newcomer(device="browser 2"))
    assert one.device == two.device != other.device
    assert do(study, people_of_browser, "browser 1") == [one.pseudonym, two.pseudonym]
    assert do(study, people_of_browser, None) == []
    assert "browser 1" not in everything(study)
    assert {"role": "annotator", "same_browser_as": [one.pseudonym]} in [
        d for _, d in audited(study)
    ]


@pytest.mark.parametrize("change", [{"active": False}, {"excluded_at": 1.0}])
def test_who_was_put_out_does_not_come_back_as_another(study, change):
    token = do(study, invite, "annotator", "test", uses=5)
    me, _ = do(study, join, token, Newcomer(device="browser"))
    mine = schema.annotator.c.id == me.id
    study.database.transact(
        lambda db: db.execute(update(schema.annotator).where(mine).values(change))
    )
    with pytest.raises(DataError, match=f"{me.pseudonym} of this browser no longer takes part"):
        do(study, join, token, Newcomer(device="browser"))
    with study.database.read() as db:
        assert db.scalar(select(schema.invitation.c.uses)) == 4


# --------------------------------------------------------------------- accounts, sessions


def test_an_account_signs_in_and_its_password_is_argon2(study):
    me, session = do(study, join, do(study, invite, "owner", "test"), JO)
    stored = everything(study)
    assert PASSWORD not in stored
    assert session not in stored
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in stored
    with study.database.read() as db:
        found, hashed = account(db, "jo@example.com")
        nobody, other = account(db, "nobody@example.com")
    assert found == me
    assert right_password(hashed, PASSWORD)
    assert not outdated(hashed)
    assert not right_password(hashed, "wrong")
    assert nobody is None
    assert not right_password(other, PASSWORD)


@pytest.mark.parametrize(
    ("email", "password", "message"),
    [
        ("jo@example.com", "", "both an e-mail address and a password"),
        ("nonsense", PASSWORD, "not an e-mail address"),
        ("@example.com", PASSWORD, "not an e-mail address"),
        ("jo\0@example.com", PASSWORD, "not an e-mail address"),
        ("jo@example.com", "short", "at least 10 characters"),
        ("jo@example.com", "x" * 1001, "at most 1,000 characters"),
    ],
)
def test_accounts_that_will_not_do(email, password, message):
    with pytest.raises(DataError, match=message):
        check_account(email, password)
    assert check_account(" Jo@Example.com ", PASSWORD) == "jo@example.com"


def test_who_came_by_a_link_can_make_an_account(study):
    me = person(study)
    do(study, make_account, me, "jo@example.com", HASH)
    with study.database.read() as db:
        assert account(db, "jo@example.com")[0] == me
    with pytest.raises(DataError, match="you have an account already"):
        do(study, make_account, me, "two@example.com", HASH)
    with pytest.raises(DataError, match="take another address"):
        do(study, make_account, person(study), "jo@example.com", HASH)


def test_sessions_end(study):
    me = person(study)
    session = do(study, sign_in, me)
    assert do(study, person_of, session) == me
    assert do(study, person_of, "forged") is None
    do(study, sign_out, session)
    assert do(study, person_of, session) is None
    session, other = do(study, sign_in, me), do(study, sign_in, me)
    assert do(study, end_sessions, me, but=session) == 2  # the other one, and that of joining
    assert do(study, person_of, session) == me
    assert do(study, person_of, other) is None
    expire(study, time.time() - 1)
    assert do(study, person_of, session) is None


def expire(study, at):
    late = update(schema.session).values(expires_at=at)
    study.database.transact(lambda db: db.execute(late))


def test_a_session_that_is_used_begins_anew(study):
    me = person(study)
    session = do(study, sign_in, me)
    assert do(study, session_of, session) == (me, False)
    expire(study, time.time() + 3600)
    assert do(study, session_of, session) == (me, True)
    do(study, renew_session, session)
    assert do(study, session_of, session) == (me, False)
    with study.database.read() as db:
        left = db.scalar(select(func.max(schema.session.c.expires_at))) - time.time()
    assert SESSION_SECONDS - 60 < left <= SESSION_SECONDS
    expire(study, time.time() - 1)
    do(study, renew_session, session)  # one that is over stays over
    assert do(study, person_of, session) is None


# -------------------------------------------------------------------------- out, and owners


def test_a_deactivated_person_is_out_and_their_judgments_stay(study):
    fill(study, 1)
    owner, me = person(study, "owner"), person(study)
    session = do(study, sign_in, me)
    judge(study, me)
    do(study, set_active, me.id, False, owner.pseudonym)
    assert do(study, person_of, session) is None
    assert len(list(study.judgments())) == 1
    with pytest.raises(DataError, match="last owner"):
        do(study, set_active, owner.id, False, owner.pseudonym)
    assert do(study, owners) == 1


@pytest.mark.parametrize("work", ["deactivate", "erase"])
def test_the_last_two_owners_cannot_remove_each_other(where, work):
    """At the same moment: one of the two must fail, on both databases."""
    with Study(where()) as study:
        people = [person(study, "owner") for _ in range(2)]
        barrier, failed = threading.Barrier(2), []

        def remove(other):
            barrier.wait()
            try:
                if work == "erase":
                    do(study, erase, other.id, "test")
                else:
                    do(study, set_active, other.id, False, "test")
            except DataError as error:
                failed.append(str(error))

        threads = [threading.Thread(target=remove, args=(other,)) for other in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(failed) == 1
        assert "the last owner" in failed[0]
        assert do(study, owners) == 1


def test_who_can_come_in_from_anywhere(study):
    assert do(study, first_owner) is None
    me = person(study, "owner")
    assert do(study, owners) == 1
    assert do(study, unlocked_owners) == 0
    assert do(study, first_owner) == me
    do(study, make_account, me, "jo@example.com", HASH)
    assert do(study, unlocked_owners) == 1


def test_erasing_an_identity_keeps_the_judgments(study):
    fill(study, 1)
    token = do(study, invite, "annotator", "test")
    new = Newcomer(name="Jo Doe", email="jo@example.com", password=HASH, device="d", code="c")
    me, session = do(study, join, token, new)
    judge(study, me)
    do(study, erase, me.id, "owner")
    stored = everything(study)
    assert "Jo Doe" not in stored
    assert "jo@example" not in stored
    assert [j.annotator for j in study.judgments()] == [me.pseudonym]
    assert do(study, person_of, session) is None
    assert do(study, find_link, "c") is None
    assert do(study, people_of_browser, "d") == []
    with pytest.raises(DataError, match="no annotator 12345"):
        do(study, erase, 12345, "owner")


def test_an_erased_name_is_in_no_file(tmp_path):
    """Neither in the study nor in SQLite's log, while the study is open."""
    with Study(tmp_path / "study.db") as study:
        me, _ = do(study, join, do(study, invite, "annotator", "test"), JO)

        def stored():
            return b"".join(path.read_bytes() for path in tmp_path.iterdir())

        assert b"jo@example.com" in stored()
        do(study, erase, me.id, "owner")
        study.database.checkpoint()
        assert b"jo@example.com" not in stored()
        assert b"Jo Doe" not in stored()


def audited(study):
    with study.database.read() as db:
        return [(row.actor, row.details) for row in db.execute(select(schema.audit))]


def test_the_audit_names_pseudonyms_only(study):
    do(study, join, do(study, invite, "annotator", "test"), JO)
    assert "Jo Doe" not in repr(audited(study))
    assert "jo@example" not in repr(audited(study))
