"""Files that clients keep, such as logos: `/file/{id}`."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Connection

from gandalf.api import downloads
from gandalf.api.bodies import BodyTooLong, NoFile, is_multipart, multipart_file
from gandalf.api.guard import Guard
from gandalf.api.operation import Access, Call, Reply, operation
from gandalf.api.policy import Forbidden
from gandalf.store.files import StoredFile, file_txn, store_file_txn
from gandalf.store.principals import Principal

MAX_FILE: Final = 10 * 1024 * 1024
"""Bytes of a file at most."""


class Stored(BaseModel):
    """What storing a file answers."""

    result: str


class UpstreamFiles:
    """Any user may read a file; who may write on some domain may store one."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    @operation(
        "POST", "/file/<uuid:id>", Access.ROWS, "Store a file.", answers={200: Stored}, tag="File", upload="file"
    )
    async def store(self, call: Call, id: UUID) -> Reply:
        """In the place of the one of this id: the part `file` of a form, or the body of a request as it is."""
        content = self._content(call)
        now = self._guard.milliseconds()

        def keep_txn(connection: Connection, principal: Principal) -> None:
            if not principal.writing:
                raise Forbidden("storing a file needs a role that may write on some domain")
            store_file_txn(connection, id, content, now=now)

        await self._guard.run("store a file", call.user, keep_txn)
        return Reply({"result": "Successfully Uploaded File"})

    @operation("GET", "/file/<uuid:id>", Access.ROWS, "The content of a file.", answers={200: None}, tag="File")
    async def read(self, call: Call, id: UUID) -> Reply | bytes:
        """Ranges and If-Modified-Since are honoured."""

        def read_file_txn(connection: Connection, principal: Principal) -> StoredFile:
            return file_txn(connection, id)

        file = await self._guard.read("read a file", call.user, read_file_txn)
        return downloads.answer(call.request, file.content, file.updated_at)

    def _content(self, call: Call) -> bytes:
        if is_multipart(call.request):
            content = multipart_file(call.request, "file").content
        else:
            body = call.request.content
            body.seek(0)
            content = body.read()
            if not content:
                raise NoFile("Error retrieving the file: there is no part `file`, and the body is empty")
        if len(content) > MAX_FILE:
            raise BodyTooLong(f"the file has {len(content)} bytes; at most {MAX_FILE} are allowed")
        return content
