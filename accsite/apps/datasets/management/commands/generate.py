"""``manage.py generate handwritten_digits --n 500 --seed 7 --size 32``: queue the making of a dataset."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from typing_extensions import override

from accsite.apps.datasets.services import generation
from accsite.apps.jobs.following import follow
from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_state
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import Plugin, PluginKind
from accsite.cli import SUCCEEDED, ServiceCommand, find_user, parse_params

PARAM_PREFIX = "param_"


class Command(ServiceCommand):
    """Submit a generate job; each parameter of the generator is an option of its own."""

    help = (
        "Queue the making of a dataset by a generator. Its parameters are options: `generate <name> --help` shows "
        "them. Exit status: 0 queued (with --follow: succeeded), 1 failed or stopped, 2 bad input."
    )
    _generator: Plugin | None = None

    @override
    def run_from_argv(self, argv: list[str]) -> None:
        """Find the generator first, since its parameters are options."""
        named = next((word for word in argv[2:] if not word.startswith("-")), "")
        self._generator = find_generator(named)
        super().run_from_argv(argv)

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments, those of the generator's parameters as well."""
        super().add_arguments(parser)
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
        if self._generator is None:
            return
        taken = {option for action in parser._actions for option in action.option_strings}
        group = parser.add_argument_group(f"parameters of {self._generator.name}")
        for param in self._generator.params:
            option = f"--{param['name'].replace('_', '-')}"
            if option not in taken:
                group.add_argument(option, dest=PARAM_PREFIX + param["name"], help=describe(param))

    @override
    def run(self, **options: Any) -> int:
        actor = find_user(options["user"])
        found = find_generator(options["generator"])
        params = {
            name.removeprefix(PARAM_PREFIX): value
            for name, value in options.items()
            if name.startswith(PARAM_PREFIX) and value is not None
        }
        job = generation.submit_generation(
            actor=actor,
            generator=found.name if found else options["generator"],
            params={**params, **parse_params(options["param"])},
            n=options["n"],
            seed=options["seed"],
            name=options["name"],
            force=options["force"],
        )
        if options["follow"]:
            return follow(job, out=self.out, as_json=options["json"])
        if options["json"]:
            self.print_json(job_state(Job.objects.get(pk=job.pk)))
        else:
            self.stdout.write(f"job {job.pk} queued: {job.title}; `manage.py jobs follow {job.pk}` shows it")
        return SUCCEEDED


def find_generator(name: str) -> Plugin | None:
    """Return the generator of this name, whatever its spelling: HandwrittenDigits, handwritten_digits."""
    wanted = _letters(name)
    return next(
        (each for each in registry.available(PluginKind.GENERATOR) if _letters(each.name) == wanted), None
    )


def describe(param: dict[str, Any]) -> str:
    """Return the help of a parameter: what it is, what it may be, its default."""
    parts = [param.get("help") or "", f"default: {param['default']}"]
    if param.get("choices"):
        parts.insert(1, f"one of {', '.join(map(str, param['choices']))}")
    else:
        limits = (("at least", param.get("min")), ("at most", param.get("max")))
        parts[1:1] = [f"{words} {limit:g}" for words, limit in limits if limit is not None]
    # argparse takes a per cent sign for a placeholder of its own.
    return "; ".join(part for part in parts if part).replace("%", "%%")


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
