"""``manage.py jobs [list | show | log | losses | follow | stop | pause | resume | retry | requeue]``: from a shell."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from django.db.models import Model

from acc import messages
from acc.errors import InvalidInput
from accsite.actions import ActionType, things_of
from accsite.actions.commands import ActionCommand
from accsite.apps.jobs.following import finite, follow
from accsite.apps.jobs.log_view import follow_log
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_state, job_states, logs, waits_for
from accsite.apps.jobs.states import JobState
from accsite.apps.training import exporting, selectors
from accsite.cli import SUCCEEDED


class Command(ActionCommand):
    """List, show, follow and steer jobs."""

    help = (
        "List the jobs, or show, follow, stop, pause or resume one (one that failed or was stopped goes on at its "
        "newest checkpoint), retry it (a new job is asked the same) or requeue it (it "
        "is taken from its worker), or print its losses (CSV, or JSON a step; --out and --format write a file), or "
        "its log: what its processes printed. "
        "Exit status 2 for bad input."
    )
    on: ClassVar[type[Model]] = Job
    called: ClassVar[str] = "id of the job"
    own: ClassVar[tuple[str, ...]] = ("list", "show", "log", "losses", "follow")
    typed: ClassVar[type] = int

    def add_verbs(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", help="list: those that have ended as well")
        parser.add_argument(
            "--previews",
            action="store_true",
            help="list: also the evaluations that draw what a running training has come to",
        )
        parser.add_argument(
            "--limit", type=int, default=20, help="list: how many, newest first (default: 20)"
        )
        parser.add_argument("--follow", action="store_true", help="log, retry: go on until the job has ended")
        parser.add_argument("--search", default="", help="log: only the lines that hold this")
        parser.add_argument(
            "--attempt", type=int, help="log: of this attempt (default: the newest that printed)"
        )
        parser.add_argument("--rank", type=int, help="log: of this rank (default: the first that printed)")
        parser.add_argument(
            "--format", default="", help=f"losses: {', '.join(exporting.FORMS)}; empty: by the name of --out"
        )
        parser.add_argument("--out", type=Path, help="losses: write them into this file, which must be new")
        parser.add_argument(
            "--stop-on-interrupt", action="store_true", help="follow, retry --follow: Ctrl-C stops the job"
        )

    def run_own(self, **options: Any) -> int:
        verb = options["verb"]
        rows = Job.objects.all() if self.actor is None else Job.objects.visible_to(self.actor)
        rows = rows.select_related("branch__experiment", "worker")
        if verb == "list":
            if options["limit"] < 1:
                raise InvalidInput({"limit": f"{options['limit']} is refused; list at least 1"})
            found = rows if options["all"] else rows.active()
            shown = found if options["previews"] else found.filter(preview=False)
            self._list(job_states(list(shown.order_by("-pk")[: options["limit"]])), options)
            hidden = 0 if options["previews"] else found.filter(preview=True).count()
            if hidden:
                self.stderr.write(
                    f"previews of running trainings not shown: {hidden}; --previews lists them too", str
                )
            return SUCCEEDED
        chosen = self.find(options)
        if verb == "follow":
            return follow(
                chosen,
                out=self.out,
                as_json=self.json,
                stop_on_interrupt=options["stop_on_interrupt"],
            )
        if verb == "log":
            return follow_log(
                chosen,
                out=self.out,
                as_json=self.json,
                word=options["search"],
                attempt=options["attempt"],
                rank=options["rank"],
                go_on=options["follow"],
            )
        if verb == "losses":
            self._losses(chosen, options["format"], options["out"])
            return SUCCEEDED
        self._show(chosen)
        return SUCCEEDED

    def told(self, kind: ActionType, thing: Any, row: Any) -> None:
        if kind.makes is None:
            self._show(things_of(Job).find(None, str(row.pk)))
        else:
            super().told(kind, thing, row)

    def find(self, options: Mapping[str, Any]) -> Any:
        return super().find({"thing": "" if options["thing"] is None else options["thing"]})

    def _list(self, states: list[messages.Job], options: dict[str, Any]) -> None:
        if self.json:
            for state in states:
                self.print_json(state)
            return
        rows = []
        for state in states:
            step = f"{state['step']}/{state['total_steps']}" if state["total_steps"] else ""
            rate = f"{state['rate']:.1f}/s" if state["rate"] and state["active"] else ""
            place = f" (place {state['place']} in {state['queue']})" if state["place"] else ""
            label = state["state_label"] + place
            rows.append((state["id"], label, step, rate, state["worker"] or "", state["title"]))
        if rows:
            self.print_table(("Job", "State", "Step", "Rate", "Worker", "Title"), rows)
        else:
            self.stdout.write(
                "no jobs" if options["all"] else "no job is waiting or running; --all lists the others"
            )

    def _losses(self, job: Job, form: str, out: Path | None) -> None:
        form = form or exporting.form_of(out.name if out else "")
        exporting.check(form)
        if out is None and form != "csv":
            raise InvalidInput({"out": f"{form} is no text; name a new file with --out"})
        points = selectors.loss_history(job, clock=True)
        header, columns = points
        if out is not None:
            self._write(exporting.FORMS[form].pieces(points), out)
            self.stdout.write(f"{header['stop'] - header['start']:,} steps written to {out}")
        elif self.json:
            for place in range(columns.shape[1]):
                values = dict(zip(header["series"], map(float, columns[:, place]), strict=True))
                self.print_json({"step": header["start"] + place, **finite(values)})
        else:
            for piece in exporting.csv(points):
                self.stdout.write(piece.decode(), ending="")

    @staticmethod
    def _write(pieces: Iterator[bytes], out: Path) -> None:
        """Write a new file; raises InvalidInput (out) and leaves none behind if that fails."""
        try:
            with out.open("xb") as file:
                try:
                    file.writelines(pieces)
                except BaseException:
                    out.unlink()
                    raise
        except FileExistsError as error:
            raise InvalidInput({"out": f"{out} is there already; name a new file"}) from error
        except OSError as error:
            raise InvalidInput({"out": f"{out} cannot be written: {error.strerror or error}"}) from error

    def _show(self, job: Job) -> None:
        state, losses = job_state(job), selectors.task_losses(job)
        if self.json:
            self.print_json({**state, "losses": finite(losses)})
            return
        for name in (
            "title",
            "state_label",
            "step",
            "total_steps",
            "rate",
            "elapsed_seconds",
            "worker",
            "message",
        ):
            if state[name] not in (None, ""):
                self.stdout.write(f"{name.replace('_', ' '):16} {state[name]}")
        if waits := waits_for(job):
            self.stdout.write(f"{'':16} {waits}")
        if state["asked"]:
            self.stdout.write(f"{'asked to':16} {', '.join(state['asked'])}")
        for name, value in losses.items():
            self.stdout.write(f"{'loss':16} {name} {value:.5g}")
        if job.traceback:
            self.stdout.write(f"\n{job.traceback}")
        if job.state == JobState.FAILED and (lines := logs.last_lines(job)):
            self.stdout.write(f"\nthe last lines that it printed (`manage.py jobs log {job.pk}` has all):")
            self.stdout.write("\n".join(lines))
