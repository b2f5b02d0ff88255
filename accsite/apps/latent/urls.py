"""Addresses of the latent in the hand."""

from __future__ import annotations

from django.urls import path

from accsite.apps.latent import views

app_name = "latent"

urlpatterns = [
    path("latent/", views.page, name="page"),
    path("latent/branch/<int:pk>/heads/", views.heads, name="heads"),
    path("latent/<int:checkpoint>/decoder.onnx", views.decoder, name="decoder"),
]
