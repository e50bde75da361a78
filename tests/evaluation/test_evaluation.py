"""Evaluation with fake Scorers: rules, dead models, slices, two models, the page."""

import json

import numpy as np
import pytest

from plaudit.errors import DataError
from plaudit.evaluation import evaluate
from plaudit.evaluation.metrics import METRICS, Metric, judged, measure
from plaudit.evaluation.probes import PROBES
from plaudit.types import Message, Pair, Scores, Slate, Source

from ..conftest import talk


def slates(n=80):
    rows = []
    for i in range(n):
        long, short = f"A rather long and helpful response {i}", f"No {i}"
        better = 0 if i % 4 else 1  # the longer one is better in three of four
        rows.append(
            Slate(
                (Message("user", f"question {i // 2}"),),
                ((Message("assistant", long),), (Message("assistant", short),)),
                Source("f", i),
                preferred=(better,),
                verdict="preferred",
                votes=(4.0, 1.0, 0.0) if better == 0 else (1.0, 4.0, 0.0),
                columns={"kind": "xy"[i % 2]},
            )
        )
    return rows


def test_a_report_of_a_scorer_that_prefers_length(fake_scorer):
    report = evaluate(fake_scorer, slates(), name="fake")
    assert report.numbers["accuracy"].value == pytest.approx(0.75)
    assert report.numbers["length baseline"].value == pytest.approx(0.75)
    assert report.numbers["accuracy, better is longer"].value == 1.0
    assert report.numbers["accuracy, better is shorter"].value == 0.0
    text = str(report)
    assert "Accuracy by kind" in text
    assert "two votes agree" in text
    assert report.mistakes[0].better.startswith("No")
    assert json.loads(report.to_json())["held_out"]["accuracy"]["groups"] == 40


def test_a_dead_model_is_half_right_and_warned_of(constant_scorer):
    report = evaluate(constant_scorer, slates())
    assert report.numbers["accuracy"].value == 0.5
    assert report.numbers["log-loss"].value == pytest.approx(np.log(2))
    assert any("100.0% of the pairs have equal scores" in w for w in report.warnings)


def test_what_cannot_be_scored_is_counted(fake_scorer):
    rows = slates(40)
    odd = Slate(
        rows[0].prompt,
        ((Message("assistant", "UNSCORABLE"),), rows[0].responses[1]),
        Source("f", 99),
        preferred=(0,),
        verdict="preferred",
    )
    report = evaluate(fake_scorer, [*rows, odd])
    assert report.dropped["not scored"] == 1
    assert report.ok
    assert not evaluate(fake_scorer, [*rows[:5], odd]).ok  # more than a tenth
    assert any("it says so" in warning for warning in report.warnings)
    with pytest.raises(DataError, match="no usable comparison"):
        evaluate(fake_scorer, [])


def test_two_models_are_compared_on_the_same_pairs(fake_scorer, constant_scorer):
    report = evaluate(fake_scorer, slates(), against=constant_scorer)
    difference = report.numbers["accuracy difference"]
    assert difference.value == pytest.approx(0.25)
    assert difference.low > 0
    assert "This model is more accurate than the other: +0.250 [" in str(report)
    same = evaluate(fake_scorer, slates(), against=fake_scorer)
    assert same.numbers["accuracy difference"].value == 0
    assert "Can't tell which is more accurate: +0.000" in str(same)


def test_the_page_is_self_contained(fake_scorer, tmp_path):
    rows = slates()
    evil = Slate(
        (Message("user", "<script>alert(1)</script>"),),
        rows[0].responses,
        Source("f", 1),
        preferred=(1,),
        verdict="preferred",
    )
    evaluate(fake_scorer, [*rows, evil]).write_html(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "<script" not in page
    assert page.count("<svg") >= 3
    assert "src=" not in page
    assert "http-equiv" not in page


def test_an_unknown_slice_names_the_columns_before_anything_is_scored():
    class NeverAsked:
        def score(self, conversations):
            raise AssertionError("scored")

    with pytest.raises(DataError, match="no column 'sort' to slice by; columns: kind"):
        evaluate(NeverAsked(), slates(), slices=["sort"])


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_ignores_which_side_is_a(name):
    rng = np.random.default_rng(0)
    pairs = [
        Pair(
            talk("q", "x" * rng.integers(1, 60)),
            talk("q", "y" * rng.integers(1, 60)),
            p,
            1.0,
            f"g{i}",
            Source("f", i),
        )
        for i, p in enumerate(rng.choice([0.0, 1.0, 0.75, 0.5], 50))
    ]
    flipped = [Pair(p.b, p.a, 1 - p.p, 1.0, p.group, p.source) for p in pairs]
    margin = rng.normal(size=50)
    words = rng.normal(size=50)
    one = measure(judged(pairs, margin, words), name)
    two = measure(judged(flipped, -margin, -words), name)
    assert one.value == pytest.approx(two.value)


@pytest.mark.parametrize("name", list(PROBES))
def test_every_probe_changes_the_response(name):
    assert PROBES[name]("the prompt", "the response, in full") != "the response, in full"


def test_probes_are_reported(fake_scorer):
    report = evaluate(fake_scorer, slates(), probes=True)
    section = report.sections[-1]
    assert {name for name, _, _ in section.lines} == set(PROBES)
    wins = {name: interval.value for name, interval, _ in section.lines}
    assert wins["padded"] == 1.0  # it loves length
    assert wins["empty"] == 0.0


def test_a_new_metric_and_a_new_probe_are_one_row_each(fake_scorer, monkeypatch):
    """The row alone brings it into the numbers, the comparison, the table and the page."""
    from plaudit.evaluation.html import page

    always = Metric(lambda data: np.ones(len(data)), "of no use", compared=True, headline=True)
    monkeypatch.setitem(METRICS, "one", always)
    monkeypatch.setitem(PROBES, "shouted", lambda prompt, response: response.upper() + "!")
    report = evaluate(fake_scorer, slates(), against=fake_scorer, probes=True)
    assert report["one"].value == 1.0
    assert report["one difference"].value == 0.0
    assert "shouted" in str(report)
    assert "<span>one</span><b>1.000</b>" in page(report)


def test_what_is_no_number_is_not_scored():
    class Infinite:
        def score(self, conversations):
            mean = np.arange(len(conversations), dtype=float)
            mean[0] = np.inf
            return Scores(mean)

    report = evaluate(Infinite(), slates(20))
    assert report.dropped["not scored"] == 1
    assert "its score is not finite" in str(report.warnings)
