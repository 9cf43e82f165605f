"""Metrics of image requests, from the event that ends each of them and from the event of each refusal."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram

from app.core.endings import RequestEnded, RequestRefused
from app.errors import GatewayError, UpstreamMisconfigured, UpstreamOutcomeUnknown, UpstreamWalletEmpty

DURATION_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
OVERHEAD_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600)
NONE = "none"
"""Label of a request that ended without an error, or that was sent to no relay."""
ALARMS = (UpstreamMisconfigured, UpstreamWalletEmpty, UpstreamOutcomeUnknown)
RELAY_CODE = "relay"
"""Label of every code that the relay chose: there is no end of those."""


class RequestMetrics:
    """Counters and histograms of image requests. `hear` is a listener."""

    def __init__(self, registry: CollectorRegistry):
        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"imagegate_{name}", help_text, labels, registry=registry)

        def histogram(name: str, help_text: str, buckets_s: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"imagegate_{name}_seconds", help_text, labels, buckets=buckets_s, registry=registry)

        self._codes = frozenset(filter(None, _codes(GatewayError)))
        self._ended = counter(
            "requests", "Admitted image requests that ended.", "operation", "model", "relay", "outcome", "code"
        )
        self._refused = counter(
            "refusals", "Image requests refused after authentication.", "operation", "status", "reason"
        )
        self._images = counter("images", "Images of settled requests.", "model")
        self._cost = counter(
            "cost_micros", "Cost booked when requests settled, in millionths of the currency.", "model", "relay"
        )
        self._zero_cost = counter("zero_cost", "Settled requests with a cost of 0. It must stay 0.")
        self._alarms = counter("alarms", "Ends of requests for which an administrator has to act.", "code")
        self._failovers = counter(
            "relay_failovers", "Refusals of a relay after which another one got the request.", "relay", "code"
        )
        for error in ALARMS:  # A series that begins at 1 shows no increase.
            self._alarms.labels(error.code)
        self._duration = histogram(
            "request_duration", "Time from the reservation to the end.", DURATION_BUCKETS_S, "model"
        )
        self._relay = histogram(
            "relay_duration",
            "Time from sending to the end of the relay's answer.",
            DURATION_BUCKETS_S,
            "model",
            "relay",
        )
        self._overhead = histogram(
            "overhead", "Time that the gateway itself spent on a request.", OVERHEAD_BUCKETS_S, "operation"
        )

    def hear(self, event: RequestEnded | RequestRefused) -> None:
        """Count an end or a refusal. This is a listener: it never waits."""
        if isinstance(event, RequestRefused):
            self._refused.labels(event.operation, str(event.status), self._code(event.code)).inc()
            return
        code, relay = self._code(event.code), event.relay or NONE
        self._ended.labels(event.operation, event.model, relay, event.outcome, code).inc()
        for refused_by, why in event.failovers:
            self._failovers.labels(refused_by, self._code(why)).inc()
        if event.outcome == "settled":
            self._images.labels(event.model).inc(event.images)
            self._cost.labels(event.model, relay).inc(event.cost_micros)
            self._zero_cost.inc(event.cost_micros == 0)
        if event.alarm:
            self._alarms.labels(code).inc()
        if event.user_id is not None:  # The time of a recovered request would be that of the crash.
            self._time(event)

    def _time(self, event: RequestEnded) -> None:
        self._duration.labels(event.model).observe(event.total_ms / 1000)
        self._overhead.labels(event.operation).observe(event.own_ms / 1000)
        if event.relay_ms:
            self._relay.labels(event.model, event.relay or NONE).observe(event.relay_ms / 1000)

    def _code(self, code: str | None) -> str:
        return NONE if code is None else code if code in self._codes else RELAY_CODE


def _codes(of: type[GatewayError]) -> Iterator[str | None]:
    """Yield the codes of our own errors."""
    yield of.code
    for cls in of.__subclasses__():
        yield from _codes(cls)
