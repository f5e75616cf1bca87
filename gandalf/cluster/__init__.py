"""A cluster member (protocol.md 9): stateless over PostgreSQL; several share one control database."""
