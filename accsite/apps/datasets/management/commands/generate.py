"""``manage.py generate handwritten_digits --n 500 --seed 7 --size 32``: queue the making of a dataset."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accsite.apps.datasets.services import generation
from accsite.apps.jobs.following import JobCommand
from accsite.apps.registry import params
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.cli import parse_params


class Command(JobCommand):
    """Submit a generate job; each parameter of the generator is an option of its own."""

    help = (
        "Queue the making of a dataset by a generator. Its parameters are options: `generate <name> --help` shows "
        "them. Exit status: 0 queued (with --follow: succeeded), 1 failed or stopped, 2 bad input."
    )
    _generator: Plugin | None = None

    def run_from_argv(self, argv: list[str]) -> None:
        """Find the generator first, since its parameters are options."""
        named = next((word for word in argv[2:] if not word.startswith("-")), "")
        self._generator = params.find(PluginKind.GENERATOR, named)
        super().run_from_argv(argv)

    def add_options(self, parser: ArgumentParser) -> None:
        """Declare the arguments, those of the generator's parameters as well."""
        parser.add_argument("generator", help="class name, or handwritten_digits for HandwrittenDigits")
        parser.add_argument("--n", help="how many images (default: as many as the generator has)")
        parser.add_argument("--seed", default="0", help="default: %(default)s")
        parser.add_argument("--name", default="", help="of the dataset (default: the generator's label)")
        parser.add_argument(
            "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter, the long way"
        )
        parser.add_argument(
            "--force", action="store_true", help="make anew what the same parameters and seed have made"
        )
        parser.add_argument("--follow", action="store_true", help="show the job until it ends")
        if self._generator is not None:
            params.add_flags(parser, self._generator)

    def run(self, **options: Any) -> int:
        found = params.find(PluginKind.GENERATOR, options["generator"])
        job = generation.submit_generation(
            actor=self.actor,
            generator=found.name if found else options["generator"],
            params={**params.given(options), **parse_params(options["param"])},
            n=options["n"],
            seed=options["seed"],
            name=options["name"],
            force=options["force"],
        )
        return self.submitted(job, options)
