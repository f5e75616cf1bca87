"""Fetching a file over HTTP, from the repository of definitions."""

from __future__ import annotations

from typing import Any, Final

import treq
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.web.client import ResponseFailed

from gandalf.store.errors import NotFound

WITHIN_S: Final = 10.0
MAX_BYTES: Final = 1024 * 1024


class _TooLong(Exception):
    pass


async def fetch(client: Any, url: str) -> bytes:
    """The content at `url`, by a treq `HTTPClient`.

    :raises NotFound: it cannot be had; the text says why.
    """
    content = bytearray()

    def collect(data: bytes) -> None:
        content.extend(data)
        if len(content) > MAX_BYTES:
            raise _TooLong

    try:
        response = await client.get(url, timeout=WITHIN_S)
        if response.code != 200:
            raise NotFound(f"{url}: HTTP status {response.code}")
        await treq.collect(response, collect)
    except _TooLong:
        raise NotFound(f"{url}: more than {MAX_BYTES} bytes") from None
    except (ConnectError, ConnectTimeout, DNSLookupError, ResponseFailed, ValueError) as error:
        raise NotFound(f"{url}: {error or type(error).__name__}") from None
    return bytes(content)
