"""The sign-in form, Django's own with the limit on guesses in front of it, and the form of a new token."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from acc.errors import InvalidInput
from accsite.apps.access import services
from accsite.apps.access.models import TokenScope
from accsite.apps.access.selectors import client_address


class SignInForm(AuthenticationForm):
    """Name and password; too many wrong ones for one name, or from one address, are refused for a while."""

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


class TokenForm(forms.Form):
    """What a new token is for, what it may do and how long."""

    error_css_class = "error"
    required_css_class = "required"

    name = forms.CharField(label="Name", required=False, help_text="what uses it", max_length=80)
    scope = forms.ChoiceField(label="It may", required=False, choices=TokenScope.choices)
    days = forms.IntegerField(label="Days", required=False, initial=90, help_text="until it expires")

    def arguments(self) -> dict[str, Any]:
        """Return what was typed, as the service takes it."""
        return {name: self.data.get(name, "") for name in ("name", "scope", "days")}

    def refuse(self, error: InvalidInput) -> None:
        """Show what the service refused beside the fields."""
        self.full_clean()
        self.errors.clear()
        for field, sentences in error.fields.items():
            self.add_error(field if field in self.fields else None, ValidationError(sentences))
