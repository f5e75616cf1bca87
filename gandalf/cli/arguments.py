"""Reading what stands on the command line: payloads, and points in time."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

LONGEST_S = 31_536_000.0
"""Seconds; a year is as long as anything is waited for."""

_KEY = re.compile(r"(?P<key>[^=:]+)(?P<kind>:?=)(?P<value>.*)", re.DOTALL)
_AGO = re.compile(r"(?P<count>\d{1,9})(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def seconds(context: click.Context, option: click.Parameter, value: float) -> float:
    """Checks an option that says how many seconds to wait."""
    if not 0 < value <= LONGEST_S:  # not a number is neither
        raise click.BadParameter(f"{value!r}: allowed are seconds, more than 0 and at most {LONGEST_S:.0f}")
    return value


def payload(pairs: Sequence[str], text: str | None) -> object:
    """The payload that the arguments `pairs` and the option `--json` make together; None without any.

    Raises `click.UsageError` saying what is allowed.
    """
    base: object = None
    if text is not None:
        base = _json(text, "--json")
        if pairs and not isinstance(base, dict):
            raise click.UsageError(f"--json is {text!r}: KEY=TEXT can be added to a JSON object only")
    if not pairs:
        return base
    keys: dict[str, object] = {}
    for pair in pairs:
        match = _KEY.fullmatch(pair)
        if match is None:
            raise click.UsageError(f"{pair!r}: allowed is KEY=TEXT, or KEY:=JSON for what is no text")
        key, value = match["key"], match["value"]
        if key in keys:
            raise click.UsageError(f"{pair!r}: the key {key!r} is given twice")
        keys[key] = _json(value, key) if match["kind"] == ":=" else value
    return {**base, **keys} if isinstance(base, dict) else keys


def _json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{where} is {text!r}: it must be JSON ({error})") from None


def moment(text: str, now: datetime) -> int:
    """Milliseconds since the epoch, of "15m" (ago; s, m, h or d), or of an ISO 8601 date or time (here, unless
    it has an offset). Raises `click.UsageError`."""
    try:
        if match := _AGO.fullmatch(text):
            then = now - timedelta(**{_UNITS[match["unit"]]: int(match["count"])})
        else:
            then = datetime.fromisoformat(text).astimezone(UTC)
        return int(then.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise click.UsageError(
            f"{text!r}: allowed is a time as 2026-01-31, 2026-01-31T12:00 or 2026-01-31T12:00:00+01:00,"
            " or how long ago, as 90s, 15m, 2h or 3d"
        ) from None
