"""Metrics for Prometheus, of this process and of the book. No label names a key, a user or a project.

`open_metrics` loads prometheus-client, which takes memory, only where metrics are on.
"""

from typing import TYPE_CHECKING

from app.control.reconciliations import Reconciliations

if TYPE_CHECKING:
    from app.metrics.exporter import MetricsExporter


def open_metrics(
    token: str | None, address: tuple[str, int] | None, reconciliations: Reconciliations
) -> "MetricsExporter | None":
    """Make the exporter; None where neither a token nor the host and port of a listener of its own is given."""
    if token is None and address is None:
        return None
    from app.metrics.exporter import MetricsExporter

    return MetricsExporter(token, address, reconciliations)
