"""Signing in, by form or by a one-time link, and the page about oneself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from acc.errors import InvalidInput
from accsite.apps.access import services, tokens
from accsite.apps.access.forms import SignInForm, TokenForm
from accsite.apps.access.models import ApiToken
from accsite.apps.access.permissions import Role, roles_of


class SignInView(LoginView):
    """The sign-in form; LoginView brings CSRF, no caching and the check of ``next``."""

    template_name = "access/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: SignInForm) -> HttpResponse:  # type: ignore[override]
        """Show the form with its errors; status 429 when there were too many attempts, else 422."""
        response = super().form_invalid(form)
        limited = form.has_error("__all__", code="too_many_attempts")
        response.status_code = 429 if limited else 422
        if limited:
            response["Retry-After"] = str(int(services.WINDOW.total_seconds()))
        return response


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("token")
def link(request: HttpRequest, token: str) -> HttpResponse:
    """Sign the browser in by a one-time link.

    Following the link in a browser (a top-level navigation that no other site began) is enough. Whatever else
    fetches it (HEAD, prefetch, a preview, a browser that does not say) uses nothing up and is shown a button.
    """
    if request.method == "POST" or _is_followed(request):
        user = services.consume_link(token)
        if user is not None:
            login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        if user is not None or request.user.is_authenticated:
            response: HttpResponse = redirect("/")
        else:
            response = render(request, "access/link_refused.html", status=410)
    else:
        response = render(request, "access/link.html")
    add_never_cache_headers(response)
    return response


@require_safe
def profile(request: HttpRequest) -> HttpResponse:
    return _profile(request, TokenForm())


@require_POST
@sensitive_variables("token")
def make_token(request: HttpRequest) -> HttpResponse:
    """Make a token and show it, this once."""
    form = TokenForm(request.POST)
    assert isinstance(request.user, User)
    try:
        row, token = tokens.make_token(user=request.user, **form.arguments())
    except InvalidInput as error:
        form.refuse(error)
        return _profile(request, form, status=422)
    return _profile(request, TokenForm(), made=row, token=token)


@require_POST
def revoke_token(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Revoke one of one's own tokens."""
    row = get_object_or_404(ApiToken, id=pk, user=request.user.pk)
    tokens.revoke_token(row)
    messages.success(request, f"The token {row.name} is revoked.")
    return redirect("access:profile")


def _profile(request: HttpRequest, form: TokenForm, status: int = 200, **made: Any) -> HttpResponse:
    assert isinstance(request.user, User)
    roles = roles_of(request.user)
    context = {
        # An administrator has all the others, too.
        "roles": [
            role.value for role in ([Role.ADMINISTRATOR] if Role.ADMINISTRATOR in roles else sorted(roles))
        ],
        "tokens": tokens.tokens_of(request.user),
        "form": form,
        "site_url": request.build_absolute_uri("/"),
        "zone": request.COOKIES.get("tz", "")[:64],
        **made,
    }
    response = render(request, "access/profile.html", context, status=status)
    add_never_cache_headers(response)
    return response


def _is_followed(request: HttpRequest) -> bool:
    """Return whether this is a person's navigation: from the address bar, another program, or this site."""
    purpose = request.headers.get("Sec-Purpose", "") + request.headers.get("Purpose", "")
    return (
        request.method == "GET"
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
        and request.headers.get("Sec-Fetch-Dest") == "document"
        and request.headers.get("Sec-Fetch-Site") in {"none", "same-origin"}
        and not purpose
    )


def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Send those who are not signed in to the one sign-in form; 403 for those who are and may not enter."""
    if not request.user.is_staff:
        raise PermissionDenied("the administration is for members of staff")
    return redirect("admin:index")
