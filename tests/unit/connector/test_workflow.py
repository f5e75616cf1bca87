"""Workflows run: by an event, on demand, to the end or to the step that fails."""

from __future__ import annotations

from uuid import UUID

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from gandalf.connector import CommandFailed, CommandRefused, ReceivedEvent
from gandalf.connector.execution import Executor
from gandalf.connector.testing import MemoryHost, MemoryNetwork, carry_out
from gandalf.connector.workflow import declare
from gandalf.connector.workflow.definition import parse

PROJECT = {
    "name": "project",
    "on": {"topic": "project.*", "event": "REQUESTED"},
    "steps": [
        {
            "id": "create",
            "send": {
                "type": "vcs",
                "command": "CREATE_REPOSITORY",
                "payload": {"name": "${input.name}"},
                "target": "${input.forge}",
                "timeout": 3,
            },
        },
        {"send": {"type": "vcs", "command": "CREATE_BRANCH", "payload": {"name": "develop"}}},
        {
            "emit": {
                "topic": "project.ready",
                "event": "READY",
                "payload": {"url": "${steps.create.payload.url}"},
            }
        },
    ],
}
NOTIFY = {
    "name": "notify",
    "on": {"topic": "workflow.failed"},
    "steps": [{"send": {"type": "chat", "command": "SAY", "payload": {"text": "${event.payload.workflow} failed"}}}],
}
INPUT = {"name": "demo", "forge": "git1"}


class WorkflowCase(SynchronousTestCase):
    """A workflow connector on a network in memory."""

    def setUp(self) -> None:
        """The two workflows."""
        self.network = MemoryNetwork()
        workflows = [parse(PROJECT), parse(NOTIFY)]
        self.connector = declare({workflow.name: workflow for workflow in workflows})
        self.executor = Executor(self.connector, self.network, MemoryHost(), incident=str)

    def deliver(
        self, number: int = 1, topic: str = "project.new", event: str = "REQUESTED", payload: object = None
    ) -> None:
        """Let an event come in."""
        received = ReceivedEvent(UUID(int=number), topic, event, payload or INPUT, source="portal")
        for reaction in self.executor.deliver(received):
            ensureDeferred(reaction)

    def emitted(self) -> list[tuple[str, str, object]]:
        """What was emitted."""
        return [(one.topic, one.event, one.payload) for one in self.network.emitted]


class EventTests(WorkflowCase):
    """Runs that an event starts."""

    def test_steps_follow_one_another(self) -> None:
        """Each step waits for the one before; templates are filled from event and earlier outcomes."""
        self.deliver()
        [create] = self.network.sent
        self.assertEqual(
            (create.connector_type, create.command, create.payload, create.target, create.timeout),
            ("vcs", "CREATE_REPOSITORY", {"name": "demo"}, "git1", 3),
        )
        create.succeed({"url": "file:///demo.git"})
        self.assertEqual(self.network.sent[1].command, "CREATE_BRANCH")
        self.assertEqual(self.emitted(), [])
        self.network.sent[1].succeed()
        self.assertEqual(self.emitted(), [("project.ready", "READY", {"url": "file:///demo.git"})])

    def test_other_events_do_not_start_it(self) -> None:
        """Neither another event of the topic nor another topic starts the workflow."""
        self.deliver(1, event="CLOSED")
        self.deliver(2, topic="other.new")
        self.assertEqual(self.network.sent, [])

    def test_duplicate_event_starts_it_once(self) -> None:
        """An event that comes twice, during the run or after, starts one run; another event starts
        another."""
        self.deliver(1)
        self.deliver(1)
        self.assertEqual(len(self.network.sent), 1)
        self.network.sent[0].outcome.errback(CommandFailed("X", "y"))
        self.deliver(1)
        self.assertEqual(len(self.network.sent), 1)
        self.deliver(2)
        self.assertEqual(len(self.network.sent), 2)

    def test_failing_step_stops_and_is_announced(self) -> None:
        """The first failure ends the run; workflow.failed names workflow, run, step and reason."""
        for error, code in (
            (CommandFailed("ALREADY_EXISTS", "there is a repository"), "ALREADY_EXISTS"),
            (CommandRefused("NO_ROUTE", "nobody speaks vcs"), "NO_ROUTE"),
        ):
            with self.subTest(code=code):
                self.setUp()
                self.deliver(7)
                self.network.sent[0].outcome.errback(error)
                self.assertEqual(len(self.network.sent), 1)
                self.assertEqual(
                    self.emitted(),
                    [
                        (
                            "workflow.failed",
                            "FAILED",
                            {
                                "workflow": "project",
                                "run": str(UUID(int=7)),
                                "step": "create",
                                "reason": {"code": code, "message": error.message},
                            },
                        )
                    ],
                )

    def test_step_without_id_is_named_by_its_number(self) -> None:
        """The second step has no id: its failure says 2."""
        self.deliver()
        self.network.sent[0].succeed({"url": "u"})
        self.network.sent[1].outcome.errback(CommandFailed("X", "y"))
        [(_, _, payload)] = self.emitted()
        assert isinstance(payload, dict)
        self.assertEqual(payload["step"], "2")

    def test_template_that_finds_nothing_fails_its_step(self) -> None:
        """An event without what the templates need is told so, with the place, and nothing is sent."""
        for payload in ({"name": "demo"}, "text", ["x"], {"name": "demo", "forge": 3}):
            with self.subTest(payload=payload):
                self.setUp()
                self.deliver(payload=payload)
                self.assertEqual(self.network.sent, [])
                [(topic, _, failure)] = self.emitted()
                assert isinstance(failure, dict)
                self.assertEqual((topic, failure["reason"]["code"]), ("workflow.failed", "TEMPLATE"))
                self.assertIn("steps[0].send.", failure["reason"]["message"])

    def test_unexpected_error_is_told_without_its_text(self) -> None:
        """An error that is no command's goes to the log; the announcement says that much."""
        self.deliver()
        self.network.sent[0].outcome.errback(KeyError("hunter2"))
        [(_, _, failure)] = self.emitted()
        self.assertIn("INTERNAL", str(failure))
        self.assertNotIn("hunter2", str(failure))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_announcement_that_fails_is_logged(self) -> None:
        """When even workflow.failed cannot be sent, the log has it."""
        self.network.takes_charge = False
        self.deliver()
        self.network.sent[0].outcome.errback(CommandFailed("X", "y"))
        self.network.emitted[0].taken.errback(OSError("gone"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_failure_of_a_failures_workflow_is_not_announced(self) -> None:
        """A workflow that workflow.failed starts does not announce its own failure: it would start itself."""
        self.deliver(topic="workflow.failed", event="FAILED", payload={"workflow": "project"})
        [say] = self.network.sent
        self.assertEqual(say.payload, {"text": "project failed"})
        say.outcome.errback(CommandFailed("X", "y"))
        self.assertEqual(self.emitted(), [])

    def test_emit_waits_for_the_network(self) -> None:
        """A run is over only when the network has taken charge of its event."""
        self.network.takes_charge = False
        carried = carry_out(self.connector, "RUN_WORKFLOW", {"name": "project", "input": INPUT}, network=self.network)
        self.network.sent[0].succeed({"url": "u"})
        self.network.sent[1].succeed()
        self.assertEqual(carried.outcome[0], "PROGRESS")
        self.network.emitted[0].taken.callback(None)
        self.assertEqual(carried.outcome[0], "SUCCESS")


class DemandTests(WorkflowCase):
    """Runs that RUN_WORKFLOW starts."""

    def test_run_reports_each_step(self) -> None:
        """The steps' begin and end are its progress, the outcomes of steps with an id its result."""
        carried = carry_out(self.connector, "RUN_WORKFLOW", {"name": "project", "input": INPUT}, network=self.network)
        self.network.sent[0].succeed({"url": "u"})
        self.network.sent[1].succeed()
        steps = [(step, state) for step in ("create", "2", "3") for state in ("started", "done")]
        self.assertEqual(
            carried.receipts,
            [
                ("TAKEN", None),
                *(("PROGRESS", {"step": step, "state": state}) for step, state in steps),
                (
                    "SUCCESS",
                    {
                        "workflow": "project",
                        "run": str(UUID(int=1)),
                        "steps": {"create": {"payload": {"url": "u"}}},
                    },
                ),
            ],
        )

    def test_failing_run_is_a_failure(self) -> None:
        """The failure of a step is the command's failure, and is announced all the same."""
        carried = carry_out(self.connector, "RUN_WORKFLOW", {"name": "project", "input": INPUT}, network=self.network)
        self.network.sent[0].outcome.errback(CommandFailed("X", "y"))
        event, payload = carried.outcome
        self.assertEqual((event, payload["code"], payload["step"]), ("FAILURE", "STEP_FAILED", "create"))
        self.assertEqual(payload["reason"], {"code": "X", "message": "y"})
        self.assertEqual([topic for topic, _, _ in self.emitted()], ["workflow.failed"])

    def test_unknown_workflow_lists_the_known(self) -> None:
        """A name that no file has fails with those that are there."""
        _, payload = carry_out(self.connector, "RUN_WORKFLOW", {"name": "x"}, network=self.network).outcome
        self.assertEqual(payload["code"], "UNKNOWN_WORKFLOW")
        self.assertIn("notify, project", payload["message"])

    def test_workflow_that_needs_its_event_is_refused(self) -> None:
        """A workflow whose templates speak of the event is not begun on demand."""
        _, payload = carry_out(self.connector, "RUN_WORKFLOW", {"name": "notify"}, network=self.network).outcome
        self.assertEqual(payload["code"], "NEEDS_EVENT")
        self.assertEqual(self.network.sent, [])
        self.assertEqual(self.emitted(), [])
