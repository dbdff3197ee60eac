"""What a reader is given: a page that needs nothing from outside, and the same numbers as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..disk import write_whole
from ..errors import StoreError
from ..metrics import Interval
from ..rows import LeftOut, summed

RESEARCH_USE = "Research use only: not for diagnosis."

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; } caption { text-align: left; color: #555; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.own { background: #eef5ff; font-weight: 600; }
.bar { display: block; height: 4px; background: #4477aa; margin-top: 2px; }
.warning { border-left: 4px solid #cc6600; background: #fff6ec; padding: .4rem .8rem; margin: .4rem 0; }
small { color: #555; } details { margin: .5rem 0; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #1b1b1b; }
  th, td { border-color: #444; }
  tr.own { background: #1d2b3d; } .warning { background: #33261a; } small, caption { color: #aaa; } }
"""


@dataclass(frozen=True)
class Table:
    """Rows of scores: of each system its values in the order of ``columns``; ``own`` rows are marked."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Interval | float | int | str | None, ...]], ...]
    note: str = ""
    own: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Report:
    """A page: facts of what was done, what a reader must know first, tables, and rows that were left out."""

    title: str
    facts: dict[str, Any]
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values that JSON can hold; numbers that are none are null."""
        tables = [
            {
                "title": table.title,
                "note": table.note,
                "rows": [
                    {"system": name, **{c: _plain(v) for c, v in zip(table.columns, values, strict=True)}}
                    for name, values in table.rows
                ],
            }
            for table in self.tables
        ]
        return {
            "title": self.title,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "disclaimer": RESEARCH_USE,
            "facts": self.facts,
            "warnings": list(self.warnings),
            "tables": tables,
            "left_out": [vars(item) for item in self.left_out],
            "left_out_reasons": summed(self.left_out),
            **self.more,
        }

    def html(self) -> str:
        """Return the page: no script, no font, no picture from elsewhere."""
        facts = "".join(
            f"<tr><th>{escape(key)}</th><td>{escape(str(value))}</td></tr>"
            for key, value in self.facts.items()
        )
        parts = [f"<h1>{escape(self.title)}</h1><p><small>{RESEARCH_USE}</small></p><table>{facts}</table>"]
        parts += [f'<p class="warning">{escape(text)}</p>' for text in self.warnings]
        parts += [_table(table) for table in self.tables]
        if self.left_out:
            counted = "".join(
                f"<li>{count} × {escape(reason)}</li>" for reason, count in summed(self.left_out).items()
            )
            rows = "".join(f"<li>{escape(str(item))}</li>" for item in self.left_out)
            parts.append(
                f"<h2>Left out: {len(self.left_out)} rows</h2><ul>{counted}</ul>"
                f"<details><summary>each row</summary><ul>{rows}</ul></details>"
            )
        head = f'<meta charset="utf-8"><title>{escape(self.title)}</title><style>{_STYLE}</style>'
        return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'

    def markdown(self) -> str:
        """Return the tables as Markdown, for a terminal or a file of results."""
        parts = []
        for table in self.tables:
            lines = [f"### {table.title}", ""] + ([table.note, ""] if table.note else [])
            lines += [f"| | {' | '.join(table.columns)} |", f"|---|{'---|' * len(table.columns)}"]
            for name, values in table.rows:
                cells = ["" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in values]
                lines.append(f"| {name} | {' | '.join(cells)} |")
            parts.append("\n".join(lines))
        return "\n\n".join(parts)

    def write(self, folder: str | Path) -> tuple[Path, Path]:
        """Write ``report.html`` and ``report.json`` into a folder; raises StoreError where it cannot."""
        place = Path(folder)
        page, numbers = place / "report.html", place / "report.json"
        try:
            place.mkdir(parents=True, exist_ok=True)
            write_whole(page, self.html().encode())
            write_whole(numbers, json.dumps(self.to_dict(), indent=2, ensure_ascii=False).encode())
        except OSError as error:
            raise StoreError(
                f"The report cannot be written to {place}: {error.strerror or error}."
            ) from error
        return page, numbers


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return {key: _plain(part) for key, part in vars(value).items()}
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *table.columns))
    rows = []
    for name, values in table.rows:
        own = ' class="own"' if name in table.own else ""
        rows.append(f"<tr{own}><th>{escape(name)}</th>{''.join(map(_cell, values))}</tr>")
    note = f"<caption>{escape(table.note)}</caption>" if table.note else ""
    return f"<h2>{escape(table.title)}</h2><table>{note}<tr>{head}</tr>{''.join(rows)}</table>"


def _cell(value: Any) -> str:
    if isinstance(value, Interval):
        width = max(0.0, min(1.0, value.score)) * 100 if np.isfinite(value.score) else 0
        bar = f'<span class="bar" style="width:{width:.0f}%"></span>'
        return f'<td class="number">{escape(str(value))}{bar}</td>'
    if value is None:
        return "<td></td>"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return f'<td class="number">{escape(text)}</td>'
