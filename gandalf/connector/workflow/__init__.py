"""The connector `workflow`/`python`: runs small workflow files, on an event or on demand.

```yaml
name: project
on: {topic: project.requested}
steps:
  - id: create
    send: {type: vcs, command: CREATE_REPOSITORY, payload: {name: "${input.name}"}}
  - emit: {topic: project.ready, event: READY, payload: {url: "${steps.create.payload.url}"}}
```

`${input.…}` is the payload of the event, or what `RUN_WORKFLOW` was given; `${event.…}` the event itself;
`${steps.ID.payload.…}` the outcome of an earlier command.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from twisted.logger import Logger

from gandalf.connector.declare import Connector, Program
from gandalf.connector.job import Job
from gandalf.connector.network import CommandFailed, EventHandler, Network, ReceivedEvent
from gandalf.connector.programs import check_options
from gandalf.connector.workflow.definition import Trigger, Workflow
from gandalf.connector.workflow.files import load
from gandalf.connector.workflow.runs import on_demand, run, triggered
from gandalf.routing.duplicates import DuplicateWindow

_WINDOW: Final = 10_000
"""Events remembered for each workflow, so that none starts it twice."""
_log = Logger()


class Settings(BaseModel):
    """What an operator sets: the directory of the workflow files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path


class RunWorkflow(BaseModel):
    """Run the workflow `name` now; its templates find `input`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    input: dict[str, Any] = {}


def declare(workflows: Mapping[str, Workflow]) -> Connector:
    """The command RUN_WORKFLOW, and a subscription for each workflow that events start."""
    connector = Connector(type="workflow", product="python", versions=[(1, 0)])

    @connector.command("RUN_WORKFLOW", RunWorkflow)
    async def run_workflow(request: RunWorkflow, job: Job) -> dict[str, object]:
        workflow = workflows.get(request.name)
        if workflow is None:
            known = ", ".join(sorted(workflows)) or "none"
            raise CommandFailed("UNKNOWN_WORKFLOW", f"there is no workflow {request.name!r}; there are: {known}")
        if workflow.needs_event:
            raise CommandFailed(
                "NEEDS_EVENT", f"workflow {workflow.name} uses ${{event...}}: only an event can start it"
            )
        return await run(workflow, job.uuid, on_demand(request.input), job.network, job.progress)

    for workflow in workflows.values():
        if workflow.on:
            connector.on(workflow.on.topic)(_starter(workflow, workflow.on))
    return connector


def program(options: Mapping[str, object]) -> Program:
    """The connector with the workflows of the directory. ValueError that names all that is wrong with
    them."""
    directory = check_options(Settings, options).directory.absolute()
    try:
        return Program(declare(load(directory)))
    except OSError as error:
        raise ValueError(f"options.directory is {str(directory)!r}: cannot be read ({error.strerror})") from error


def _starter(workflow: Workflow, trigger: Trigger) -> EventHandler:
    started = DuplicateWindow(_WINDOW)

    async def start(event: ReceivedEvent, network: Network) -> None:
        if not trigger.matches(event.topic, event.event) or started.seen(event.uuid.bytes):
            return
        try:
            # The run bears the event's uuid: whoever sees a failure finds what caused it.
            await run(workflow, event.uuid, triggered(event), network, lambda progress: None)
        except CommandFailed as failure:
            _log.warn(
                "Run {run} of workflow {workflow}: {message}",
                run=event.uuid,
                workflow=workflow.name,
                message=failure.message,
            )
        else:
            _log.info("Run {run} of workflow {workflow} is done", run=event.uuid, workflow=workflow.name)

    return start
