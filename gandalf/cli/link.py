"""Being a connector for the length of a command: the operator, linked to the tenant's aggregator."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

from twisted.internet.defer import TimeoutError as DeferredTimeout

from gandalf.cli.errors import REFUSED, USAGE, CommandEnd
from gandalf.config import OperatorConfig
from gandalf.connector.account import Account
from gandalf.connector.declare import Connector
from gandalf.connector.messages import RECEIPTS, read_event
from gandalf.connector.network import ReceivedEvent
from gandalf.connector.runtime import Runtime
from gandalf.connector.twisted_host import TwistedHost
from gandalf.connector.validation import SecretRefused
from gandalf.network import credentials_of, dials
from gandalf.routing.charge import Charge
from gandalf.shoset.link import ShosetLink
from gandalf.shoset.tls import TLSError
from gandalf.wire import kinds
from gandalf.wire.envelope import Frame
from gandalf.wire.errors import Malformed

LINKED_WITHIN = 5.0
"""Seconds: an aggregator that is just being started again is waited for."""

DRAIN = 1.0
"""Seconds that the end may take when what was sent is not acknowledged."""

Answer: TypeAlias = Callable[[ReceivedEvent], object]


class OperatorRuntime(Runtime):
    """Tells `on_answer` of each receipt of a command sent here, as soon as it comes."""

    on_answer: Answer = staticmethod(lambda event: None)

    def frame_received(self, frame: Frame, link: ShosetLink) -> Charge | None:
        """See `Runtime`."""
        if frame.kind == kinds.EVENT and frame.reference is not None and frame.reference in self.sender:
            # What cannot be read is passed over, and told in the log, by whoever reads it next.
            with suppress(Malformed):
                event = read_event(frame)
                if event.event in RECEIPTS:
                    self.on_answer(event)
        return super().frame_received(frame, link)


@asynccontextmanager
async def linked(
    config: OperatorConfig, reactor: Any, connector: Connector | None = None
) -> AsyncIterator[OperatorRuntime]:
    """The network, joined as the operator; left in good order when the block ends.

    Raises `CommandEnd` when that is refused, or nobody answers in time.
    """
    runtime = _runtime(config, reactor, connector or declared())
    runtime.start()
    try:
        try:
            await runtime.ready().addTimeout(LINKED_WITHIN, reactor)
        except SecretRefused as error:
            raise CommandEnd(str(error), REFUSED) from None
        except DeferredTimeout:
            raise CommandEnd(_nobody(runtime), REFUSED) from None
        yield runtime
    finally:
        await runtime.stop()


def declared() -> Connector:
    """The operator as a connector: it carries out nothing."""
    return Connector(type="operator", product="gandalf", versions=[(1, 0)])


def _runtime(config: OperatorConfig, reactor: Any, connector: Connector) -> OperatorRuntime:
    own = config.operator
    try:
        credentials = credentials_of(config.tls)
    except TLSError as error:
        raise CommandEnd(str(error), USAGE) from None
    account = Account(
        own.logical_name,
        own.tenant,
        [str(address) for address in own.aggregators],
        own.secret.get_secret_value(),
        credentials=credentials,
        drain_timeout=DRAIN,
    )
    return OperatorRuntime(
        connector,
        account,
        TwistedHost(reactor),
        reactor=reactor,
        connect=dials(reactor, credentials),
        now=time.time,
        random=os.urandom,
        jitter=random.random,
    )


def _nobody(runtime: Runtime) -> str:
    troubles = [f"  {dialler.address}: {dialler.trouble or 'no answer'}" for dialler in runtime.diallers]
    return "\n".join(
        [f"no link to the aggregator within {LINKED_WITHIN:g} s; is it running (`make run`)?", *troubles]
    )
