"""Addresses of experiments and checkpoints."""

from __future__ import annotations

from django.urls import path

from accsite.actions.pages import addresses
from accsite.apps.trees.views import checkpoints, experiments, models, sharing

app_name = "trees"

urlpatterns = [
    *addresses(app_name),
    path("experiments/", experiments.index, name="experiments"),
    path("experiments/new/", experiments.create, name="experiment-new"),
    path("experiments/new/import/", experiments.take_in, name="experiment-import"),
    path("experiments/new/model/", models.draft, name="experiment-model"),
    path("experiments/<slug:slug>/", experiments.detail, name="experiment"),
    path("experiments/<slug:slug>/keep/", experiments.keep, name="experiment-keep"),
    path("experiments/<slug:slug>/sharing/", sharing.sharing, name="experiment-sharing"),
    path("checkpoints/<int:pk>/", checkpoints.detail, name="checkpoint"),
    path("checkpoints/<int:pk>/model/", models.of_checkpoint, name="checkpoint-model"),
    path("checkpoints/<int:pk>/<slug:action>/", checkpoints.act, name="checkpoint-act"),
]
