"""Addresses of signing in and out."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from accsite.apps.access import views

app_name = "access"
urlpatterns = [
    path("sign-in/", views.SignInView.as_view(), name="sign-in"),
    path("sign-in/link/<str:token>/", views.link, name="link"),
    path("sign-out/", LogoutView.as_view(next_page="access:sign-in"), name="sign-out"),
    path("profile/", views.profile, name="profile"),
    path("profile/tokens/", views.make_token, name="token-make"),
    path("profile/tokens/<uuid:pk>/revoke/", views.revoke_token, name="token-revoke"),
]
