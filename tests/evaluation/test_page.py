"""The Report's page and its numbers for programs."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from plaudit.errors import UsageError
from plaudit.evaluation import Report, evaluate
from plaudit.evaluation.html import page
from plaudit.evaluation.plots import axis, doublings
from plaudit.evaluation.report import Curve
from plaudit.statistics.intervals import Interval
from plaudit.version import __version__

from .test_evaluation import slates


@pytest.fixture(scope="module")
def report():
    from ..conftest import FakeScorer

    report = evaluate(FakeScorer(), slates(), probes=True, name="desk-rm")
    report.curves.append(
        Curve(
            "More labels",
            "training pairs",
            "log-loss",
            [10, 20],
            [Interval(0.7, 0.6, 0.8, 9, 9)] * 2,
        )
    )
    report.curves.append(Curve("Layers", "layer", "log-loss", [1, 2, 3], [0.7, 0.6, 0.65], False))
    return report


def test_the_tab_says_model_data_date_and_version(report):
    title = re.search("<title>(.*)</title>", page(report))[1]
    assert title == f"desk-rm on slates · {report.date}, plaudit {__version__}"


def test_the_verdict_is_the_first_line(report):
    assert str(report).startswith("Does not beat the length baseline")
    assert page(report).index('class="verdict"') < page(report).index("<dl>")


def test_every_plot_is_there_parses_and_has_an_alternative_text(report):
    html = page(report)
    for title in (
        "Accuracy beside the baselines",
        "Accuracy by length difference",
        "Reliability",
        "Margins",
        "Score against length",
        "More labels",
        "Layers",
        "Accuracy by kind",
        "Share of hacks that win",
    ):
        assert f"<h2>{title}</h2><svg" in html
    drawings = re.findall(r"<svg.*?</svg>", html)
    for drawing in drawings:
        tree = ElementTree.fromstring(drawing)
        assert tree.get("role") == "img"
        assert len(tree.get("aria-label")) > 15
        assert "nan" not in drawing
        # Colours are the page's, so that they follow a dark screen.
        assert "#" not in re.sub("&#.*?;", "", drawing)


def test_counts_have_whole_ticks():
    for most in (1, 2, 3, 7, 12, 130):
        ticks = axis([0, most], "pairs", whole=True).ticks
        assert all(tick == int(tick) for tick in ticks)
        assert 2 <= len(ticks) <= 7
    assert all(tick == int(tick) for tick in doublings([40, 3000], "characters").ticks)


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [float("nan")], [], [-3, -2], [1e-9, 2e-9]])
def test_axes_of_odd_values_can_be_drawn(values):
    found = axis(values, "x")
    assert all(0 <= found.at(value) <= 1 for value in values if np.isfinite(value))


def test_json_is_json_and_the_numbers_can_be_read_by_name(report):
    def refuse(name):
        raise AssertionError(name)

    values = json.loads(report.to_json(), parse_constant=refuse)
    assert values["verdict"] == report.verdict
    assert values["held_out"]["accuracy"]["value"] == pytest.approx(0.75)
    assert report["accuracy"].value == pytest.approx(0.75)
    with pytest.raises(UsageError, match="no number 'acuracy'; there are accuracy, "):
        report["acuracy"]
    pytest.importorskip("pandas")
    assert report.to_frame().loc["accuracy", "n"] == 80


def test_an_empty_report_has_a_page():
    html = page(Report("nothing <measured>", {"a": "<b>"}))
    assert "nothing &lt;measured&gt;" in html
    assert "<b>" not in html.replace("<b>People", "")


def test_pages_without_a_decided_pair_or_with_one_group_can_be_drawn(constant_scorer):
    tied = [s.__class__(s.prompt, s.responses, s.source, verdict="tie") for s in slates(6)]
    assert "<svg" in page(evaluate(constant_scorer, tied))
    assert "<svg" in page(evaluate(constant_scorer, slates(1)))
