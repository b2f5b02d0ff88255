"""API tokens: made, found again by what a program sends, and revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.exceptions import AuthenticationFailed

from acc.errors import InvalidInput
from acc.names import clean_name
from accsite.apps.access.models import ApiToken, TokenScope

SCHEMES = frozenset({"token", "bearer"})
"""How a token may be introduced in ``Authorization``; programs that know OAuth say Bearer."""
MAX_DAYS = 3_650
DEFAULT_DAYS = 90
USE_NOTED_EVERY = timedelta(minutes=1)


def make_token(
    *, user: User, name: str, scope: str = TokenScope.READ, days: Any = DEFAULT_DAYS
) -> tuple[ApiToken, str]:
    """Return a new token's row, and the token itself, which is not kept and cannot be shown again.

    ``days`` (1 to 3650): how long it works. Raises InvalidInput (name, scope, days, user).
    """
    errors: dict[str, list[str]] = {}
    try:
        name = clean_name(name)
    except InvalidInput as error:
        errors.update(error.fields)
    if scope not in TokenScope.values:
        errors["scope"] = [f"{scope!r} is not one of {', '.join(TokenScope.values)}"]
    whole = int(days) if str(days).isdecimal() and len(str(days)) < 9 else 0
    if not 1 <= whole <= MAX_DAYS:
        errors["days"] = [f"{days!r} is not a number of days from 1 to {MAX_DAYS}"]
    if not user.is_active:
        errors["user"] = [f"{user.get_username()!r} is switched off and can have no token"]
    if errors:
        raise InvalidInput(errors)
    row, token = ApiToken.objects.create(user=user, expiry=timedelta(days=whole), name=name, scope=scope)
    return row, token


def revoke_token(token: ApiToken) -> None:
    """Make a token worthless from now on; sockets that were opened with it are closed."""
    token.delete()


def tokens_of(user: User) -> list[ApiToken]:
    """Return a user's tokens that still work, newest first."""
    return list(ApiToken.objects.filter(user=user, expiry__gt=timezone.now()))


def find_token(text: str) -> ApiToken:
    """Return the row of a token that works and note its use; raises AuthenticationFailed for any other."""
    if not text.isascii():
        raise AuthenticationFailed("this token is not valid")
    _user, row = KnoxAuthentication().authenticate_credentials(text.encode())
    now = timezone.now()
    if row.last_used_at is None or now - row.last_used_at > USE_NOTED_EVERY:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
    found: ApiToken = row
    return found
