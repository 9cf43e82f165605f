"""OpenAI's Administration API, under /organization.

An endpoint of OpenAI's that this gateway lacks has no route and answers 404 `unknown_url`.
"""

from app.api.organization import (
    admin_api_keys,
    alerts,
    api_keys,
    audit_logs,
    limit_increases,
    limits,
    model_aliases,
    operations,
    pictures,
    prices,
    projects,
    refusals,
    relays,
    request_csv,
    requests,
    service_accounts,
    sign_in,
    spend_alerts,
    spend_limits,
    statements,
    usage,
    users,
)

__all__ = ["PREFIX", "ROUTERS"]

PREFIX = "/organization"
ROUTERS = (
    admin_api_keys.router,
    users.router,
    sign_in.router,
    projects.router,
    service_accounts.router,
    api_keys.router,
    spend_limits.router,
    spend_alerts.router,
    limits.router,
    limit_increases.router,
    alerts.router,
    model_aliases.router,
    prices.router,
    relays.router,
    usage.router,
    statements.router,
    request_csv.router,
    requests.router,
    refusals.router,
    pictures.router,
    audit_logs.router,
    operations.router,
)
"""Routers of the resources. A new resource is a module with a `router`; add it here."""
