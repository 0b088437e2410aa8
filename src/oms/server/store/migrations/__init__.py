"""Alembic's side of the store."""
