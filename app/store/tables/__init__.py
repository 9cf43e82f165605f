"""Tables of both databases. `migrations/` builds them, and a test compares the two.

Instants are milliseconds since the epoch (`*_at_ms`), money is micros, booleans are instants or NULL, which also record the time.
`requests` and `corrections` are the book; `counters` and `usage` are caches of it.
"""

from app.store.tables.alerting import alerts, deliveries, due, firings
from app.store.tables.base import metadata
from app.store.tables.book import (
    alike,
    bought_duplicates,
    equal_purchases,
    idempotency,
    is_duplicate,
    is_unresolved,
    is_untaken,
    refusal_log,
    refusals,
    requests,
    results,
    served_duplicates,
    unresolved,
    untaken,
)
from app.store.tables.control import (
    counters,
    is_open_increase,
    is_temporary,
    limit_increases,
    limits,
    model_aliases,
    models,
    prices,
)
from app.store.tables.operation import backups
from app.store.tables.people import (
    admin_api_keys,
    api_keys,
    audit_logs,
    model_permissions,
    organization,
    person_emails,
    person_names,
    project_users,
    projects,
    service_account_names,
    users,
)
from app.store.tables.pictures import pictures
from app.store.tables.relays import (
    is_open_trouble,
    refused_dispatches,
    relay_readings,
    relay_troubles,
    relays,
)
from app.store.tables.reports import (
    charges,
    corrections,
    drift,
    processes,
    reconciliation,
    short,
    usage,
    usage_days,
    usage_hours,
    usage_local_days,
    usage_series,
)
from app.store.tables.sign_in import identities, invitations, passwords, sessions
from app.store.tables.statements import statement_bills, statement_lines, statements
from app.store.tables.weekly_notes import weekly_notes
