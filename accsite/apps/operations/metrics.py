"""The figures of the installation for Prometheus, read from the database when asked: any web process tells them all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from django.db.models import Count, Min, Sum
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from accsite.apps.datasets.models import Dataset
from accsite.apps.jobs.models import Job, Worker
from accsite.apps.jobs.states import JobState
from accsite.apps.registry.models import PluginFile
from accsite.apps.training.models import Checkpoint, Experiment

CONTENT_TYPE = CONTENT_TYPE_LATEST
TELEMETRY = {
    "utilisation_percent": ("acc_device_utilisation_ratio", 0.01),
    "memory_used_bytes": ("acc_device_memory_used_bytes", 1.0),
    "memory_total_bytes": ("acc_device_memory_total_bytes", 1.0),
    "temperature_celsius": ("acc_device_temperature_celsius", 1.0),
    "cpu_percent": ("acc_host_cpu_ratio", 0.01),
    "host_memory_used_bytes": ("acc_host_memory_used_bytes", 1.0),
    "host_memory_total_bytes": ("acc_host_memory_total_bytes", 1.0),
    "load": ("acc_host_load1", 1.0),
}


class Site(Collector):
    """Collects with one query for each kind of figure."""

    def collect(self) -> Iterator[Metric]:
        yield from _jobs()
        yield from _workers()
        yield from _stock()


def exposition() -> bytes:
    """Return the figures in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Site())
    return generate_latest(registry)


def _jobs() -> Iterable[Metric]:
    counts = GaugeMetricFamily("acc_jobs", "Jobs by kind and state.", labels=["kind", "state"])
    for kind, state, count in Job.objects.order_by().values_list("kind", "state").annotate(n=Count("pk")):
        counts.add_metric([kind, state.lower()], count)
    queued = GaugeMetricFamily("acc_queue_jobs", "Jobs that wait in a queue.", labels=["queue"])
    oldest = GaugeMetricFamily(
        "acc_queue_oldest_seconds", "How long the job that waits longest has waited.", labels=["queue"]
    )
    now = timezone.now()
    waiting = Job.objects.filter(state=JobState.QUEUED).order_by().values_list("queue")
    for queue, count, since in waiting.annotate(n=Count("pk"), since=Min("created_at")):
        queued.add_metric([queue], count)
        oldest.add_metric([queue], (now - since).total_seconds())
    rate = GaugeMetricFamily("acc_job_steps_per_second", "Training rate of running jobs.", labels=["job"])
    step = GaugeMetricFamily("acc_job_step", "Step of running jobs.", labels=["job"])
    for pk, at, per_second in Job.objects.filter(state=JobState.RUNNING, kind="train").values_list(
        "pk", "step", "steps_per_second"
    ):
        step.add_metric([str(pk)], at)
        if per_second is not None:
            rate.add_metric([str(pk)], per_second)
    return counts, queued, oldest, rate, step


def _workers() -> Iterable[Metric]:
    up = GaugeMetricFamily("acc_workers", "Workers by state.", labels=["state"])
    seen = GaugeMetricFamily(
        "acc_worker_heartbeat_age_seconds", "Time since a worker last reported.", labels=["worker", "device"]
    )
    families: dict[str, GaugeMetricFamily] = {}
    states: dict[str, int] = defaultdict(int)
    now = timezone.now()
    for worker in Worker.objects.all():
        states[worker.state] += 1
        if worker.state == Worker.State.OFFLINE:
            continue
        labels = [worker.name, worker.device]
        seen.add_metric(labels, (now - worker.heartbeat_at).total_seconds())
        for key, (name, scale) in TELEMETRY.items():
            value = worker.telemetry.get(key)
            if isinstance(value, int | float):
                family = families.setdefault(
                    name, GaugeMetricFamily(name, key.replace("_", " "), labels=["worker", "device"])
                )
                family.add_metric(labels, value * scale)
    for state in Worker.State:
        up.add_metric([state.lower()], states[state])
    return up, seen, *families.values()


def _stock() -> Iterable[Metric]:
    things = GaugeMetricFamily("acc_objects", "How many there are.", labels=["kind"])
    stored = GaugeMetricFamily("acc_stored_bytes", "Size of stored files.", labels=["kind"])
    things.add_metric(["experiment"], Experiment.objects.count())
    for kind, rows in (("checkpoint", Checkpoint.objects), ("dataset", Dataset.objects)):
        count, size = rows.aggregate(n=Count("pk"), size=Sum("size_bytes")).values()
        things.add_metric([kind], count)
        stored.add_metric([kind], size or 0)
    broken = GaugeMetricFamily("acc_plugin_files_broken", "Plugin files that do not load.")
    broken.add_metric([], PluginFile.objects.exclude(error="").count())
    return things, stored, broken
