"""``manage.py runs --filter "ufr > .5" --sort -ufr --columns lr,ufr``: the table of runs from a shell."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acc.errors import InvalidInput
from accsite.apps.runs import answers, selectors, services
from accsite.apps.runs.models import Run
from accsite.apps.runs.pages import cell_of, mean_cell
from accsite.apps.runs.selectors import Col
from accsite.cli import SUCCEEDED, ServiceCommand


class Command(ServiceCommand):
    """Print runs, or groups of them, or write them to a file."""

    help = (
        "List runs (trainings) with their parameters, losses, metrics and cost, newest first. "
        "Exit status: 0 printed, 2 bad input."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--filter", default="", help="such as 'ufr > .5 and lr = .001 and not state = failed'"
        )
        parser.add_argument(
            "--sort", default="", help="a column; with - before it from its end (--sort=-ufr)"
        )
        parser.add_argument("--columns", default="", help="names with commas between them, such as lr,ufr")
        parser.add_argument(
            "--group", default="", help="a column: print means with 95 %% intervals and n instead"
        )
        parser.add_argument(
            "--limit", type=int, default=50, help="at most so many rows (default: %(default)s)"
        )
        parser.add_argument("--out", help="write all of them to this file, .csv or .parquet")
        parser.add_argument("--names", action="store_true", help="print the columns that there are")
        parser.add_argument(
            "--renew", action="store_true", help="write the rows of all runs anew, from their jobs"
        )

    def run(self, **options: Any) -> int:
        if options["renew"]:
            count = services.write_all()
            self.tell({"runs": count}, f"{count} runs written anew")
            return SUCCEEDED
        known = selectors.columns_of(self.actor)
        if options["names"]:
            for col in known.values():
                self.tell({"name": col.name, "kind": col.kind}, f"{col.name}\t{col.kind}")
            return SUCCEEDED
        visible = selectors.all_runs(self.actor)
        cols = selectors.shown_columns(known, answers.listed(options["columns"]), visible)
        runs = selectors.matching(visible, known, options["filter"])
        if options["limit"] < 1:
            raise InvalidInput({"limit": f"{options['limit']} is out of range; at least 1"})
        if options["group"]:
            self._groups(runs, known, cols, options)
            return SUCCEEDED
        ordered = selectors.sorted_by(runs, known, options["sort"])
        if options["out"]:
            self._file(ordered, answers.with_names(known, cols), Path(options["out"]))
        else:
            self._rows(ordered[: options["limit"]], cols)
        return SUCCEEDED

    def _rows(self, ordered: Any, cols: Sequence[Col]) -> None:
        found: list[Run] = list(ordered.select_related("experiment", "branch", "created_by", "job"))
        rows = selectors.rows_of(found, cols)
        if self.json:
            for row in rows:
                self.print_json(answers.run_as_json(row))
            return
        lines = []
        for row in rows:
            cells = [cell_of(col, row.values.get(col.name), row.run) for col in cols]
            told = [f"{cell.moment:%Y-%m-%d %H:%M}" if cell.moment else cell.text for cell in cells]
            lines.append([row.run.pk, row.run.branch, *told])
        self.print_table(["run", "branch", *(col.words for col in cols)], lines)

    def _groups(self, runs: Any, known: dict[str, Col], cols: Sequence[Col], options: dict[str, Any]) -> None:
        numbers = [col for col in cols if col.kind == "number" and col.name != "run"]
        found = selectors.groups(runs, known, numbers, options["group"], options["sort"])
        shown = found.groups[: options["limit"]]
        if self.json:
            for group in shown:
                self.print_json(answers.group_as_json(group))
            return
        lines = []
        for group in shown:
            cells = [mean_cell(col, group.means.get(col.name), len(group.runs)) for col in numbers]
            told = [f"{cell.text} {cell.more}".strip() for cell in cells]
            lines.append([group.label, len(group.runs), *told])
        self.print_table([found.by.words, "n", *(col.words for col in numbers)], lines)

    def _file(self, ordered: Any, cols: Sequence[Col], path: Path) -> None:
        form = path.suffix.removeprefix(".")
        if form not in answers.FILES:
            raise InvalidInput({"out": f"{str(path)!r} ends in none of: .{', .'.join(answers.FILES)}"})
        try:
            with path.open("wb") as file:
                file.writelines(answers.FILES[form][1](ordered, cols))
        except OSError as error:
            raise InvalidInput({"out": f"'{path}' cannot be written: {error.strerror}"}) from None
        self.tell({"file": str(path)}, f"{path}: {path.stat().st_size:,} bytes")
