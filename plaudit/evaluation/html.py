"""The Report as one self-contained HTML page: tables, plots as inline SVG, worst mistakes."""

from __future__ import annotations

from html import escape

from plaudit.evaluation import plots
from plaudit.evaluation.report import Mistake, Report, Section, cells

__all__ = ["page"]

STYLE = """
:root { --ink:#1c2330; --soft:#5b6675; --line:#e3e7ec; --card:#fff; --paper:#f6f7f9;
  --good:#0a7d54; --bad:#b3372f; }
* { box-sizing:border-box } body { margin:0; background:var(--paper); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif }
main { max-width:1080px; margin:0 auto; padding:32px 24px 64px }
h1 { font-size:26px; margin:0 0 4px } h2 { font-size:17px; margin:0 0 12px }
dl { display:grid; grid-template-columns:max-content 1fr; gap:2px 16px; margin:12px 0 24px;
  color:var(--soft) } dt { font-weight:600 } dd { margin:0; overflow-wrap:anywhere }
.grid { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr)); gap:20px }
.card { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:18px 20px;
  overflow-x:auto; margin-bottom:20px } .card svg { width:100%; height:auto; display:block }
table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums }
th,td { text-align:left; padding:5px 12px 5px 0; border-bottom:1px solid var(--line);
  vertical-align:top } th { color:var(--soft); font-weight:600; font-size:13px }
td.n { text-align:right; white-space:nowrap } td.m { color:var(--soft); font-size:13px }
tr:last-child td { border-bottom:0 } .note { color:var(--soft); margin:10px 0 0; font-size:14px }
.tiles { display:flex; flex-wrap:wrap; gap:14px; margin:0 0 20px }
.tile { background:var(--card); border:1px solid var(--line); border-radius:10px;
  padding:12px 18px }
.tile b { display:block; font-size:24px; line-height:1.2 } .tile span { color:var(--soft) }
.warn { border-left:4px solid #c98a12; background:#fff8e8; padding:8px 14px; margin:0 0 12px }
.sides { display:grid; grid-template-columns:1fr 1fr; gap:14px } pre { white-space:pre-wrap;
  overflow-wrap:anywhere; font:inherit; margin:4px 0 0; max-height:340px; overflow-y:auto }
.side { border:1px solid var(--line); border-radius:8px; padding:10px 12px }
.side b { font-size:13px } .better b { color:var(--good) } .worse b { color:var(--bad) }
.prompt { color:var(--soft); margin-bottom:10px } code { font-size:13px }
@media (max-width:640px) { .sides { grid-template-columns:1fr } main { padding:20px 14px } }
@media (prefers-color-scheme:dark) { :root { --ink:#e7eaf0; --soft:#9aa5b4; --line:#2c3442;
  --card:#181d27; --paper:#10141b; --good:#4cc38a; --bad:#f2837b } .warn { background:#2a2413 }
  .card svg { background:#fff; border-radius:6px } }
"""
TILES = ("accuracy", "log-loss", "ECE", "length-matched accuracy", "longer wins")


def page(report: Report) -> str:
    """The whole page as text; it loads nothing from outside."""
    parts = [f"<h1>{escape(report.title)}</h1>", _facts(report), _tiles(report)]
    parts += [f'<p class="warn">{escape(text)}</p>' for text in report.warnings]
    figures = plots.figures(report)
    if figures:
        parts.append('<div class="grid">' + "".join(_card(t, s) for t, s in figures) + "</div>")
    parts += [_section(section) for section in report.sections]
    if report.dropped:
        items = ", ".join(f"{count:,} {escape(why)}" for why, count in report.dropped.items())
        parts.append(_card("Dropped", f"<p>{items}</p>"))
    if report.mistakes:
        parts.append("<h2>Worst mistakes: the worse response scored higher</h2>")
        parts += [_mistake(mistake) for mistake in report.mistakes]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _card(title: str, body: str) -> str:
    return f'<section class="card"><h2>{escape(title)}</h2>{body}</section>'


def _facts(report: Report) -> str:
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in report.facts.items())
    return f"<dl>{rows}</dl>"


def _tiles(report: Report) -> str:
    tiles = []
    for name in TILES:
        if name in report.numbers:
            value, interval, _ = cells(report.numbers[name])
            tiles.append(
                f'<div class="tile"><span>{escape(name)}</span><b>{value}</b>'
                f"<span>{escape(interval)}</span></div>"
            )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _section(section: Section) -> str:
    rows = []
    for name, value, meaning in section.lines:
        number, interval, n = cells(value)
        rows.append(
            f'<tr><td>{escape(name)}</td><td class="n">{number}</td><td>{interval}</td>'
            f'<td class="n">{n}</td><td class="m">{escape(meaning)}</td></tr>'
        )
    head = "<tr><th></th><th></th><th>95 % interval</th><th>n</th><th></th></tr>"
    if not any("to" in cells(value)[1] for _, value, _ in section.lines):
        head = ""
    note = f'<p class="note">{escape(section.note)}</p>' if section.note else ""
    return _card(section.title, f"<table>{head}{''.join(rows)}</table>{note}")


def _mistake(mistake: Mistake) -> str:
    return (
        f'<section class="card"><pre class="prompt">{escape(mistake.prompt)}</pre>'
        '<div class="sides">'
        f'<div class="side better"><b>People prefer</b><pre>{escape(mistake.better)}</pre></div>'
        f'<div class="side worse"><b>The model prefers, by {mistake.margin:.2f}</b>'
        f"<pre>{escape(mistake.worse)}</pre></div></div>"
        f'<p class="note"><code>{escape(mistake.source)}</code></p></section>'
    )
