"""Where a shoset or an API listens or is dialled: a host and a TCP port."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import attrs
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PORT = re.compile(r"[0-9]{1,5}")


@attrs.frozen
class Address:
    """
    A TCP address. `host` is an IP address in its shortest form (without brackets) or a host name in lower
    case, so that two spellings of one address are equal; `port` is 1 to 65535.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """
        Read "host:port"; an IPv6 host stands in brackets, as in "[::1]:9103".

        @raise ValueError: saying what is wrong with `text`.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not host:
            raise ValueError("not of the form host:port")
        if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
            raise ValueError("the port is not a number from 1 to 65535")
        if host.startswith("[") and host.endswith("]"):
            return cls(_ipv6(host[1:-1]), int(port))
        if ":" in host:
            raise ValueError("an IPv6 address must stand in brackets")
        return cls(_ipv4_or_name(host), int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether nothing sent here leaves the machine: 127.0.0.0/8, ::1 or localhost."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_wildcard(self) -> bool:
        """Whether this stands for every address of the machine (0.0.0.0, ::), and so cannot be dialled."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._of)

    @classmethod
    def _of(cls, value: object) -> Address:
        if isinstance(value, Address):
            return value
        if not isinstance(value, str):
            raise ValueError("not text")
        return cls.parse(value)


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError("what stands in brackets is not an IPv6 address") from None


def _ipv4_or_name(text: str) -> str:
    labels = text.split(".")
    if labels[-1].isdecimal():
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise ValueError("the host is not an IPv4 address") from None
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the host is neither an IP address nor a host name")
    return text.lower()
