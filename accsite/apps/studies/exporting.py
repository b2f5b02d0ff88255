"""A study as a file: all numbers, a table or figures for a paper, or one page that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from acc.studies import Result, figures, report
from acc.studies import Study as Plan
from accsite.apps.studies.curves import curves_of
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import results_of


@dataclass(frozen=True)
class Form:
    """A kind of file. words: what it is; ending: of its name; drawn: whether it can be had part by part."""

    name: str
    words: str
    ending: str
    media_type: str
    make: Callable[[Plan, Sequence[Result]], str | bytes]
    drawn: bool = False

    def made_of(self, study: Study, part: str = "all", curve: str = "") -> bytes:
        """Return a study in this form; raises InvalidInput where a library for it is not installed.

        part: of a figure, see ``acc.studies.figures``; curve: the loss or metric of its curves, by default the total.
        """
        if self.drawn:
            wanted = [_over_steps(study, curve)] if part in ("all", "curves") else []
            return figures.draw(study.planned, results_of(study), self.name, part, wanted)
        made = self.make(study.planned, results_of(study))
        return made.encode() if isinstance(made, str) else made


def _over_steps(study: Study, name: str) -> figures.OverSteps:
    found = curves_of(study, name)
    curves = [figures.Curve(line.label, line.n, line.mean, line.low, line.high) for line in found.lines]
    return figures.OverSteps(found.name, found.steps, curves)


FORMS = {
    form.name: form
    for form in (
        Form("html", "one page", "html", "text/html; charset=utf-8", report.html),
        Form("latex", "LaTeX", "tex", "application/x-tex; charset=utf-8", report.latex),
        Form("csv", "CSV", "csv", "text/csv; charset=utf-8", report.csv_text),
        Form("parquet", "Parquet", "parquet", "application/vnd.apache.parquet", report.parquet),
        Form("svg", "SVG", "svg", "image/svg+xml", partial(figures.draw, form="svg"), drawn=True),
        Form("pdf", "PDF", "pdf", "application/pdf", partial(figures.draw, form="pdf"), drawn=True),
    )
}
