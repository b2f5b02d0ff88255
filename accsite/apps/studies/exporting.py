"""A study as a file: all numbers, a table for a paper, or one page that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acc.studies import Result, report
from acc.studies import Study as Plan
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import results_of


@dataclass(frozen=True)
class Form:
    """A kind of file. words: what it is; ending: of its name."""

    name: str
    words: str
    ending: str
    media_type: str
    make: Callable[[Plan, Sequence[Result]], str | bytes]

    def made_of(self, study: Study) -> bytes:
        """Return a study in this form; raises InvalidInput where a library for it is not installed."""
        made = self.make(study.planned, results_of(study))
        return made.encode() if isinstance(made, str) else made


FORMS = {
    form.name: form
    for form in (
        Form("html", "one page", "html", "text/html; charset=utf-8", report.html),
        Form("latex", "LaTeX", "tex", "application/x-tex; charset=utf-8", report.latex),
        Form("csv", "CSV", "csv", "text/csv; charset=utf-8", report.csv_text),
        Form("parquet", "Parquet", "parquet", "application/vnd.apache.parquet", report.parquet),
    )
}
