"""Run by `imagegate db upgrade` and, on SQLite, by `imagegate serve`: always over a connection given by the caller."""

from alembic import context

from app.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
