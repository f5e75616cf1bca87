"""Files that clients of the API keep, such as logos: in the database, so that every instance has them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import attrs
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from . import tenant_schema as tables
from .errors import NotFound
from .times import at


@attrs.frozen
class StoredFile:
    """A file's bytes, and when they were stored."""

    content: bytes = attrs.field(repr=False)
    updated_at: datetime


def store_file_txn(connection: Connection, id: UUID, content: bytes, *, now: int) -> None:
    """Keep `content` under `id`, in the place of what was there."""
    row = insert(tables.files).values(id=id, content=content, updated_at=at(now))
    changes = {"content": row.excluded.content, "updated_at": row.excluded.updated_at}
    connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=changes))


def file_txn(connection: Connection, id: UUID) -> StoredFile:
    """The file of this id. Raises `NotFound`."""
    files = tables.files
    row = connection.execute(select(files.c.content, files.c.updated_at).where(files.c.id == id)).first()
    if row is None:
        raise NotFound("File doesn't exist")
    return StoredFile(bytes(row.content), row.updated_at)
