"""One self-contained HTML page: no script, no external file, light and dark, for any width."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from certlip.errors import InputError
from certlip.report.base import Document, ReportFormat, Run, Sample
from certlip.report.numbers import measured, percent
from certlip.report.plots import SERIES, SIZES, accuracy_plot, radius_plot
from certlip.report.view import build

TEMPLATES = Path(__file__).parent / "templates"


def require_packages() -> None:
    """Tell before hours of work, not after, that a page cannot be written.

    Raises:
        InputError: a package of the extra `report` is not installed.
    """
    for name in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"format html: {name} is not installed; expected the extra certlip[report]"
            )


class HtmlFormat(ReportFormat):
    """Headline numbers, what is proven and what is not, curves, classes, blocks, settings."""

    name = "html"
    suffix = ".html"

    def render(
        self, document: Document, samples: Sequence[Sample], compare: Sequence[Run] = ()
    ) -> str:
        require_packages()
        import jinja2

        if len(compare) >= len(SERIES):
            raise InputError(
                f"compare: {len(compare)} runs; expected at most {len(SERIES) - 1} beside this one"
            )
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters.update(measured=measured, percent=percent)
        view = build(document, samples, compare)
        try:
            return environment.get_template("certify.html").render(view, figures=_figures(view))
        except jinja2.UndefinedError as error:
            raise InputError(f"results: {error}; expected a complete document") from error


def _figures(view: dict[str, Any]) -> dict[str, Any]:
    """Return the SVGs of both sizes; these are the only values the template does not escape."""
    from markupsafe import Markup

    if not any(run.curve.n for run in view["runs"]):
        return {}
    series = [(run.curve, run.points) for run in view["runs"]]
    figures = {"accuracy": "".join(accuracy_plot(series, size) for size in SIZES)}
    if view["run"].curve.radii:
        figures["radius"] = "".join(radius_plot(view["run"].curve, size) for size in SIZES)
    return {name: Markup(svg) for name, svg in figures.items()}
