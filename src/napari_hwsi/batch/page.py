"""The summary of a batch as plain pages: no scripts, nothing fetched, every word escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from .cases import Case
from .job import STATES, Outcome, State

PER_PAGE = 500
"""Slides on one page, so that a browser can hold it with its thumbnails."""

# Told apart by sign and word; the colours (Okabe and Ito's) differ for colour-blind eyes too.
_SIGNS: Mapping[State, str] = {"done": "✓", "failed": "✗", "stopped": "■"}
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse } th, td { padding: .3em .8em; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #444 } td { border-bottom: 1px solid #ccc } td.n { text-align: right }
img { max-width: 160px; max-height: 120px; display: block }
.done { color: #0072b2 } .failed { color: #b34700; font-weight: bold } .stopped { color: #555 }
"""
_COUNTS = ("regions_analysed", "kept_patches", "cells")


def pages(
    outcomes: Sequence[Outcome], cases: Sequence[Case], times: tuple[datetime, datetime]
) -> dict[str, str]:
    """Return the pages by file name: ``batch.html``, and ``batch-2.html`` … where slides are many."""
    starts = range(0, max(len(outcomes), 1), PER_PAGE)
    names = ["batch.html", *(f"batch-{i}.html" for i in range(2, len(starts) + 1))]
    links = " ".join(f'<a href="{name}">{i}</a>' for i, name in enumerate(names, 1)) if len(names) > 1 else ""
    number = {state: sum(each.state == state for each in outcomes) for state in STATES}
    tally = ", ".join(_sign(state, f"{number[state]} {state}") for state in STATES)
    first, last = (time.isoformat(" ", "seconds") for time in times)
    head = f"<h1>{len(outcomes)} slides</h1><p>{tally}</p><p>{first} to {last}</p>"
    return {
        name: _page(
            head + f"<p>{links}</p>" * bool(links),
            _slides(outcomes[start : start + PER_PAGE]),
            _cases(cases) if start == 0 else "",
        )
        for name, start in zip(names, starts, strict=True)
    }


def _page(*parts: str) -> str:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Slides analysed</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{_STYLE}</style></head><body>'
        + "".join(parts)
        + "<p>Research use only: not for diagnosis.</p></body></html>\n"
    )


def _slides(outcomes: Sequence[Outcome]) -> str:
    head = ("", "slide", "state", "patient", "label", "regions", "kept patches", "cells", "seconds")
    return _table(head, [_slide(outcome) for outcome in outcomes])


def _slide(outcome: Outcome) -> str:
    picture = ""
    if outcome.thumbnail:
        data = base64.b64encode(outcome.thumbnail).decode()
        picture = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    state = _sign(outcome.state, outcome.state)
    notes = [escape(outcome.reason)] if outcome.reason else []
    if outcome.starts > 1:
        notes.append(f"begun {outcome.starts} times, as its worker died")
    cells = [
        f"<td>{picture}</td>",
        f'<td title="{escape(outcome.job.slide)}">{escape(outcome.job.name)}</td>',
        f"<td>{'<br>'.join([state, *notes])}</td>",
        f"<td>{escape(outcome.job.patient)}</td><td>{escape(outcome.job.label)}</td>",
        *(f'<td class="n">{outcome.counts.get(name, "")}</td>' for name in _COUNTS),
        f'<td class="n">{outcome.seconds:.1f}</td>',
    ]
    return "".join(cells)


def _sign(state: State, text: str) -> str:
    return f'<span class="{state}">{_SIGNS[state]} {text}</span>'


def _cases(cases: Sequence[Case]) -> str:
    if not cases:
        return ""
    rows = [
        "".join(f"<td>{escape(text)}</td>" for text in (case.patient, case.label, ", ".join(case.slides)))
        + f'<td class="n">{float(case.tissue_mm2.sum()):.2f}</td><td>{escape(", ".join(case.missing))}</td>'
        for case in cases
    ]
    return "<h2>Cases</h2>" + _table(("patient", "label", "slides", "tissue, mm²", "missing"), rows)


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><tr>{names}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
