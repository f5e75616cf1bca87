"""Alembic's entry to this history; `gandalf.store.migrate` starts it with a connection."""

from gandalf.store.migrate import run_history

run_history()
