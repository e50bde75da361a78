"""Results as one self-contained HTML page: verdict, tables, plots as SVG, worst mistakes."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from plaudit.evaluation.metrics import METRICS
from plaudit.evaluation.plots import bars, figures
from plaudit.evaluation.results import Mistake, Results, Section, cells

STYLE = (files("plaudit.evaluation") / "report.css").read_text(encoding="utf-8")


def page(results: Results) -> str:
    """The whole page as text; it loads nothing from outside."""
    title = escape(f"{results.title} · {results.made}")
    parts = [f"<h1>{escape(results.title)}</h1>"]
    if results.verdict:
        parts.append(f'<p class="verdict">{escape(results.verdict)}</p>')
    parts += [_facts(results), _tiles(results)]
    parts += [f'<p class="warn">{escape(text)}</p>' for text in results.warnings]
    cards = [_card(*figure) for figure in figures(results)]
    cards += [_section(section) for section in results.sections]
    parts.append(f'<div class="columns">{"".join(cards)}</div>')
    if results.dropped:
        items = ", ".join(f"{count:,} {escape(why)}" for why, count in results.dropped.items())
        parts.append(_card("Dropped", f"<p>{items}</p>"))
    if results.mistakes:
        parts.append("<h2>Worst mistakes: the worse response scored higher</h2>")
        parts += [_mistake(mistake) for mistake in results.mistakes]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}<footer>{title}</footer></main></body></html>\n"
    )


def _card(title: str, body: str) -> str:
    return f'<section class="card"><h2>{escape(title)}</h2>{body}</section>'


def _facts(results: Results) -> str:
    facts = results.facts | {"made": results.made}
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    return f"<dl>{rows}</dl>"


def _tiles(results: Results) -> str:
    tiles = []
    for name in [*(n for n, metric in METRICS.items() if metric.headline), "ECE"]:
        if name in results.numbers:
            value, interval, _ = cells(results.numbers[name])
            tiles.append(
                f'<div class="tile"><span>{escape(name)}</span><b>{value}</b>'
                f"<span>{escape(interval)}</span></div>"
            )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _section(section: Section) -> str:
    rows, intervals = [], False
    for name, value, meaning in section.lines:
        number, interval, n = cells(value)
        intervals = intervals or bool(interval)
        small = f"<small>{escape(meaning)}</small>" if meaning else ""
        rows.append(
            f'<tr><td>{escape(name)}{small}</td><td class="n">{escape(number)}</td>'
            f'<td class="i">{escape(interval)}</td><td class="n">{n}</td></tr>'
        )
    head = '<tr><th></th><th></th><th>95 % interval</th><th class="n">n</th></tr>'
    note = f'<p class="note">{escape(section.note)}</p>' if section.note else ""
    chart = "" if section.reference is None else bars(section)
    table = f"<table>{head if intervals else ''}{''.join(rows)}</table>"
    return _card(section.title, chart + table + note)


def _mistake(mistake: Mistake) -> str:
    return (
        f'<section class="card"><pre class="prompt">{escape(mistake.prompt)}</pre>'
        '<div class="sides">'
        f'<div class="side better"><b>People prefer</b><pre>{escape(mistake.better)}</pre></div>'
        f'<div class="side worse"><b>The model prefers, by {mistake.margin:.2f}</b>'
        f"<pre>{escape(mistake.worse)}</pre></div></div>"
        f'<p class="note"><code>{escape(mistake.source)}</code></p></section>'
    )
