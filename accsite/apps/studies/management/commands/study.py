"""``manage.py study list | show | export``, and what can be done to a study, from a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from django.db.models import Model

from acc.errors import InvalidInput
from acc.studies.space import shown
from accsite.actions.commands import ActionCommand
from accsite.apps.studies import exporting
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import (
    SweepState,
    find_study,
    seen_studies,
    state_of,
    study_state,
    study_summary,
)
from accsite.cli import SUCCEEDED, behind_verbs

SHOWN = 20


class Command(ActionCommand):
    """List studies, show and export one, and act on it."""

    help = (
        "Studies: `study list`, `study show|export|start|stop|extend|arm STUDY`. One is written down by "
        "`branches repeat EXPERIMENT/BRANCH`. A sweep, by `branches sweep EXPERIMENT/BRANCH`, takes "
        "`study trials` and `study confirm` besides. Exit status: 0 done, 1 not allowed, 2 bad input."
    )
    on: ClassVar[type[Model]] = Study
    called: ClassVar[str] = "slug or name"

    def add_verbs(self, verbs: Any) -> None:
        verbs.add_parser("list", parents=[behind_verbs()], help="the newest")
        showing = verbs.add_parser(
            "show", parents=[behind_verbs()], help="what may be said of one, and its numbers"
        )
        showing.add_argument("thing", metavar="study", help=self.called)
        making = verbs.add_parser("export", parents=[behind_verbs()], help="write one to a file")
        making.add_argument("thing", metavar="study", help=self.called)
        making.add_argument("path", help="that ends in .html, .tex, .csv or .parquet")

    def run_own(self, **options: Any) -> int:
        if options["verb"] == "list":
            for study in seen_studies(self.actor).select_related("run__job")[:SHOWN]:
                self._line(study)
            return SUCCEEDED
        study = find_study(self.actor, options["thing"])
        if options["verb"] == "export":
            self._export(study, Path(options["path"]))
        else:
            self._show(study)
        return SUCCEEDED

    def _line(self, study: Study) -> None:
        told = study_summary(study)
        failed = f", {told['failed']} failed" if told["failed"] else ""
        self.tell(told, f"{study.slug}  {state_of(study)}  {told['done']} of {told['planned']} done{failed}")

    def _show(self, study: Study) -> None:
        if self.json:
            self.print_json(study_state(study))
            return
        self._line(study)
        told = study_state(study)
        for sentence in [*(claim["sentence"] for claim in told["claims"]), *told["warnings"]]:
            self.stdout.write(f"  {sentence}")
        if told["sweep"] is not None:
            self._rank(told["sweep"])
            return
        for row in told["results"]:
            values = "  ".join(f"{name} {_short(value['value'])}" for name, value in row["values"].items())
            self.stdout.write(
                f"  {row['arm']}, seed {row['seed']}  {row['status']}  {values or row['reason']}".rstrip()
            )

    def _rank(self, told: SweepState) -> None:
        self.stdout.write(
            f"  {told['drawn']} of {told['trials']} trials drawn by {told['sampler']} from {'; '.join(told['space'])}"
        )
        for row in told["ranking"]:
            values = ", ".join(f"{name} {shown(value)}" for name, value in row["values"].items())
            span = "" if row["low"] is None else f" ({_short(row['low'])} to {_short(row['high'])})"
            self.stdout.write(
                f"  {row['rank']}. {row['arm']}  {_short(row['mean'])}{span}, n {row['n']}, {row['state']}  {values}"
            )
        self.stdout.write("  The order is no verdict; `study confirm` asks for one on fresh seeds.")

    def _export(self, study: Study, path: Path) -> None:
        known = {f".{form.ending}": form for form in exporting.FORMS.values()}
        form = known.get(path.suffix)
        if form is None:
            raise InvalidInput(path=f"{str(path)!r} ends in none of: {', '.join(known)}")
        path.write_bytes(form.made_of(study))
        self.tell({"path": str(path)}, f"{path}: {study.name} as {form.words}")


def _short(value: float | None) -> str:
    return "no value" if value is None else f"{value:.4g}"
