"""EC2's answers in XML: those that are made here, and states put into moto's."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from scaler.testing.localcloud.answers import Answer
from scaler.testing.localcloud.ec2.machine import state_code

_SPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
ElementTree.register_namespace("", _SPACE)


def document(operation: str, content: str) -> Answer:
    """content: XML, what is below the request's id."""
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><{operation}Response xmlns="{_SPACE}">'
        f"<requestId>{uuid.uuid4()}</requestId>{content}</{operation}Response>"
    )
    return Answer(200, {"Content-Type": "text/xml"}, text.encode())


def changes(operation: str, instances: Iterable[tuple[str, str, str]]) -> Answer:
    """instances: id, former state, state."""
    items = "".join(
        f"<item><instanceId>{escape(identity)}</instanceId>"
        f"{_state('currentState', now)}{_state('previousState', before)}</item>"
        for identity, before, now in instances
    )
    return document(operation, f"<instancesSet>{items}</instancesSet>")


def with_states(answer: Answer, state_of: Callable[[str], str]) -> Answer:
    """Of the instances of a reservation: what moto says of them is replaced. state_of: by id."""
    root = ElementTree.fromstring(answer.body)
    for item in root.iter(f"{{{_SPACE}}}item"):
        identity, state = item.find(f"{{{_SPACE}}}instanceId"), item.find(f"{{{_SPACE}}}instanceState")
        if identity is None or state is None:
            continue
        name = state_of(identity.text or "")
        for part, text in (("code", str(state_code(name))), ("name", name)):
            if (element := state.find(f"{{{_SPACE}}}{part}")) is not None:
                element.text = text
    return replace(answer, body=ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _state(tag: str, name: str) -> str:
    return f"<{tag}><code>{state_code(name)}</code><name>{name}</name></{tag}>"
