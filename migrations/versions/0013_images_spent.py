"""Images beyond those asked for count in image limits; what past requests brought too many is added to their counters."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    counter_ids = "unnest(r.counter_ids) AS counter (value)" if is_postgresql else "json_each(r.counter_ids) counter"
    op.execute(
        sa.text(f"""
            UPDATE counters SET spent = spent + surplus.images FROM (
                SELECT counter.value AS counter_id, sum(r.images - r.n) AS images FROM requests r, {counter_ids}
                WHERE r.state = 'settled' AND r.images > r.n GROUP BY counter.value
            ) surplus, limits l
            WHERE counters.id = surplus.counter_id AND l.id = counters.limit_id AND l.unit = 'images'
        """)  # noqa: S608  (constants only)
    )
