"""OpenAI's Administration API, under /organization. Its words and shapes live in this package only.

What OpenAI has here and this gateway lacks has no route: 404 `unknown_url`.
"""

from app.api.organization import (
    across_projects,
    admin_api_keys,
    alerts,
    audit_logs,
    installation,
    limits,
    model_permissions,
    prices,
    project_api_keys,
    project_users,
    projects,
    rate_limits,
    service_accounts,
    spend_alerts,
    spend_limits,
    usage,
    usage_report,
    users,
)

__all__ = ["PREFIX", "ROUTERS"]

PREFIX = "/organization"
ROUTERS = (
    admin_api_keys.router,
    users.router,
    projects.router,
    project_users.router,
    service_accounts.router,
    project_api_keys.router,
    rate_limits.router,
    model_permissions.router,
    spend_limits.router,
    spend_alerts.router,
    alerts.router,
    prices.router,
    usage.router,
    audit_logs.router,
    installation.router,
    across_projects.router,
    limits.router,
    usage_report.router,
)
"""Routes of each resource, for admin API keys. A new resource is a module that offers `router`; add it here."""
