"""K responses ranked in one go: one question, its pairs derived, one person one vote."""

import uuid
from collections import Counter

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from sqlalchemy import select, update

from plaudit.errors import DataError, UsageError
from plaudit.study import Study, schema
from plaudit.study.answers import Answer, edit, recent, taken_back, undo, vote
from plaudit.study.ranking import preferred, ranks_of, tiers_on_screen
from tests.study.conftest import fill, given, judge, person


def key():
    return uuid.uuid4().hex


def ask(study, count=4, prompt="Rank?", **details):
    return study.compare(prompt, [f"response {n}" for n in range(count)], pairing="rank", **details)


def rank(study, who, worth, token=None):
    """Ranks what the person holds by `worth(text)`, the smallest first; equal ones share a tier."""
    (item,) = given(study, who)
    values = [worth(messages[0].content) for messages in item.ranked]
    tiers = tuple(
        tuple(n for n, value in enumerate(values) if value == this) for this in sorted({*values})
    )
    answer = Answer(key=key(), answer="rank", tiers=tiers, active_ms=5)
    return study.database.transact(lambda db: vote(db, who, item.token, answer)), item, answer


def number_in(text):
    return int(text.split()[-1])


def said(study):
    """{(better text, other text): answer seen from the first} of all that stands."""
    found = {}
    pairs = {c.id: c for c in study.comparisons()}
    for judgment in study.judgments():
        pair = pairs[judgment.comparison]
        texts = pair.response_a[0].content, pair.response_b[0].content
        if judgment.answer == "b":
            texts = texts[::-1]
        found[texts] = "tie" if judgment.answer == "tie" else "better"
    return found


def test_a_ranking_is_asked_once_and_its_pairs_follow(study):
    assert len(ask(study)) == 6
    assert study.counts() == {"comparisons": 1, "judgments": 0, "remaining": 1}
    who = person(study)
    rank(study, who, number_in)
    assert given(study, who) == given(study, person(study)) == []
    found = said(study)
    assert len(found) == 6
    assert all(number_in(a) < number_in(b) for a, b in found)
    assert study.counts()["remaining"] == 0
    with study.database.read() as db:
        rows = db.execute(select(schema.judgment)).mappings().all()
        (stored,) = db.execute(select(schema.ranking)).mappings().all()
    assert {row["ranking"] for row in rows} == {stored["id"]}
    assert sum(row["active_ms"] is not None for row in rows) == 1  # the time was spent once
    assert [len(tier) for tier in stored["tiers"]] == [1, 1, 1, 1]


def test_equal_ranks_are_ties(study):
    ask(study)
    rank(study, person(study), lambda text: number_in(text) // 2)
    assert Counter(said(study).values()) == {"better": 4, "tie": 2}


def test_a_request_sent_again_is_one_ranking(study):
    ask(study)
    who = person(study)
    number, item, answer = rank(study, who, number_in)
    again = study.database.transact(lambda db: vote(db, who, item.token, answer))
    assert again == number
    assert study.counts()["judgments"] == 6


def test_undo_takes_all_pairs_back_and_the_next_ranking_counts_once(study):
    ask(study)
    who = person(study)
    for worth in (number_in, lambda text: -number_in(text)):
        _, item, answer = rank(study, who, worth)
        assert study.counts()["judgments"] == 6
        token = study.database.transact(lambda db: undo(db, who, key(), 60))
        assert (token, study.counts()["judgments"]) == (item.token, 0)
        with study.database.read() as db:
            assert taken_back(db, token).tiers == [list(tier) for tier in answer.tiers]
        assert given(study, who) == [item]  # in the same order
    rank(study, who, number_in)
    assert all(number_in(a) < number_in(b) for a, b in said(study))


def test_a_ranking_is_edited_or_skipped_whole(study):
    ask(study)
    who = person(study)
    rank(study, who, number_in)
    for answer, count in (("rank", 6), ("skip", 1), ("rank", 6)):
        with study.database.read() as db:
            (mine,) = recent(db, who)
        tiers = ((3,), (2, 1), (0,)) if answer == "rank" else ()
        change = Answer(key=key(), answer=answer, tiers=tiers)
        study.database.transact(lambda db, c=change, n=mine.number: edit(db, who, n, c))
        assert study.counts()["judgments"] == count
    with study.database.read() as db:
        assert recent(db, who)[0].tiers == [[3], [2, 1], [0]]


@pytest.mark.parametrize(
    ("answer", "tiers", "message"),
    [
        ("rank", ((0,), (1,), (2,)), "each of 4 responses once"),
        ("rank", ((0, 1), (1, 2, 3)), "each of 4 responses once"),
        ("rank", ((0, 1, 2, 3), ()), "each of 4 responses once"),
        ("rank", ((0, 1, 2, 4),), "each of 4 responses once"),
        ("left", (), "ranked or skipped"),
    ],
)
def test_what_is_no_ranking_is_refused(study, answer, tiers, message):
    ask(study)
    who = person(study)
    (item,) = given(study, who)
    with pytest.raises(DataError, match=message):
        study.database.transact(
            lambda db: vote(db, who, item.token, Answer(key=key(), answer=answer, tiers=tiers))
        )
    assert study.counts()["judgments"] == 0


def test_a_pair_is_not_ranked(study):
    fill(study, 1)
    who = person(study)
    (item,) = given(study, who)
    with pytest.raises(DataError, match="not ranked"):
        study.database.transact(
            lambda db: vote(
                db, who, item.token, Answer(key=key(), answer="rank", tiers=((0,), (1,)))
            )
        )


def test_one_person_has_one_vote_on_a_pair_that_they_were_asked_before(study):
    texts = [f"response {n}" for n in range(3)]
    study.compare("Rank?", texts[:2])
    who = person(study)
    judge(study, who, "tie")
    study.compare("Rank?", texts, pairing="rank")
    while items := given(study, who):
        if items[0].ranked:
            rank(study, who, number_in)
        else:
            judge(study, who)
    assert len({(j.comparison, j.annotator) for j in study.judgments()}) == 3
    assert len(list(study.judgments())) == 3


def test_small_and_large_slates(study, rows):
    assert len(ask(study, 2)) == 1  # a pair
    assert given(study, person(study))[0].ranked == ()
    large = {"prompt": "Many", "responses": [f"r{n}" for n in range(10)]}
    added = study.add(rows([large]), pairing="rank", format="ranked")
    assert added.dropped == {"more than 9 responses to rank: use --pairing ring": 1}
    with pytest.raises(UsageError, match="--pairing rank cannot be used with --labels gold"):
        study.add(rows([large]), pairing="rank", labels="gold")


def test_a_panel_across_two_batches(study, monkeypatch):
    monkeypatch.setattr("plaudit.study.study.batches", lambda found: ([q] for q in found))
    data = [{"prompt": f"Q{n}", "responses": ["a", "b", "c", "d"]} for n in range(3)]
    import json
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "d.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in data))
        study.add(path, pairing="rank", format="ranked")
    assert study.counts()["comparisons"] == 3
    who = person(study)
    for _ in range(3):
        rank(study, who, ord)
    assert study.counts()["judgments"] == 18


def test_overlap_asks_several_people_for_the_ranking(study):
    ask(study, overlap=2)
    for _ in range(2):
        rank(study, person(study), number_in)
    assert given(study, person(study)) == []
    assert Counter(j.comparison for j in study.judgments()) == dict.fromkeys(
        {j.comparison for j in study.judgments()}, 2
    )


@examples(st.lists(st.integers(0, 4), min_size=3, max_size=9), st.randoms())
def test_tiers_and_ranks_are_inverse(values, random):
    shown = [10 * n for n in range(len(values))]
    random.shuffle(shown)
    tiers = [[n for n, v in enumerate(values) if v == this] for this in sorted({*values})]
    ranks = ranks_of(tiers, shown)
    ids = [[shown[n] for n in tier] for tier in tiers]
    assert tiers_on_screen(ids, shown) == tiers
    for i, a in enumerate(shown):
        for j, b in enumerate(shown):
            sign = (values[i] > values[j]) - (values[i] < values[j])
            assert preferred(ranks, a, b) == {0: "tie", -1: "a", 1: "b"}[sign]


def test_a_raw_export_restores_panels_and_versions(study, where, rows, tmp_path):
    study.add(rows([{"prompt": "Q?", "responses": ["one", "two", "three"]}]), pairing="rank")
    old, new = study.compare("Old?", ["yes", "no"]) + study.compare("New?", ["yes", "no"])
    c = schema.comparison.c

    def link(db):
        first = select(c.id).where(c.hash == old).scalar_subquery()
        db.execute(update(schema.comparison).where(c.hash == new).values(replaces=first))

    study.database.transact(link)
    study.export(tmp_path / "raw", format="raw")
    with Study(where(), gold_rate=0, retest_rate=0, agreement_share=0) as again:
        again.add(tmp_path / "raw" / "raw.jsonl")
        assert again.counts() == study.counts()
        again.export(tmp_path / "again", format="raw")
        (item,) = [i for i in given(again, person(again), 3) if i.ranked]
        assert sorted(text[-1].text for text in item.ranked) == ["one", "three", "two"]
    first, second = (
        sorted((tmp_path / name / "raw.jsonl").read_text().splitlines())
        for name in ("raw", "again")
    )
    assert first == second
