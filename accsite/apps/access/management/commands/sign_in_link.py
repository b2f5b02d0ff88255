"""``manage.py sign_in_link [user]``: prints a fresh one-time link."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse

from acc.errors import InvalidInput
from accsite.apps.access import services
from accsite.cli import ServiceCommand


class Command(ServiceCommand):
    """Make a link, from a shell."""

    help = "Print a link that signs one browser in, once. Exit status 2 for bad input."

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "owner", nargs="?", metavar="user", help="by name (default: the first active administrator)"
        )
        parser.add_argument("--minutes", type=int, default=15, help="how long the link works (default: 15)")
        parser.add_argument(
            "--site", default=settings.ACC_PUBLIC_URL, help="address of the site (default: %(default)s)"
        )

    def run(self, **options: Any) -> None:
        """Print the link, alone on its line."""
        token = services.make_sign_in_link(_user(options["owner"]), options["minutes"])
        link = options["site"].rstrip("/") + reverse("access:link", args=[token])
        self.tell({"link": link, "minutes": options["minutes"]}, link)


def _user(name: str | None) -> User:
    users = User.objects.filter(is_active=True, is_superuser=True).order_by("pk")
    if name is not None:
        users = User.objects.filter(username=name)
    user = users.first()
    if user is None:
        known = ", ".join(User.objects.order_by("username").values_list("username", flat=True)[:20]) or "none"
        missing = f"there is no user {name!r}" if name else "there is no active administrator"
        hint = "" if name else "; `manage.py createsuperuser` makes one"
        raise InvalidInput({"user": f"{missing}; users are: {known}{hint}"})
    return user
