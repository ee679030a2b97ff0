"""picture.py - medians and their intervals as an SVG: a dot and a line in a row each, in groups.

The picture is one file of its own, has the colours of the reader's light or dark scheme, and is the same for the same
figures.
"""
import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

LABEL, PLOT, TEXT, ROW, TOP, MARGIN = 250, 430, 200, 22, 76, 16

LIGHT = {"paper": "#ffffff", "ink": "#1f2328", "dim": "#656d76", "grid": "#d8dee4", "plain": "#0969da",
         "good": "#1a7f37", "bad": "#cf222e", "mark": "#8250df", "none": "#8c959f"}
DARK = {"paper": "#0d1117", "ink": "#e6edf3", "dim": "#8d96a0", "grid": "#30363d", "plain": "#58a6ff",
        "good": "#3fb950", "bad": "#f85149", "mark": "#bc8cff", "none": "#6e7681"}


def _colours(scheme):
    """Without variables, which not every program that shows pictures knows."""
    strokes = "".join(f".{name} {{ stroke: {scheme[name]}; fill: {scheme[name]} }} "
                      for name in ("grid", "plain", "good", "bad", "mark", "none"))
    return (f".paper {{ fill: {scheme['paper']} }} text {{ fill: {scheme['ink']} }} "
            f"text.dim {{ fill: {scheme['dim']} }} {strokes}")


STYLE = ("text { font: 12px system-ui, sans-serif } .title { font-size: 15px } .title, .group { font-weight: 600 }\n"
         f"{_colours(LIGHT)}\n@media (prefers-color-scheme: dark) {{ {_colours(DARK)} }}")


@dataclass
class Row:
    label: str
    value: float = 0
    low: float = 0
    high: float = 0
    text: str = ""
    kind: str = "plain"  # good, bad, mark or none


@dataclass
class Group:
    """Rows that share a heading and an axis; in a logarithmic one all values are above 0."""
    name: str
    rows: list
    unit: str = ""


def _log_ticks(low, high):
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [10.0 ** e for e in range(first, max(last, first + 1) + 1)]
    return ticks if len(ticks) <= 8 else ticks[::(len(ticks) + 7) // 8] + [ticks[-1]]


def _linear_ticks(low, high):
    span = max(high - low, 1e-9)
    step = 10.0 ** math.floor(math.log10(span / 3))
    step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [i * step for i in range(first, last + 1)]


class _Axis:
    """Values as places of the plot; at reads 0 where the ticks begin, 1 where they end."""

    def __init__(self, rows, is_log):
        low, high = min(r.low for r in rows), max(r.high for r in rows)
        self.ticks = _log_ticks(low, high) if is_log else _linear_ticks(min(low, 0), max(high, 0))
        self.scale = math.log10 if is_log else float

    def x(self, value):
        first, last = self.scale(self.ticks[0]), self.scale(self.ticks[-1])
        return MARGIN + LABEL + PLOT * (self.scale(value) - first) / (last - first)


def _text(x, y, words, style="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def _row(axis, row, y):
    x, low, high = axis.x(row.value), axis.x(row.low), axis.x(row.high)
    yield _text(MARGIN + LABEL - 10, y + 4, row.label, anchor="end")
    yield f'<g class="{row.kind}"><title>{escape(row.label + ": " + row.text)}</title>'
    yield f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke-width="2.5" stroke-linecap="round"/>'
    yield f'<circle cx="{x:.1f}" cy="{y}" r="4"/></g>'
    yield _text(MARGIN + LABEL + PLOT + 12, y + 4, row.text, "dim")


def _group(group, top, is_log, tick_text):
    axis = _Axis(group.rows, is_log)
    bottom = top + ROW * (len(group.rows) + 1)
    yield _text(MARGIN, top, group.name, "group")
    yield _text(MARGIN + LABEL + PLOT + 12, top, group.unit, "dim")
    for tick in axis.ticks:
        x = axis.x(tick)
        width = 2 if not is_log and tick == 0 else 1
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top + 8}" y2="{bottom - 6}" stroke-width="{width}"/>'
        yield _text(x, bottom + 8, tick_text(tick), "dim", "middle")
    for i, row in enumerate(group.rows):
        yield from _row(axis, row, top + ROW * (i + 1))


def write(path, title, note, groups, is_log=True, tick_text="{:g}".format):
    """Each group with its own axis below."""
    groups = [g for g in groups if g.rows]
    width, y, parts = 2 * MARGIN + LABEL + PLOT + TEXT, TOP, []
    for group in groups:
        parts += _group(group, y, is_log, tick_text)
        y += ROW * (len(group.rows) + 3)
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img">',
            f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{width}" height="{y}"/>',
            _text(MARGIN, 26, title, "title"), _text(MARGIN, 44, note, "dim")]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(head + parts + ["</svg>\n"]))
