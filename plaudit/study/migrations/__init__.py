"""Alembic's migrations of a Study; `database.migrate` runs them."""
