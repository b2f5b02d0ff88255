"""``manage.py tokens make ada --name laptop --scope write``: makes, lists and revokes API tokens."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from typing_extensions import override

from acc.errors import InvalidInput
from accsite.apps.access import tokens
from accsite.apps.access.models import ApiToken, TokenScope
from accsite.apps.audit.models import Via
from accsite.apps.audit.services import record
from accsite.cli import find_user


class Command(BaseCommand):
    """Tokens, from a shell."""

    help = "Make, list or revoke API tokens. `make` prints the token, alone on its line; it is not kept."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        make = verbs.add_parser("make", help="make a token and print it")
        make.add_argument("user")
        make.add_argument("--name", default="shell", help="what uses it (default: %(default)s)")
        make.add_argument("--scope", default="read", help=f"{' or '.join(TokenScope.values)} (default: read)")
        make.add_argument("--days", default=str(tokens.DEFAULT_DAYS), help="default: %(default)s")
        listing = verbs.add_parser("list", help="list tokens that work")
        listing.add_argument("user", nargs="?")
        listing.add_argument("--json", action="store_true", help="one object a line")
        verbs.add_parser("revoke", help="revoke a token").add_argument("id", help="as `tokens list` shows it")

    @override
    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Do it; bad input exits with status 2."""
        try:
            {"make": self._make, "list": self._list, "revoke": self._revoke}[verb](options)
        except InvalidInput as error:
            raise CommandError(str(error), returncode=2) from None

    def _make(self, options: dict[str, Any]) -> None:
        user = find_user(options["user"])
        assert user is not None
        asked = {name: options[name] for name in ("name", "scope", "days")}
        row, token = tokens.make_token(user=user, **asked)
        _record("token make", row)
        self.stdout.write(token)

    def _list(self, options: dict[str, Any]) -> None:
        rows = ApiToken.objects.select_related("user")
        user = find_user(options["user"])
        for row in rows if user is None else rows.filter(user=user):
            facts = {
                "id": str(row.id),
                "user": row.user.get_username(),
                "name": row.name,
                "scope": row.scope,
                "expires": row.expiry.isoformat(),
                "used": row.last_used_at.isoformat() if row.last_used_at else None,
            }
            line = "  ".join(str(value or "never") for value in facts.values())
            self.stdout.write(json.dumps(facts) if options["json"] else line)

    def _revoke(self, options: dict[str, Any]) -> None:
        try:
            row = ApiToken.objects.filter(id=UUID(options["id"])).first()
        except ValueError:
            row = None
        if row is None:
            raise InvalidInput(
                {"id": f"there is no token {options['id']!r}; `manage.py tokens list` shows them"}
            )
        _record("token revoke", row)
        tokens.revoke_token(row)


def _record(action: str, row: ApiToken) -> None:
    about = {f"token:{row.id}", f"user:{row.user.get_username()}"}
    record(actor=None, via=Via.COMMAND, action=action, about=about, detail={"name": row.name})
