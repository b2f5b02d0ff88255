"""The sign-in form: Django's own, with the limit on guesses in front of it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from accsite.apps.access import services
from accsite.apps.access.selectors import client_address


class SignInForm(AuthenticationForm):
    """Name and password; too many wrong ones from one address are refused for a while."""

    error_css_class = "error"

    def clean(self) -> dict[str, Any]:
        """Return the cleaned data, with the user in ``get_user()``."""
        name = self.cleaned_data.get("username", "")
        address = client_address(self.request) if self.request else ""
        try:
            attempt = services.record_attempt(name, address)
        except services.TooManyAttempts as error:
            raise ValidationError(error.fields["__all__"][0], code="too_many_attempts") from None
        cleaned = super().clean()
        services.succeeded(attempt)
        return cleaned
