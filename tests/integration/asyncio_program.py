"""An asyncio program that is a connector; see test_connector_runtime.py. Its arguments are the aggregators."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

from pydantic import BaseModel

from gandalf.connector import Account, Connector, Job, Network, ReceivedEvent, connect


class Sleep(BaseModel):
    """A payload."""

    name: str


async def main() -> None:
    """Say so when ready, and end when told to."""
    connector = Connector(type="asyncio", product="plain", versions=[(1, 0)])
    over = asyncio.Event()

    @connector.command("SLEEP", Sleep)
    async def sleep(request: Sleep, job: Job) -> dict[str, object]:
        await asyncio.sleep(0.01)
        return {"slept": request.name}

    @connector.on("asyncio.end")
    async def end(event: ReceivedEvent, network: Network) -> None:
        over.set()

    network = await connect(connector, Account("asyncio1", "tenant1", sys.argv[1:], "s"))
    outcome = await network.send("greeting", "GREET", {"name": "asyncio"})
    await network.emit("asyncio.ready", "READY", outcome.payload)
    await over.wait()
    await network.stop()
    await asyncio.sleep(0)
    loop: Any = asyncio.get_running_loop()
    left = [str(timer) for timer in loop._scheduled if not timer.cancelled()]
    left += [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    left += [str(key) for key in loop._selector.get_map().values() if key.fileobj != loop._ssock.fileno()]
    print(json.dumps({"outcome": outcome.final.event, "left": left}))


asyncio.run(main())
