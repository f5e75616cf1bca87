"""How new a database's tables are, told without loading what migrates them: most programs start on tables that
are up to date, and should start quickly.
"""

from __future__ import annotations

from sqlalchemy import Connection, String, column, func, select, table

TENANT_HEAD = "0003"
"""The newest revision of the history `tenant`."""

_VERSION = "alembic_version"


def tenant_is_current_txn(connection: Connection) -> bool:
    """Whether the tables of a tenant's database are at the newest revision."""
    tables = table("tables", column("table_name"), column("table_schema"), schema="information_schema")
    there = select(func.count()).where(
        tables.c.table_name == _VERSION, tables.c.table_schema == func.current_schema()
    )
    if not connection.execute(there).scalar_one():
        return False
    versions = table(_VERSION, column("version_num", String()))
    return connection.execute(select(versions.c.version_num)).scalar_one_or_none() == TENANT_HEAD
