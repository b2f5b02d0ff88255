"""Addresses of the news."""

from __future__ import annotations

from django.urls import path

from accsite.apps.news import views

app_name = "news"

urlpatterns = [
    path("", views.index, name="news"),
    path("count/", views.count, name="count"),
    path("bell/", views.bell, name="bell"),
    path("seen/", views.seen, name="seen"),
    path("next-step/", views.next_step, name="next-step"),
    path("first/<slug:what>/", views.first, name="first"),
]
