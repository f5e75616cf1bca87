"""Runs workflows: one step after the other, until the last or the first that fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from twisted.logger import Logger

from gandalf.connector.network import CommandError, CommandFailed, Network, ReceivedEvent
from gandalf.connector.workflow.definition import FAILED_TOPIC, Emit, Step, Workflow
from gandalf.connector.workflow.templates import TemplateError, fill

_log = Logger()


def on_demand(given: Mapping[str, object]) -> dict[str, object]:
    """What the templates of a run on demand find: its input."""
    return {"input": dict(given)}


def triggered(event: ReceivedEvent) -> dict[str, object]:
    """What the templates of a run find that `event` has started: the event, and its payload as input."""
    return {
        "input": event.payload,
        "event": {
            "uuid": str(event.uuid),
            "topic": event.topic,
            "event": event.event,
            "payload": event.payload,
            "source": event.source,
            "timestamp": event.timestamp,
        },
    }


async def run(
    workflow: Workflow,
    uuid: UUID,
    scope: Mapping[str, object],
    network: Network,
    progress: Callable[[dict[str, object]], object],
) -> dict[str, object]:
    """Run `workflow` under `uuid`; gives the payload of each step that has an id.

    At the first step that fails it stops, announces `workflow.failed`, and raises `CommandFailed`,
    `STEP_FAILED`, with the same details. (A run that such an announcement has started announces no other:
    that could go on for ever.)
    """
    results: dict[str, object] = {}
    for index, step in enumerate(workflow.steps):
        label = workflow.label(index)
        progress({"step": label, "state": "started"})
        place = f"steps[{index}].{step.kind}"
        try:
            payload = await _carry_out(step, {**scope, "steps": results}, network, place)
        except Exception as error:
            failure = _failure(workflow, uuid, label, error)
            if not _started_by_failure(scope):
                await _announce(failure, network)
            raise failure from error
        if step.id:
            results[step.id] = {"payload": payload}
        progress({"step": label, "state": "done"})
    return {"workflow": workflow.name, "run": str(uuid), "steps": results}


async def _carry_out(step: Step, scope: Mapping[str, object], network: Network, place: str) -> object:
    action = step.action
    payload = fill(action.payload, scope, f"{place}.payload")
    target = fill(action.target, scope, f"{place}.target")
    if not isinstance(target, str):
        raise TemplateError(f"{place}.target", f"{action.target} must find a text")
    if isinstance(action, Emit):
        await network.emit(action.topic, action.event, payload, target=target)
        return None
    outcome = await network.send(action.type, action.command, payload, target=target, timeout=action.timeout)
    return outcome.payload


def _failure(workflow: Workflow, uuid: UUID, step: str, error: Exception) -> CommandFailed:
    match error:
        case CommandError():
            reason = {"code": error.code, "message": error.message}
        case TemplateError():
            reason = {"code": "TEMPLATE", "message": str(error)}
        case _:
            _log.failure(
                "Step {step} of workflow {workflow}, run {run}, failed unexpectedly",
                step=step,
                workflow=workflow.name,
                run=uuid,
            )
            reason = {"code": "INTERNAL", "message": "unexpected failure, see the log of the workflow connector"}
    return CommandFailed(
        "STEP_FAILED",
        f"step {step} of workflow {workflow.name} failed: {reason['code']}: {reason['message']}",
        {"workflow": workflow.name, "run": str(uuid), "step": step, "reason": reason},
    )


def _started_by_failure(scope: Mapping[str, Any]) -> bool:
    return "event" in scope and scope["event"]["topic"] == FAILED_TOPIC


async def _announce(failure: CommandFailed, network: Network) -> None:
    try:
        await network.emit(FAILED_TOPIC, "FAILED", failure.details)
    except Exception:
        _log.failure("Could not be announced: {message}", message=failure.message)
