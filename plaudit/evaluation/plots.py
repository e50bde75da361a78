"""The page's plots, written as SVG: no plotting state to set, and colours of the page's style.

Texts and lines take their colours from the page's CSS variables, so that they follow a dark
screen and paper alike. Every plot has a title, an alternative text and a legend where needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from plaudit.evaluation.metrics import Floats, Judged, credit, mean, measure
from plaudit.evaluation.results import TOO_FEW, Curve, Results, Section
from plaudit.statistics.calibration import reliability
from plaudit.statistics.intervals import Interval, wilson

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 26, 44


class Figure(NamedTuple):
    """A plot with its title."""

    title: str
    svg: str


class Axis(NamedTuple):
    """From values to a position between 0 and 1, and where the ticks are."""

    low: float
    high: float
    ticks: Sequence[float]
    label: str
    doubling: bool = False

    def at(self, value: float) -> float:
        low, high, value = (
            (math.log2(max(v, 1e-9)) for v in (self.low, self.high, value))
            if self.doubling
            else (self.low, self.high, value)
        )
        return min(1.0, max(0.0, (value - low) / ((high - low) or 1.0)))


def axis(values: Sequence[float], label: str, whole: bool = False, around: float = 0.0) -> Axis:
    """An axis that holds the values, with about five round ticks (whole numbers if asked)."""
    finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    low, high = low - around * (high - low), high + around * (high - low)
    rough = (high - low) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    step = max(1.0, math.ceil(step)) if whole else step
    first = math.ceil(low / step - 1e-9)
    count = int((high - first * step) / step + 1e-9) + 1
    return Axis(low, high, [round((first + k) * step, 10) for k in range(count)], label)


def doublings(values: Sequence[float], label: str) -> Axis:
    """An axis of doublings, with whole numbers as ticks."""
    low, high = max(1.0, min(values)), max(2.0, *values)
    span = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
    every = max(1, math.ceil(len(span) / 7))
    ticks = [2.0**k for k in span if k % every == 0 and low <= 2.0**k <= high]
    return Axis(low, high, ticks, label, doubling=True)


class Plot:
    """A drawing between two axes."""

    def __init__(self, x: Axis, y: Axis) -> None:
        self.x, self.y = x, y
        self.parts: list[str] = []
        self.legends = 0

    def px(self, value: float) -> float:
        return LEFT + self.x.at(value) * (WIDTH - LEFT - RIGHT)

    def py(self, value: float) -> float:
        return HEIGHT - BOTTOM - self.y.at(value) * (HEIGHT - TOP - BOTTOM)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        text = " ".join(f"{self.px(x):.1f},{self.py(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline class="{kind}" points="{text}"/>')

    def dot(self, x: float, y: float, kind: str = "dot", radius: float = 4, tip: str = "") -> None:
        title = f"<title>{escape(tip)}</title>" if tip else ""
        self.parts.append(
            f'<circle class="{kind}" cx="{self.px(x):.1f}" cy="{self.py(y):.1f}" r="{radius}">'
            f"{title}</circle>"
        )

    def bar(self, left: float, right: float, high: float, kind: str, tip: str) -> None:
        x, y = self.px(left), self.py(high)
        self.parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{self.px(right) - x:.1f}" '
            f'height="{self.py(self.y.low) - y:.1f}"><title>{escape(tip)}</title></rect>'
        )

    def value(self, x: float, value: Interval, tip: str) -> None:
        """A dot with its interval."""
        if value.groups >= TOO_FEW:
            self.line([(x, value.low), (x, value.high)], "whisker")
        self.dot(x, value.value, tip=f"{tip}: {value}, n = {value.n:,}")

    def legend(self, text: str, kind: str) -> None:
        x = LEFT + self.legends
        self.parts.append(f'<rect class="{kind}" x="{x}" y="6" width="12" height="9"/>')
        self.parts.append(f'<text x="{x + 17}" y="15">{escape(text)}</text>')
        self.legends += 30 + int(6.4 * len(text))

    def svg(self, alternative: str) -> str:
        frame = []
        bottom = HEIGHT - BOTTOM
        for tick in self.y.ticks:
            y = self.py(tick)
            frame.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
            frame.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" class="end">{tick:,.4g}</text>')
        for tick in self.x.ticks:
            text = f"{tick:,.0f}" if tick == int(tick) else f"{tick:.4g}"
            frame.append(
                f'<text x="{self.px(tick):.1f}" y="{bottom + 17}" class="mid">{text}</text>'
            )
        frame.append(f'<path class="axis" d="M{LEFT} {bottom}H{WIDTH - RIGHT}"/>')
        middle, upright = (LEFT + WIDTH - RIGHT) / 2, (TOP + bottom) / 2
        frame.append(
            f'<text x="{middle}" y="{HEIGHT - 6}" class="mid">{escape(self.x.label)}</text>'
            f'<text transform="translate(12 {upright}) rotate(-90)" class="mid">'
            f"{escape(self.y.label)}</text>"
        )
        return _svg(HEIGHT, alternative, [*frame, *self.parts])


def _svg(height: int, alternative: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(alternative)}">'
        f"{''.join(parts)}</svg>"
    )


def figures(results: Results) -> list[Figure]:
    """Every plot that the results have data for."""
    found: list[Figure] = []
    data = results.judged
    if data is not None and np.any(data.p != 0.5):
        found += [draw(data.at(data.p != 0.5)) for draw in OF_PAIRS]
    if results.score_length is not None and len(results.score_length[0]):
        found.append(_score_against_length(*results.score_length))
    return found + [_curve(curve) for curve in results.curves if len(curve.x)]


def bars(section: Section) -> str:
    """Shares of a section as horizontal bars with their intervals, and its reference line."""
    reference = 0.0 if section.reference is None else section.reference
    rows = [(name, v) for name, v, _ in section.lines if isinstance(v, Interval) and v.n]
    left, step = 170, 24

    def x(value: float) -> float:
        return left + min(1.0, max(0.0, value)) * (WIDTH - left - RIGHT)

    bottom = 8 + step * len(rows)
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path class="grid" d="M{x(tick):.1f} 4V{bottom}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 16}" class="mid">{tick:g}</text>')
    for number, (name, value) in enumerate(rows):
        y = 8 + step * number
        short = name if len(name) <= 22 else name[:21] + "…"
        parts.append(f'<text x="{left - 8}" y="{y + 13}" class="end">{escape(short)}</text>')
        parts.append(
            f'<rect class="blue" x="{left}" y="{y + 2}" width="{x(value.value) - left:.1f}" '
            f'height="{step - 9}"><title>{escape(name)}: {value}, n = {value.n:,}</title></rect>'
        )
        if value.groups >= TOO_FEW:
            middle = y + 2 + (step - 9) / 2
            parts.append(
                f'<path class="whisker" d="M{x(value.low):.1f} {middle}H{x(value.high):.1f}"/>'
            )
    parts.append(f'<path class="mark" d="M{x(reference):.1f} 4V{bottom}"/>')
    said = ", ".join(f"{name} {value.value:.3f}" for name, value in rows)
    return _svg(bottom + 22, f"{section.title}: {said}; the line is {reference:g}", parts)


def _against_baselines(data: Judged) -> Figure:
    names = ("accuracy", "bag of words accuracy", "length baseline")
    labels = ("this model", "bag of words", "length baseline")
    lines = [(label, measure(data, name), "") for label, name in zip(labels, names, strict=True)]
    return Figure("Accuracy beside the baselines", bars(Section("Accuracy", lines, reference=0.5)))


def _by_length(data: Judged) -> Figure:
    ratio = data.log_length_ratio * np.sign(data.p - 0.5) / math.log(2)
    order = np.argsort(ratio, kind="stable")
    parts = np.array_split(order, int(np.clip(len(order) // 30, 1, 8)))
    right = credit(data.margin, data.p)
    at = [float(np.median(ratio[part])) for part in parts]
    values = [mean(right[part], data.at(part)) for part in parts]
    label = "length of the better response over the other's, in doublings"
    plot = Plot(axis([*at, -1, 1], label, around=0.05), axis([0, 1], "accuracy"))
    plot.line([(plot.x.low, 0.5), (plot.x.high, 0.5)], "mark")
    for x, value in zip(at, values, strict=True):
        plot.value(x, value, f"{2**x:.2f} times as long")
    said = ", ".join(f"{v.value:.2f} at {2**x:.2f}" for x, v in zip(at, values, strict=True))
    return Figure(
        "Accuracy by length difference", plot.svg(f"Accuracy by length ratio: {said}; chance 0.5")
    )


def _reliability(data: Judged) -> Figure:
    table = reliability(data.margin, data.p)
    plot = Plot(
        axis([0.5, 1], "the model's confidence"), axis([0, 1], "share of labels that agree")
    )
    plot.line([(0.5, 0.5), (1, 1)], "mark")
    said = []
    for confidence, correct, n in zip(*table, strict=True):
        plot.value(confidence, wilson(correct * n, int(n)), f"confidence {confidence:.2f}")
        said.append(f"{correct:.2f} at {confidence:.2f}")
    plot.legend("calibrated", "key-mark")
    return Figure("Reliability", plot.svg(f"Agreement by confidence: {', '.join(said)}"))


def _margins(data: Judged) -> Figure:
    toward = data.margin * np.sign(data.p - 0.5)
    limit = float(np.percentile(np.abs(toward), 99.5)) or 1.0
    counts, edges = np.histogram(np.clip(toward, -limit, limit), bins=40, range=(-limit, limit))
    x = axis([-limit, limit], "score of the better response minus the other's")
    plot = Plot(x, axis([0, float(counts.max())], "pairs", whole=True))
    for count, left, right in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        kind = "red" if right <= 1e-9 else "blue"
        plot.bar(left, right, count, kind, f"{count} pairs from {left:.2f} to {right:.2f}")
    plot.legend("right order", "blue")
    plot.legend("wrong order", "red")
    share = float(np.mean(toward > 0))
    return Figure(
        "Margins", plot.svg(f"Score margins: {share:.0%} of the pairs in the right order")
    )


def _score_against_length(lengths: Floats, scores: Floats) -> Figure:
    shown = np.random.default_rng(0).permutation(len(lengths))[:1000]
    plot = Plot(
        doublings((lengths[shown] + 1).tolist(), "characters of the response"),
        axis(scores[shown].tolist(), "score", around=0.04),
    )
    for index in shown:
        plot.dot(float(lengths[index] + 1), float(scores[index]), "point", 2)
    said = "Score of each response by its length"
    if len(lengths) > 2 and np.ptp(lengths) and np.ptp(scores):
        said += f": correlation {np.corrcoef(np.log(lengths + 1), scores)[0, 1]:+.2f}"
        plot.legend(said.split(": ")[1] + " with log length", "blue")
    return Figure("Score against length", plot.svg(said))


def _curve(curve: Curve) -> Figure:
    values = [
        v if isinstance(v, Interval) else Interval(v, math.nan, math.nan, 0, 0) for v in curve.y
    ]
    make: Callable[[Sequence[float], str], Axis] = doublings if curve.doubling else axis
    x = make(list(curve.x), curve.x_label)
    x = x._replace(ticks=list(curve.x)) if len(curve.x) <= 8 else x
    bounds = [b for v in values for b in (v.low, v.value, v.high)]
    plot = Plot(x, axis(bounds, curve.y_label, around=0.08))
    plot.line([(a, v.value) for a, v in zip(curve.x, values, strict=True)], "curve")
    for a, value in zip(curve.x, values, strict=True):
        if math.isfinite(value.low):
            plot.line([(a, value.low), (a, value.high)], "whisker")
        plot.dot(a, value.value, tip=f"{a:,g}: {value.value:.3f}")
    said = ", ".join(f"{v.value:.3f} at {a:,g}" for a, v in zip(curve.x, values, strict=True))
    return Figure(curve.title, plot.svg(f"{curve.y_label} by {curve.x_label}: {said}"))


OF_PAIRS = (_against_baselines, _by_length, _reliability, _margins)
