"""The log output: lines of text and of JSON, levels, and how twistd comes to it."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.application.service import Application, IService, MultiService, Service
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python import log as old_log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from gandalf.logs import LEVELS, LoggedService, LogOutput, json_line, text_line

NOON = 1769860800.25  # 2026-01-31T12:00:00.250Z


def event(**fields: Any) -> dict[str, Any]:
    """An event of twisted.logger, as it reaches an observer."""
    return {
        "log_time": NOON,
        "log_level": LogLevel.info,
        "log_namespace": "gandalf.test",
        "log_format": "something happened",
        **fields,
    }


def failed(message: str) -> Failure:
    """A failure with a traceback."""
    try:
        raise ValueError(message)
    except ValueError:
        return Failure()


class Text(SynchronousTestCase):
    """One line an event."""

    def test_a_line(self) -> None:
        """Time in UTC with ms, level, namespace, and the message with its fields."""
        line = text_line(event(log_format="linked to {peer}", peer="cluster1"))
        self.assertEqual(line, "2026-01-31T12:00:00.250Z info gandalf.test: linked to cluster1\n")

    def test_line_breaks_are_escaped(self) -> None:
        """What a peer sent cannot look like another line, nor move the terminal's cursor."""
        line = text_line(event(log_format="{name}", name="a\nb\r\x1b[2J\u2028\ud800é"))
        self.assertEqual(line, "2026-01-31T12:00:00.250Z info gandalf.test: a\\nb\\r\\x1b[2J\\u2028\\ud800é\n")

    def test_a_failure(self) -> None:
        """The traceback follows, each line indented, so that no line of it looks like an event."""
        line = text_line(event(log_failure=failed("first\n2026-01-31 second"), log_level=LogLevel.critical))
        assert line is not None
        first, *others = line.splitlines()
        self.assertIn("critical gandalf.test: something happened", first)
        self.assertIn("    Traceback (most recent call last):", others)
        self.assertIn("    2026-01-31 second", others)
        self.assertTrue(all(other.startswith("    ") for other in others))

    def test_nothing_to_say(self) -> None:
        """An event without a message and without a failure gives no line."""
        self.assertEqual(text_line(event(log_format=None)), None)

    @given(st.text())
    def test_always_one_line(self, text: str) -> None:
        """Whatever is logged, one event is one line, and it can be written as UTF-8."""
        line = text_line(event(log_format="got {text}", text=text))
        assert line is not None
        self.assertEqual(len(line.splitlines()), 1)
        self.assertTrue(line.encode("utf-8"))


class JSON(SynchronousTestCase):
    """One object an event."""

    def fields(self, **fields: Any) -> dict[str, Any]:
        """What the line of such an event says."""
        line = json_line(event(**fields))
        self.assertEqual(line.count("\n"), 1)
        self.assertTrue(line.endswith("\n"))
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    def test_an_object(self) -> None:
        """Time, level, namespace, message, and the named fields as they are."""
        self.assertEqual(
            self.fields(log_format="linked to {peer}", peer="cluster1", attempt=3, tags=["a", {"b": None}]),
            {
                "time": "2026-01-31T12:00:00.250Z",
                "level": "info",
                "namespace": "gandalf.test",
                "message": "linked to cluster1",
                "peer": "cluster1",
                "attempt": 3,
                "tags": ["a", {"b": None}],
            },
        )

    def test_what_is_not_json(self) -> None:
        """Other values are given by their repr; also numbers that JSON lacks and lists that hold themselves."""
        endless: list[object] = []
        endless.append(endless)

        class Broken:
            def __repr__(self) -> str:
                raise ValueError("no repr")

        fields = self.fields(uuid=b"\0\1", ratio=float("nan"), keys={1, 2}, endless=endless, broken=Broken())
        self.assertEqual(fields["uuid"], "b'\\x00\\x01'")
        self.assertEqual(fields["ratio"], "nan")
        self.assertEqual(fields["keys"], "{1, 2}")
        self.assertEqual(fields["endless"], "[[...]]")
        self.assertIn("Broken", fields["broken"])

    def test_a_failure(self) -> None:
        """A failure is a field `traceback`."""
        fields = self.fields(log_failure=failed("went wrong"))
        self.assertIn("ValueError: went wrong", fields["traceback"])
        self.assertNotIn("log_failure", fields)

    def test_fields_called_like_ours(self) -> None:
        """A named field does not take the place of the log's own; it gets an underscore."""
        fields = self.fields(message="theirs", time=5)
        self.assertEqual((fields["message"], fields["message_"]), ("something happened", "theirs"))
        self.assertEqual((fields["time"], fields["time_"]), ("2026-01-31T12:00:00.250Z", 5))


class Output(SynchronousTestCase):
    """LogOutput as an observer."""

    def setUp(self) -> None:
        self.stream = io.StringIO()

    def output(self, level: str = "info", form: Any = "text") -> tuple[LogOutput, Logger]:
        """An output to the stream, and a logger that it observes."""
        output = LogOutput(self.stream, level, form)
        publisher = LogPublisher(output)
        return output, Logger("gandalf.test", observer=publisher)

    def messages(self) -> list[str]:
        """The messages written so far."""
        return [line.split(": ", 1)[1] for line in self.stream.getvalue().splitlines()]

    def test_interface(self) -> None:
        """It is an ILogObserver, the interface twistd asks the application for."""
        self.assertTrue(verifyObject(ILogObserver, self.output()[0]))

    def test_each_level(self) -> None:
        """Events of the level and above are written, others not."""
        for number, level in enumerate(LEVELS):
            self.stream = io.StringIO()
            _, log = self.output(level)
            for each in LEVELS:
                getattr(log, each)(each)
            self.assertEqual(self.messages(), list(LEVELS[number:]))

    def test_set_level(self) -> None:
        """The level can be changed while the program runs."""
        output, log = self.output("warn")
        log.info("not this")
        output.set_level("debug")
        log.debug("this")
        self.assertEqual((output.level, self.messages()), ("debug", ["this"]))

    def test_an_unknown_level(self) -> None:
        """Another level is an error that says which there are; the level stays what it was."""
        output, _ = self.output("warn")
        error = self.assertRaises(ValueError, output.set_level, "loud")
        self.assertIn("'loud': allowed are debug, info, warn, error, critical", str(error))
        self.assertEqual(output.level, "warn")

    def test_json(self) -> None:
        """In JSON every line is an object, also those of the old logging interface."""
        output, log = self.output(form="json")
        log.info("one {n}", n=1)
        publisher = old_log.LogPublisher()
        publisher.addObserver(output)
        publisher.msg("two", system="old")
        one, two = map(json.loads, self.stream.getvalue().splitlines())
        self.assertEqual((one["message"], one["n"]), ("one 1", 1))
        self.assertEqual((two["message"], two["level"]), ("two", "info"))
        self.assertEqual(set(two), {"time", "level", "namespace", "message"})

    def test_stdout_without_utf8(self) -> None:
        """On a stdout of another encoding a character that it lacks is escaped, and the event is not lost."""
        raw = io.BytesIO()
        self.patch(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
        LogOutput.for_stdout("info", "text")(event(log_format="é"))
        self.assertTrue(raw.getvalue().endswith(b"gandalf.test: \\xe9\n"))


class Twistd(SynchronousTestCase):
    """How a program's log reaches the output."""

    def test_the_application_gets_the_output(self) -> None:
        """Put into an application, as twistd does, the service brings its output as the ILogObserver."""
        output = LogOutput(io.StringIO(), "info", "text")
        service = LoggedService(output)
        inner = Service()
        inner.setServiceParent(service)
        application = Application("gandalf-test")
        service.setServiceParent(application)
        self.assertIdentical(application.getComponent(ILogObserver), output)
        IService(application).startService()
        self.assertTrue(inner.running)

    def test_in_another_service(self) -> None:
        """Within another service, as in a test, it is a service like another."""
        parent = MultiService()
        service = LoggedService(LogOutput(io.StringIO(), "info", "text"))
        service.setServiceParent(parent)
        self.assertEqual(list(parent), [service])
