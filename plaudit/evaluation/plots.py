"""The Report's plots as SVG: reliability, margins, score against length, curves."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from plaudit.errors import require
from plaudit.evaluation.metrics import Judged
from plaudit.evaluation.report import Curve, Report
from plaudit.statistics.calibration import reliability
from plaudit.statistics.intervals import wilson

__all__ = ["figures"]

INK, SOFT, BLUE, RED, LINE = "#1c2330", "#5b6675", "#2f6fde", "#b3372f", "#c9d1db"


def figures(report: Report) -> list[tuple[str, str]]:
    """Title and SVG of every plot that the report has data for."""
    require("model", "matplotlib", what="the HTML report")
    found: list[tuple[str, str]] = []
    judged = report.judged
    if judged is not None:
        found.append(("Reliability", _svg(lambda ax: _reliability(ax, judged))))
        found.append(("Margins", _svg(lambda ax: _margins(ax, judged))))
    if report.score_length is not None:
        lengths, scores = report.score_length
        found.append(("Score against length", _svg(lambda ax: _length(ax, lengths, scores))))
    found += [(curve.title, _svg(lambda ax, c=curve: _curve(ax, c))) for curve in report.curves]  # type: ignore[misc]
    return found


def _svg(draw: Callable[[Any], None]) -> str:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "plaudit",
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": LINE,
        "axes.labelcolor": SOFT,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with pyplot.rc_context(settings):
        figure, axes = pyplot.subplots(figsize=(5.6, 3.5), layout="constrained")
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _reliability(axes: Any, judged: Judged) -> None:
    decided = judged.at(judged.p != 0.5)
    table = reliability(decided.margin, decided.p)
    axes.plot([0.5, 1], [0.5, 1], color=LINE, zorder=0)
    intervals = [wilson(c * n, int(n)) for c, n in zip(table.correct, table.pairs, strict=True)]
    low = [max(0.0, c - i.low) for c, i in zip(table.correct, intervals, strict=True)]
    high = [max(0.0, i.high - c) for c, i in zip(table.correct, intervals, strict=True)]
    axes.errorbar(
        table.confidence, table.correct, yerr=[low, high], fmt="o", color=BLUE, ms=5, lw=1.2
    )
    axes.set(xlabel="the model's confidence", ylabel="share the labels agree", xlim=(0.49, 1.01))
    axes.set_ylim(0, 1.03)


def _margins(axes: Any, judged: Judged) -> None:
    decided = judged.at(judged.p != 0.5)
    toward = decided.margin * np.sign(decided.p - 0.5)
    limit = float(np.percentile(np.abs(toward), 99.5)) or 1.0
    bins = np.linspace(-limit, limit, 41)
    axes.hist(np.clip(toward[toward <= 0], -limit, limit), bins=bins, color=RED, alpha=0.85)
    axes.hist(np.clip(toward[toward > 0], -limit, limit), bins=bins, color=BLUE, alpha=0.85)
    axes.axvline(0, color=INK, lw=0.8)
    axes.set(xlabel="score of the better response minus the other's", ylabel="pairs")


def _length(axes: Any, lengths: Any, scores: Any) -> None:
    shown = np.random.default_rng(0).permutation(len(lengths))[:3000]
    axes.scatter(lengths[shown] + 1, scores[shown], s=7, alpha=0.35, color=BLUE, lw=0)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()
    if len(lengths) > 2 and np.ptp(lengths):
        correlation = float(np.corrcoef(np.log(lengths + 1), scores)[0, 1])
        axes.set_title(f"correlation with log length {correlation:+.2f}", fontsize=10, color=SOFT)
    axes.set(xlabel="characters of the response", ylabel="score")


def _curve(axes: Any, curve: Curve) -> None:
    values = [v.value for v in curve.y]
    axes.fill_between(
        curve.x, [v.low for v in curve.y], [v.high for v in curve.y], color=BLUE, alpha=0.15, lw=0
    )
    axes.plot(curve.x, values, "o-", color=BLUE, ms=5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(curve.x, [f"{x:,.0f}" for x in curve.x])
    axes.minorticks_off()
    axes.set(xlabel=curve.x_label, ylabel=curve.y_label)
