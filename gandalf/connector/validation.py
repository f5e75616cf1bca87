"""Proving the connector's secret over each of its links (protocol.md 4 `secret`, and 6.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from gandalf.routing.errors import MakeFrame, readable
from gandalf.routing.link import Link
from gandalf.wire.envelope import Frame
from gandalf.wire.kinds import SECRET

ANSWER_TIMEOUT = 10.0
"""Seconds that an answer may take."""

FIRST_RETRY, LONGEST_RETRY = 0.1, 10.0
"""Seconds after which a secret that nobody could judge is shown again: each time twice as many."""

FIRST_REFUSAL, LONGEST_REFUSAL = 1.0, 60.0
"""Likewise for one that was refused, over all links together: it may be put right in the cluster."""


class SecretRefused(Exception):
    """The cluster does not accept the connector's secret; the text says why."""


@attrs.define(eq=False)
class _Attempt:
    """Where one link is: what was asked, and what the timer waits for."""

    uuid: bytes | None = None
    timer: IDelayedCall | None = None
    delay: float = FIRST_RETRY


class Validation:
    """Sends `VALIDATION` over a link until it is accepted or the link breaks.

    :param context: the context of the request.
    :param jitter: a random number from 0 to 1.
    :param accepted: called with a link that is validated now.
    :param refused: called with the cluster's reason.
    """

    log = Logger()

    def __init__(
        self,
        context: Mapping[str, object],
        make_frame: MakeFrame,
        clock: IReactorTime,
        jitter: Callable[[], float],
        *,
        accepted: Callable[[Link], None],
        refused: Callable[[str], None],
    ) -> None:
        self._context = dict(context)
        self._make_frame = make_frame
        self._clock = clock
        self._jitter = jitter
        self._accepted = accepted
        self._refused = refused
        self._attempts: dict[Link, _Attempt] = {}
        self._asked: dict[bytes, Link] = {}
        self._refusal_delay = FIRST_REFUSAL
        self._not_before = 0.0

    def start(self, link: Link) -> None:
        """`link` is there and has to be validated."""
        self.forget(link)
        self._attempts[link] = _Attempt()
        pause = self._not_before - self._clock.seconds()
        if pause > 0:
            self._later(link, pause)
        else:
            self._ask(link)

    def again(self, link: Link, trouble: str) -> None:
        """There was no answer about `link`, or it does not hold any more: ask once more after a while."""
        attempt = self._attempts.setdefault(link, _Attempt())
        self._stop_waiting(attempt)
        pause = attempt.delay * (1 - self._jitter() / 2)
        attempt.delay = min(attempt.delay * 2, LONGEST_RETRY)
        self.log.warn(
            "the secret could not be validated: {trouble}; again in {pause:.1f} s", trouble=trouble, pause=pause
        )
        self._later(link, pause)

    def forget(self, link: Link) -> None:
        """`link` is broken."""
        attempt = self._attempts.pop(link, None)
        if attempt is not None:
            self._stop_waiting(attempt)

    def stop(self) -> None:
        """Ask no more."""
        for link in list(self._attempts):
            self.forget(link)

    def reply(self, frame: Frame) -> bool:
        """Whether `frame` is the answer to something asked here."""
        link = self._asked.get(frame.reference) if frame.reference else None
        if link is None:
            return False
        body = readable(frame)
        context = body.get("context")
        context = context if isinstance(context, dict) else {}
        error = context.get("error")
        payload = body.get("payload")
        if isinstance(payload, str):
            payload = payload.encode("utf-8", "replace")
        if isinstance(error, dict):
            self.again(link, f"{error.get('code', '')}: {error.get('message', '')}")
        elif payload == b"true":
            self.forget(link)
            self._refusal_delay, self._not_before = FIRST_REFUSAL, 0.0
            link.validated = True
            self._accepted(link)
        elif payload == b"false":
            self._no(link, str(context.get("reason", "")) or "no reason was given")
        else:
            self.again(link, "the answer is neither true nor false")
        return True

    def error(self, reference: bytes, trouble: str) -> bool:
        """Whether an error event about `reference` is about something asked here."""
        link = self._asked.get(reference)
        if link is None:
            return False
        self.again(link, trouble)
        return True

    def _ask(self, link: Link) -> None:
        attempt = self._attempts[link]
        frame = self._make_frame(
            SECRET,
            {"command": "VALIDATION", "context": self._context},
            timeout=int(ANSWER_TIMEOUT * 1000),
        )
        attempt.uuid = frame.uuid
        self._asked[frame.uuid] = link
        attempt.timer = self._clock.callLater(
            ANSWER_TIMEOUT, self.again, link, f"no answer within {ANSWER_TIMEOUT:g} s"
        )
        link.send(frame)

    def _no(self, link: Link, reason: str) -> None:
        self._stop_waiting(self._attempts[link])
        pause = self._refusal_delay * (1 - self._jitter() / 4)
        self._refusal_delay = min(self._refusal_delay * 2, LONGEST_REFUSAL)
        self._not_before = self._clock.seconds() + pause
        self.log.error("the secret is refused: {reason}; again in {pause:.0f} s", reason=reason, pause=pause)
        self._later(link, pause)
        self._refused(reason)

    def _later(self, link: Link, pause: float) -> None:
        self._attempts[link].timer = self._clock.callLater(pause, self._ask, link)

    def _stop_waiting(self, attempt: _Attempt) -> None:
        if attempt.uuid is not None:
            self._asked.pop(attempt.uuid, None)
            attempt.uuid = None
        if attempt.timer is not None:
            if attempt.timer.active():
                attempt.timer.cancel()
            attempt.timer = None
