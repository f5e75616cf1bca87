"""A workflow file: what may stand in it, and all that can be checked before it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gandalf.connector import payloads
from gandalf.connector.network import DEFAULT_TIMEOUT
from gandalf.connector.payloads import Problem
from gandalf.connector.workflow.templates import TemplateError, templates
from gandalf.routing.topics import TopicFilter

EVENT_KEYS: Final = ("uuid", "topic", "event", "payload", "source", "timestamp")
"""What `${event.…}` knows."""
FAILED_TOPIC: Final = "workflow.failed"


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name):
        raise ValueError("must be 1 to 64 letters, digits, '_' and '-', the first a letter")
    return name


def _literal(text: str) -> str:
    if not text or "${" in text:
        raise ValueError("must be a text that is not empty, without templates")
    return text


def _pattern(pattern: str) -> str:
    TopicFilter([pattern])
    return pattern


Name = Annotated[str, AfterValidator(_name)]
Literally = Annotated[str, AfterValidator(_literal)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Json: TypeAlias = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trigger(_Part):
    """The events that start the workflow: topics by protocol.md 6.1, and one event of theirs, or any."""

    topic: Pattern
    event: Literally | None = None

    def matches(self, topic: str, event: str) -> bool:
        """Whether an event of that kind starts the workflow."""
        return self.event in (None, event) and TopicFilter([self.topic]).matches(topic)


class Send(_Part):
    """Send a command and wait for its outcome, `timeout` seconds at most."""

    type: Literally
    command: Literally
    payload: Json = {}
    target: str = ""
    timeout: float = Field(default=DEFAULT_TIMEOUT, gt=0, le=86400)


class Emit(_Part):
    """Send an event, and wait until the network has taken charge of it."""

    topic: Literally
    event: Literally
    payload: Json = {}
    target: str = ""


class Step(_Part):
    """One thing to do: a command or an event. Later steps find a command's outcome under `id`."""

    id: Name | None = None
    send: Send | None = None
    emit: Emit | None = None

    @model_validator(mode="after")
    def _one(self) -> Step:
        if (self.send is None) == (self.emit is None):
            raise ValueError("must have one of send, emit")
        return self

    @property
    def kind(self) -> Literal["send", "emit"]:
        """Which of the two it is."""
        return "send" if self.send else "emit"

    @property
    def action(self) -> Send | Emit:
        """What it does."""
        action = self.send or self.emit
        assert action is not None  # by _one
        return action


class Workflow(_Part):
    """A workflow: what starts it, and its steps, one after the other."""

    name: Name
    description: str = ""
    on: Trigger | None = None
    steps: list[Step] = Field(min_length=1)

    def label(self, index: int) -> str:
        """What the step at `index` is called in reports: its id, or its number from 1."""
        return self.steps[index].id or str(index + 1)

    @property
    def needs_event(self) -> bool:
        """Whether a template speaks of the event, so that the workflow cannot be run on demand."""
        return any(
            template.words[0] == "event"
            for index, step in enumerate(self.steps)
            for field in ("payload", "target")
            for template in templates(getattr(step.action, field), f"steps[{index}].{step.kind}.{field}")
        )


def parse(document: object) -> Workflow:
    """The workflow that a file's content describes. Raises `payloads.InvalidPayload` with every problem
    found."""
    if not isinstance(document, dict):
        raise payloads.InvalidPayload([Problem("the file", "must be a mapping with name and steps")])
    try:
        # As JSON: what a YAML file may hold beyond it (dates, keys that are no text) has no place in a payload.
        workflow = Workflow.model_validate_json(json.dumps(document, allow_nan=False))
    except ValidationError as error:
        raise payloads.InvalidPayload(payloads.problems(Workflow, error)) from None
    except (TypeError, ValueError) as error:
        raise payloads.InvalidPayload([Problem("the file", f"must hold what JSON can say ({error})")]) from None
    found = list(_problems(workflow))
    if found:
        raise payloads.InvalidPayload(found)
    return workflow


def _problems(workflow: Workflow) -> Iterator[Problem]:
    known: dict[str, str] = {}
    for index, step in enumerate(workflow.steps):
        for field in ("payload", "target"):
            place = f"steps[{index}].{step.kind}.{field}"
            try:
                for template in templates(getattr(step.action, field), place):
                    allowed = _template_rule(template.words, known, workflow.on is not None)
                    if allowed:
                        yield Problem(template.place, allowed, str(template))
            except TemplateError as error:
                yield Problem(error.place, error.message)
        if step.emit and workflow.on and workflow.on.matches(step.emit.topic, step.emit.event):
            yield Problem(f"steps[{index}].emit.topic", "must not be what starts this same workflow", step.emit.topic)
        if step.id in known:
            yield Problem(f"steps[{index}].id", "must be different from the other steps' ids", step.id)
        elif step.id:
            known[step.id] = step.kind


def _template_rule(words: tuple[str, ...], known: dict[str, str], triggered: bool) -> str | None:
    """What is allowed where `words` are not; None when they are fine. `known` are the ids of earlier
    steps."""
    match words:
        case ("input", *_):
            return None
        case ("event", *_) if not triggered:
            return "event.… needs an 'on' that starts the workflow; input.… is there on demand"
        case ("event", key, *_) if key in EVENT_KEYS:
            return None
        case ("event", *_):
            return f"event. must be followed by one of {', '.join(EVENT_KEYS)}"
        case ("steps", step, *rest) if known.get(step) == "send":
            return None if rest[:1] == ["payload"] else f"steps.{step}. must be followed by payload"
        case ("steps", *_):
            earlier = ", ".join(name for name, kind in known.items() if kind == "send") or "none"
            return f"steps. must be followed by the id of an earlier step that sends; here: {earlier}"
    return "must begin with input, event or steps"
