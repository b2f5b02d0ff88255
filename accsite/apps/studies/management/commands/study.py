"""``manage.py study list | show | export``, and what can be done to a study, from a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from django.db.models import Model

from acc.errors import InvalidInput
from acc.studies.figures import PARTS
from acc.studies.space import shown
from accsite.actions.commands import ActionCommand
from accsite.apps.recipes.selectors import find_recipe, run_summary
from accsite.apps.recipes.services import recipes
from accsite.apps.studies import exporting
from accsite.apps.studies.following import follow
from accsite.apps.studies.models import Study
from accsite.apps.studies.selectors import (
    SweepState,
    find_study,
    seen_studies,
    state_of,
    study_state,
    study_summary,
)
from accsite.cli import SUCCEEDED, behind_verbs, parse_params
from accsite.errors import WrongState

SHOWN = 20
ENDINGS = {f".{form.ending}": form for form in exporting.FORMS.values()}


class Command(ActionCommand):
    """List studies, show and export one, and act on it."""

    help = (
        "Studies: `study list`, `study show|follow|export|start|stop|extend|arm STUDY`, "
        "`study rename|copy|visibility|handover|remove STUDY`. One is written down by "
        "`branches repeat EXPERIMENT/BRANCH`, or made by a recipe: `study run RECIPE --seeds 10`. A sweep, by "
        "`branches sweep EXPERIMENT/BRANCH`, takes `study trials` and `study confirm` besides. Exit status: 0 done, "
        "1 not allowed, failed or stopped, 2 bad input, 130 detached by Ctrl-C while it goes on."
    )
    on: ClassVar[type[Model]] = Study
    called: ClassVar[str] = "slug or name"

    def add_verbs(self, verbs: Any) -> None:
        verbs.add_parser("list", parents=[behind_verbs()], help="the newest")
        showing = verbs.add_parser(
            "show", parents=[behind_verbs()], help="what may be said of one, and its numbers"
        )
        showing.add_argument("thing", metavar="study", help=self.called)
        following = verbs.add_parser(
            "follow", parents=[behind_verbs()], help="show one until it ends: each seed, and the verdicts"
        )
        following.add_argument("thing", metavar="study", help=self.called)
        running = verbs.add_parser(
            "run", parents=[behind_verbs()], help="run a recipe that makes a study, such as factor_experiment"
        )
        running.add_argument(
            "thing", metavar="recipe", help="class name, or factor_experiment for FactorExperiment"
        )
        running.add_argument("--seeds", help="of each arm; default: as the recipe has it")
        running.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
        running.add_argument("--seed", default="0", help="the first; default: %(default)s")
        running.add_argument("--follow", action="store_true", help="show each seed, and the verdicts")
        making = verbs.add_parser("export", parents=[behind_verbs()], help="write one to a file")
        making.add_argument("thing", metavar="study", help=self.called)
        making.add_argument("path", help=f"that ends in {', '.join(ENDINGS)}")
        making.add_argument("--format", choices=list(exporting.FORMS), help="where the path does not end so")
        making.add_argument(
            "--part", choices=["all", *PARTS], default="all", help="of a figure (SVG, PDF); default: all"
        )

    def run_own(self, **options: Any) -> int:
        if options["verb"] == "list":
            for study in seen_studies(self.actor).select_related("run__job", "run__within__run__job")[:SHOWN]:
                self._line(study)
            return SUCCEEDED
        if options["verb"] == "run":
            return self._run(options)
        study = find_study(self.actor, options["thing"])
        if options["verb"] == "follow":
            if study.run is None:
                raise WrongState(
                    study=f"study {study.name!r} is not started; `manage.py study start {study.slug}`"
                )
            return follow(study.run, actor=self.actor, out=self.out, as_json=self.json)
        if options["verb"] == "export":
            self._export(study, Path(options["path"]), options["format"], options["part"])
        else:
            self._show(study)
        return SUCCEEDED

    def _run(self, options: dict[str, Any]) -> int:
        seeds = {} if options["seeds"] is None else {"seeds": options["seeds"]}
        run = recipes.submit_recipe(
            actor=self.actor,
            recipe=find_recipe(options["thing"]),
            params={**parse_params(options["param"]), **seeds},
            seed=options["seed"],
        )
        assert run.job is not None
        if options["follow"]:
            return follow(run, actor=self.actor, out=self.out, as_json=self.json)
        self.tell(
            run_summary(run),
            f"recipe run {run.pk} queued as job {run.job.pk}; `manage.py study list` shows its study once it is made",
        )
        return SUCCEEDED

    def _line(self, study: Study) -> None:
        told = study_summary(study)
        failed = f", {told['failed']} failed" if told["failed"] else ""
        self.tell(told, f"{study.slug}  {state_of(study)}  {told['done']} of {told['planned']} done{failed}")

    def _show(self, study: Study) -> None:
        if self.json:
            self.print_json(study_state(self.actor, study))
            return
        self._line(study)
        told = study_state(self.actor, study)
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

    def _export(self, study: Study, path: Path, asked: str | None, part: str) -> None:
        form = exporting.FORMS[asked] if asked else ENDINGS.get(path.suffix)
        if form is None:
            raise InvalidInput(path=f"{str(path)!r} ends in none of: {', '.join(ENDINGS)}")
        path.write_bytes(form.made_of(study, part))
        self.tell({"path": str(path)}, f"{path}: {study.name} as {form.words}")


def _short(value: float | None) -> str:
    return "no value" if value is None else f"{value:.4g}"
