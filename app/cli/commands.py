"""All commands. Each module of a command or group has an `app`, which is registered here."""

from app.cli import (
    admin_keys,
    alerts,
    audit,
    audit_log,
    backup,
    db,
    doctor,
    keys,
    limits,
    models,
    pictures,
    price_book,
    projects,
    reconcile,
    relays,
    requests,
    serve,
    service_accounts,
    sessions,
    statements,
    usage,
    users_import,
)
from app.cli.root import new_root

app = new_root()
app.add_typer(serve.app)
app.add_typer(users_import.app, name="users")  # The group of app/cli/users.py, with the import.
app.add_typer(sessions.app, name="sessions")
app.add_typer(projects.app, name="projects")
app.add_typer(service_accounts.app, name="service-accounts")
app.add_typer(keys.app, name="keys")
app.add_typer(admin_keys.app, name="admin-keys")
app.add_typer(limits.app, name="limits")
app.add_typer(models.app, name="models")
app.add_typer(price_book.app, name="prices")  # The same group, with what works on the whole book.
app.add_typer(relays.app, name="relays")
app.add_typer(alerts.app, name="alerts")
app.add_typer(usage.app)
app.add_typer(statements.app, name="statements")
app.add_typer(requests.app, name="requests")
app.add_typer(pictures.app, name="pictures")
app.add_typer(reconcile.app)
app.add_typer(audit.app)
app.add_typer(audit_log.app)
app.add_typer(backup.app)
app.add_typer(db.app, name="db")
app.add_typer(doctor.app)
