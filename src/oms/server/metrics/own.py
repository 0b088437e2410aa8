"""What OMS counts of itself while it works: calls, jobs that ended, what hosts said."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics

from oms.server.store.jobs import Job

UNKNOWN = "unknown"
"""The method of a call to none that there is: callers must not be able to make up labels."""
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

disable_created_metrics()  # type: ignore[no-untyped-call]


class Own:
    """The counters. What counts is called in the event loop, and takes a microsecond or two."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "oms_calls", "Calls of the API, by how they ended.", ("method", "outcome"), registry=self.registry
        )
        self._seconds = Histogram(
            "oms_call_duration_seconds",
            "How long calls of the API took, their waits for jobs included.",
            ("method",),
            registry=self.registry,
            buckets=BUCKETS_SECONDS,
        )
        self._jobs = Counter(
            "oms_jobs_ended", "Jobs that ended, by how.", ("method", "state"), registry=self.registry
        )
        self.events = Counter(
            "oms_bus_events", "What hosts said unasked, by topic.", ("topic",), registry=self.registry
        )
        self.refused = Counter(
            "oms_metrics_refused", "Requests for these metrics without the right token.", registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def called(self, method: str, outcome: str, seconds: float) -> None:
        """A call has ended; `method` is one that there is, or UNKNOWN."""
        children = self._children.get((method, outcome))
        if children is None:
            children = self._calls.labels(method, outcome), self._seconds.labels(method)
            self._children[method, outcome] = children
        count, duration = children
        count.inc()
        duration.observe(seconds)

    def job_ended(self, job: Job) -> None:
        """A job is over."""
        self._jobs.labels(job.method, job.state).inc()
