"""The database: tables, migrations and queries, as synchronous functions run in the reactor's threads."""
