"""The figures of the HTML page, as SVG whose colours follow the page's CSS variables.

matplotlib draws with one marker colour per role; the text it writes is then edited: marker →
`var(--…)`, fixed size → scaling, ids → unique on the page. Same input, same bytes.
"""

from __future__ import annotations

import functools
import io
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ParamSpec

from certlip.report.curve import StepCurve
from certlip.report.numbers import parse_eps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUIET, RULE = "#010204", "#010205"
P = ParamSpec("P")
SERIES = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216")
COLOURS = {
    QUIET: "var(--quiet)",
    RULE: "var(--rule)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)},
}
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)))
SIZES = {"wide": (720, 300), "narrow": (350, 270)}
"""Drawing sizes in units that are about one CSS pixel on a desktop and on a phone."""

Points = Sequence[tuple[str, float]]
"""Requested ε as written, and the certified accuracy that the document gives there."""
Series = tuple[StepCurve, Points]


def _default_style(draw: Callable[P, str]) -> Callable[P, str]:
    """Draw under matplotlib's own defaults, whatever the user's matplotlibrc says."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        import matplotlib as mpl

        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "certlip"})
            return draw(*args, **kwargs)

    return drawn


@_default_style
def accuracy_plot(series: Sequence[Series], size: str) -> str:
    """Return the step curves C(ε), with the requested ε marked; the first series is this run.

    Args:
        series: Curve and marked points of each run; series i has the colour `--series-i`.
        size: A key of `SIZES`.
    """
    marked = [(text, parse_eps(text)) for text, _ in series[0][1]]
    largest = max((curve.radii[-1] for curve, _ in series if curve.radii), default=0.0)
    end = 1.04 * max([largest, *(float(eps) for _, eps in marked)]) or 1.0
    figure, axes = _axes(size)
    for i, (curve, points) in reversed(list(enumerate(series))):
        style = {"color": SERIES[i % len(SERIES)], "zorder": 4.0 - 0.1 * i}
        eps, share = curve.steps(end)
        axes.plot(
            eps,
            share,
            drawstyle="steps-pre",
            linestyle=DASHES[i % len(DASHES)],
            linewidth=2.0 if i == 0 else 1.6,
            **style,
        )
        axes.plot(
            [float(parse_eps(text)) for text, _ in points],
            [value for _, value in points],
            linestyle="",
            marker="o" if i == 0 else "s",
            markersize=6.5 if i == 0 else 5.0,
            **style,
        )
    axes.set_xlim(0.0, end)
    axes.set_ylim(0.0, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("ε (raw input units)", color=QUIET)
    _mark(axes, marked, end, 0.065 if size == "wide" else 0.14)
    return _svg(figure, f"accuracy-{size}")


@_default_style
def radius_plot(curve: StepCurve, size: str) -> str:
    """Return the histogram of the certified radii, one or more: samples per interval."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    figure, axes = _axes(size)
    end = 1.0001 * curve.radii[-1] or 1.0
    edges = np.linspace(0.0, end, 31 if size == "wide" else 19)
    axes.hist(
        edges[:-1],
        bins=edges.tolist(),
        weights=np.diff([bisect_left(curve.radii, edge) for edge in edges]),
        color=SERIES[0],
        rwidth=0.86,
        zorder=3,
    )
    axes.set_xlim(0.0, end)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    axes.set_xlabel("certified radius (raw input units)", color=QUIET)
    axes.set_ylabel("samples", color=QUIET)
    return _svg(figure, f"radius-{size}")


def _axes(size: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    width, height = SIZES[size]
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    axes = figure.add_subplot()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(colors=QUIET, labelcolor=QUIET, length=0, labelsize=11, pad=7)
    axes.xaxis.label.set_fontsize(11)
    axes.yaxis.label.set_fontsize(11)
    axes.grid(axis="y", color=RULE, linewidth=1.0)
    axes.set_axisbelow(True)
    return figure, axes


def _mark(axes: Axes, marked: Sequence[tuple[str, Fraction]], end: float, gap: float) -> None:
    """Draw a line at each requested ε and name it above, where there is room for the name."""
    last = -1.0
    for text, eps in sorted(marked, key=lambda pair: pair[1]):
        x = float(eps)
        axes.axvline(x, color=RULE, linewidth=1.0, zorder=1)
        if x / end - last >= gap:
            axes.text(x, 1.04, text, color=QUIET, ha="center", va="bottom", fontsize=10)
            last = x / end


def _svg(figure: Figure, prefix: str) -> str:
    """Return `<svg …>…</svg>` for use inside a page; `prefix` makes its ids unique there."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(
        stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg [^>]*?)\swidth="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg [^>]*?)\sheight="[^"]*"', r"\1", text)
    text = text.replace("<svg ", f'<svg class="{prefix.split("-")[1]}" aria-hidden="true" ', 1)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-").replace('href="#', f'href="#{prefix}-')
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"font-family: [^;\"]*;?\s*", "", text)
    for colour, variable in COLOURS.items():
        text = text.replace(colour, variable)
    return text.strip()
