"""``manage.py tokens make ada --name laptop --scope write``: makes, lists and revokes API tokens."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from acc.errors import InvalidInput
from accsite.apps.access import tokens
from accsite.apps.access.models import ApiToken, TokenScope
from accsite.apps.audit.models import Via
from accsite.apps.audit.services import record
from accsite.cli import ServiceCommand, behind_verbs, find_user


class Command(ServiceCommand):
    """Tokens, from a shell."""

    help = "Make, list or revoke API tokens. `make` prints the token, once. Exit status 2 for bad input."

    def add_options(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        common = [behind_verbs()]
        make = verbs.add_parser("make", parents=common, help="make a token and print it")
        make.add_argument("owner", metavar="user")
        make.add_argument("--name", default="shell", help="what uses it (default: %(default)s)")
        make.add_argument("--scope", default="read", help=f"{' or '.join(TokenScope.values)} (default: read)")
        make.add_argument("--days", default=str(tokens.DEFAULT_DAYS), help="default: %(default)s")
        listing = verbs.add_parser("list", parents=common, help="list tokens that work")
        listing.add_argument("owner", nargs="?", metavar="user")
        revoke = verbs.add_parser("revoke", parents=common, help="revoke a token")
        revoke.add_argument("id", help="as `tokens list` shows it")

    def run(self, **options: Any) -> None:
        {"make": self._make, "list": self._list, "revoke": self._revoke}[options["verb"]](options)

    def _make(self, options: dict[str, Any]) -> None:
        user = find_user(options["owner"])
        assert user is not None
        asked = {name: options[name] for name in ("name", "scope", "days")}
        row, token = tokens.make_token(user=user, **asked)
        self._record("token make", row)
        self.tell({**_facts(row), "token": token}, token)

    def _list(self, options: dict[str, Any]) -> None:
        rows = ApiToken.objects.select_related("user")
        user = find_user(options["owner"])
        found = [_facts(row) for row in (rows if user is None else rows.filter(user=user))]
        if self.json:
            for facts in found:
                self.print_json(facts)
        elif found:
            cells = [[value or "never" for value in facts.values()] for facts in found]
            self.print_table(("Id", "User", "Name", "Scope", "Expires", "Used"), cells)
        else:
            self.stdout.write("no token works")

    def _revoke(self, options: dict[str, Any]) -> None:
        try:
            row = ApiToken.objects.filter(id=UUID(options["id"])).first()
        except ValueError:
            row = None
        if row is None:
            raise InvalidInput(id=f"there is no token {options['id']!r}; `manage.py tokens list` shows them")
        self._record("token revoke", row)
        facts = _facts(row)
        tokens.revoke_token(row)
        if self.json:
            self.print_json(facts)

    def _record(self, action: str, row: ApiToken) -> None:
        about = {f"token:{row.id}", f"user:{row.user.get_username()}"}
        detail = {"name": row.name}
        record(actor=self.actor, via=Via.COMMAND, action=action, about=about, detail=detail)


def _facts(row: ApiToken) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "user": row.user.get_username(),
        "name": row.name,
        "scope": row.scope,
        "expires": row.expiry.isoformat(),
        "used": row.last_used_at.isoformat() if row.last_used_at else None,
    }
