"""What a connector joins the network with."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from gandalf.config import Address
from gandalf.shoset.settings import Limits
from gandalf.shoset.tls import Credentials

LONGEST_NAME = 128
"""Characters."""


def _addresses(values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise ValueError(f"aggregators is {values!r}: must be a list of addresses, host:port")
    return tuple(str(value) for value in values)


@attrs.frozen
class Account:
    """Under which name a connector joins which tenant's network, and with which secret.

    `aggregators` are the "host:port" of instances of the tenant's aggregator; the others are learnt from
    them. `bind_address` ("host:port" or "") is what the secret is bound to at first use. Without
    `credentials` (TLS) the addresses must be of this machine. `drain_timeout` is the seconds that
    `Runtime.stop` gives to what is at work.

    Whatever is wrong is a ValueError.
    """

    logical_name: str = attrs.field()
    tenant: str = attrs.field()
    aggregators: tuple[str, ...] = attrs.field(converter=_addresses)
    secret: str = attrs.field(repr=False)
    bind_address: str = ""
    credentials: Credentials | None = attrs.field(default=None, repr=False)
    limits: Limits = attrs.field(factory=Limits)
    drain_timeout: float = attrs.field(default=10.0)

    @logical_name.validator
    @tenant.validator
    def _name(self, attribute: attrs.Attribute[str], value: str) -> None:
        if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_NAME:
            raise ValueError(f"{attribute.name} is {value!r}: must be 1 to {LONGEST_NAME} characters")

    @secret.validator
    def _secret(self, attribute: attrs.Attribute[str], value: str) -> None:
        if not isinstance(value, str) or not value:
            raise ValueError("secret is empty: must be the secret of this connector")

    @drain_timeout.validator
    def _drain(self, attribute: attrs.Attribute[float], value: float) -> None:
        if not 0 <= value < float("inf"):
            raise ValueError(f"drain_timeout is {value!r}: must be seconds, 0 or more")

    def __attrs_post_init__(self) -> None:
        if not self.aggregators:
            raise ValueError("aggregators is empty: must have at least one address, host:port")
        for text in self.aggregators:
            try:
                address = Address.parse(text)
            except ValueError as error:
                raise ValueError(f"aggregators has {text!r}: {error}; must be host:port") from None
            if self.credentials is None and not address.is_loopback:
                raise ValueError(f"aggregators has {text!r}: without credentials (TLS) only this machine's addresses")
