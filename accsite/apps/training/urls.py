"""Addresses of the workbench and jobs."""

from __future__ import annotations

from django.urls import path

from accsite.actions.pages import addresses
from accsite.apps.training.views import jobs, tasks, workbench

app_name = "training"

BENCH = "w/<slug:experiment>/<slug:branch>/"

urlpatterns = [
    *addresses(app_name),
    path("", workbench.home, name="home"),
    path(BENCH, workbench.workbench, name="workbench"),
    path(BENCH + "panel/<slug:name>/", workbench.workbench_panel, name="workbench-panel"),
    path(BENCH + "train/", workbench.train, name="train"),
    path(BENCH + "rate/", workbench.rate, name="rate"),
    path(BENCH + "tasks/", tasks.add, name="task-add"),
    path(BENCH + "tasks/<int:pk>/", tasks.one, name="task"),
    path("jobs/", jobs.index, name="jobs"),
    path("jobs/top/", jobs.top_job, name="top-job"),
    path("jobs/<int:pk>/", jobs.detail, name="job"),
    path("jobs/<int:pk>/panel/<slug:name>/", jobs.detail_panel, name="job-panel"),
    path("jobs/<int:pk>/log/<int:attempt>/<int:rank>/", jobs.download_log, name="job-log"),
    path("jobs/<int:pk>/resume/", jobs.resume, name="job-resume"),
    path("jobs/<int:pk>/control/", jobs.control, name="job-control"),
]
