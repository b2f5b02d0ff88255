"""Sign-in links and the limit on guesses; of two requests at once, both never win."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from acc.errors import InvalidInput
from accsite.apps.access.loopback import assert_loopback
from accsite.apps.access.models import SignInAttempt, SignInLink

__all__ = [
    "TooManyAttempts",
    "assert_loopback",
    "consume_link",
    "make_sign_in_link",
    "record_attempt",
    "succeeded",
]

WINDOW = timedelta(minutes=15)
# For one name from wherever (many machines guess one password), and for all names from one address (one machine tries
# a list of stolen passwords).
MAX_PER_NAME, MAX_PER_ADDRESS = 5, 30
KEEP = timedelta(days=1)
MAX_LINK_MINUTES = 7 * 24 * 60


class TooManyAttempts(InvalidInput):
    """Signing in is refused for a while; ``seconds`` says for how long at most."""

    def __init__(self) -> None:
        self.seconds = int(WINDOW.total_seconds())
        minutes = self.seconds // 60
        super().__init__({"__all__": f"too many attempts to sign in; wait {minutes} minutes and try again"})


def make_sign_in_link(user: User, minutes: int = 15) -> str:
    """Return the token of a new link that signs ``user`` in once within ``minutes`` (1 to 10080).

    The token is not stored and cannot be shown again. Links that were used or have expired are removed.
    """
    if not 1 <= minutes <= MAX_LINK_MINUTES:
        raise InvalidInput({"minutes": f"{minutes} is not allowed; use 1 to {MAX_LINK_MINUTES}"})
    if not user.is_active:
        raise InvalidInput({"user": f"{user.get_username()!r} is switched off and cannot sign in"})
    now = timezone.now()
    SignInLink.objects.filter(expires_at__lt=now - KEEP).delete()
    token = secrets.token_urlsafe(32)
    expires_at = now + timedelta(minutes=minutes)
    SignInLink.objects.create(user=user, token_sha256=_sha256(token), expires_at=expires_at)
    return token


def consume_link(token: str) -> User | None:
    """Return the user whom ``token`` signs in and use it up; None if it is unknown, used or expired."""
    now = timezone.now()
    mine = SignInLink.objects.filter(token_sha256=_sha256(token))
    if not mine.filter(user__is_active=True).exists():
        return None
    # Compare and set: of two requests with the same token exactly one changes the row. What is compared stands
    # in that row: PostgreSQL would not look again at a user that it joined before it waited for the lock.
    if not mine.filter(used_at=None, expires_at__gt=now).update(used_at=now):
        return None
    return mine.select_related("user").get().user


def record_attempt(name: str, address: str) -> SignInAttempt:
    """Count an attempt before the password is looked at; raises TooManyAttempts if there were too many.

    Counted first, so that a hundred guesses sent at once are not all within the limit. An attempt that is
    refused here is not counted, so that waiting helps.
    """
    now = timezone.now()
    SignInAttempt.objects.filter(at__lt=now - KEEP).delete()
    attempt = SignInAttempt.objects.create(name_sha256=_sha256(name.casefold()), address=address[:64], at=now)
    recent = SignInAttempt.objects.filter(at__gt=now - WINDOW)
    per_name = recent.filter(name_sha256=attempt.name_sha256).count()
    per_address = recent.filter(address=attempt.address).count()
    if per_name > MAX_PER_NAME or per_address > MAX_PER_ADDRESS:
        attempt.delete()
        raise TooManyAttempts
    return attempt


def succeeded(attempt: SignInAttempt) -> None:
    """Forget the attempts of a name that has now signed in from the same address; those of others still count."""
    SignInAttempt.objects.filter(name_sha256=attempt.name_sha256, address=attempt.address).delete()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
