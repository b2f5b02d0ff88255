"""How the API answers a request that made a job."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accsite.apps.jobs.models import Job
from accsite.apps.jobs.selectors import job_state


def queued(request: Request, job: Job, status: int) -> Response:
    """Return the state of a new job, and where it is to be found."""
    job = Job.objects.select_related("branch__experiment", "worker").get(pk=job.pk)
    place = reverse("api:job-detail", args=[job.pk], request=request)
    return Response(job_state(job), status=status, headers={"Location": place})
