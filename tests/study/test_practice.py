"""Practice pairs: explained to whoever begins, asked of nobody, in no figure."""

from plaudit.study.practice import practice_pairs
from tests.study.conftest import fill, given, judge, person


def pairs(study):
    with study.database.read() as db:
        return practice_pairs(db)


def practice_rows(count=3):
    return [
        {
            "prompt": f"Practice {n}",
            "response_a": f"first {n}",
            "response_b": f"second {n}",
            "label": "ab"[n % 2],
            "explanation": f"A says first {n}.",
        }
        for n in range(count)
    ]


def test_the_first_response_of_a_row_is_the_a_that_its_explanation_means(study, rows):
    """Whichever of the two has the smaller hash."""
    added = study.add(rows(practice_rows(12)), labels="practice")
    assert (added.labels, added.dropped) == (12, {})
    for number, pair in enumerate(pairs(study)):
        assert pair.item.left[0].content == f"first {number}"
        assert pair.answer == ("left", "right")[number % 2]
        assert pair.explanation == f"A says first {number}."


def test_practice_is_asked_of_nobody_and_is_no_gold(study, rows):
    fill(study, 3)
    study.add(rows(practice_rows()), labels="practice")
    study.change(gold_rate=0.5)
    who = person(study)
    assert len(judge(study, who, count=20)) == 3
    assert given(study, who) == []
    assert study.counts() == {"comparisons": 3, "judgments": 3, "remaining": 0}


def test_what_cannot_be_a_practice_pair_is_counted_by_reason(study, rows):
    good, unlabelled, silent = practice_rows()
    del unlabelled["label"]
    silent["explanation"] = " "
    added = study.add(rows([good, unlabelled, silent]), labels="practice")
    assert added.labels == 1
    assert added.dropped == {
        "no certain answer, not made a practice pair": 1,
        "no text in the column explanation, not made a practice pair": 1,
    }


def test_what_people_have_judged_stays_a_comparison(study, rows):
    study.add(rows(practice_rows()), labels="ignore")
    judge(study, person(study), count=3)
    added = study.add(rows(practice_rows()), labels="practice")
    assert added.dropped == {"judged already, not made a practice pair": 3}
    assert pairs(study) == []
    assert study.counts()["judgments"] == 3


def test_the_same_file_again_renews_the_explanations(study, rows):
    study.add(rows(practice_rows()), labels="practice")
    study.add(rows([{**row, "explanation": "new"} for row in practice_rows()]), labels="practice")
    assert [pair.explanation for pair in pairs(study)] == ["new"] * 3
