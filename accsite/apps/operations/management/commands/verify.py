"""``manage.py verify all``: does on the running installation what each milestone promises, and says if it held."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from rich.markup import escape

from accsite.apps.operations.verify import Step, Verification
from accsite.apps.operations.verify_milestones import MILESTONES, Site
from accsite.apps.operations.verify_workshop import Workshop
from accsite.cli import FAILED, INTERRUPTED, SUCCEEDED, ServiceCommand

ALL = "all"


class Command(ServiceCommand):
    """Verify the running installation."""

    help = (
        "Do on the running installation each line of the milestones' lists, and say whether it held. What it makes "
        "is private and is removed again. Exit status: 0 all held, 1 something did not, 2 bad input, 130 interrupted."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        what = "; ".join(f"{name}: {milestone.title}" for name, milestone in MILESTONES.items())
        parser.add_argument(
            "milestone",
            nargs="*",
            default=ALL,
            metavar="MILESTONE",
            choices=[*MILESTONES, ALL],
            help=f"{what}; {ALL}",
        )
        parser.add_argument("--list", action="store_true", help="print the lists, and do nothing")

    def run(self, **options: Any) -> int:
        """Verify one milestone after the other, and clean up."""
        chosen = (
            list(MILESTONES) if ALL in options["milestone"] else list(dict.fromkeys(options["milestone"]))
        )
        if options["list"]:
            self.show_lists(
                chosen,
            )
            return SUCCEEDED
        run = Verification(self.print_step if self.json else self.show_step)
        shop = Workshop(self.actor)
        ended = signal.signal(signal.SIGTERM, _interrupt)
        try:
            run.run("site", lambda: Site(shop).verify(run))
            for name in chosen if run.ok else ():
                run.run(name, lambda name=name: MILESTONES[name](shop).verify(run))  # type: ignore[misc]
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            run.run("site", lambda: clean_up(run, shop))
            signal.signal(signal.SIGTERM, ended)
        return SUCCEEDED if run.ok else FAILED

    def show_lists(self, chosen: list[str]) -> None:
        """Print the list of each milestone."""
        for name in chosen:
            milestone = MILESTONES[name]
            if not self.json:
                self.stdout.write(f"{name}  {milestone.title}")
            for text in milestone.promises():
                self.tell({"milestone": name, "title": milestone.title, "promise": text}, f"    {text}")

    def print_step(self, step: Step) -> None:
        self.print_json(step.as_dict())

    def show_step(self, step: Step) -> None:
        """Print a step as a line."""
        mark = "[dim]\N{EN DASH}[/dim]" if step.skipped else "[green]✓[/green]" if step.ok else "[red]✗[/red]"
        text = f"  [dim]{escape(step.text)}[/dim]" if step.text else ""
        self.print_lines([f"{mark} {step.milestone:4} {step.seconds:6.2f} s  {escape(step.name)}{text}"])
        self.out.flush()


def clean_up(run: Verification, shop: Workshop) -> None:
    """Remove what was made."""
    with run.step("what was made is removed") as step:
        left = shop.clean()
        step.text = "; ".join(left)
        if left:
            raise RuntimeError(f"not all could be removed: {'; '.join(left)}")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
