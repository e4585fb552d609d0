"""Parameters of the protocols that send forms (EC2's, and the query protocol of IAM and STS), as their models are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from scaler.testing.localcloud.call import Call, service_model


def structured(call: Call) -> dict[str, Any]:
    """By the names that SDKs have: `TagSpecification.1.Tag.1.Key` becomes {"TagSpecifications": [{"Tags": [...]}]}.

    Of other protocols the parameters as they are.
    """
    model = service_model(call.service)
    if call.protocol not in ("ec2", "query") or model is None or call.operation not in model.operation_names:
        return call.parameters
    shape = model.operation_model(call.operation).input_shape
    found = _Form(call.parameters, call.protocol == "ec2").read(shape, "") if shape is not None else None
    return found or {}


class _Form:
    def __init__(self, flat: Mapping[str, str], ec2: bool) -> None:
        self._flat = flat
        self._ec2 = ec2
        # What is below nothing that was sent need not be looked for.
        self._there = {"", *flat}
        for key in flat:
            parts = key.split(".")
            self._there.update(".".join(parts[:count]) for count in range(1, len(parts)))

    def read(self, shape: Shape, prefix: str) -> Any:
        """None where nothing was sent."""
        if prefix not in self._there:
            return None
        if isinstance(shape, StructureShape):
            members = {name: self.read(each, self._member(prefix, name, each)) for name, each in shape.members.items()}
            return {name: value for name, value in members.items() if value is not None} or None
        if isinstance(shape, ListShape):
            return self._items(shape.member, prefix if self._is_flat(shape) else f"{prefix}.{_name(shape.member)}")
        if isinstance(shape, MapShape):
            return self._entries(shape, prefix if self._is_flat(shape) else f"{prefix}.entry")
        text = self._flat.get(prefix)
        if text is None:
            return None
        if shape.type_name == "boolean":
            return text == "true"
        if shape.type_name in ("integer", "long"):
            return int(text)
        return text

    def _is_flat(self, shape: Shape) -> bool:
        return self._ec2 or bool(shape.serialization.get("flattened"))

    def _member(self, prefix: str, name: str, shape: Shape) -> str:
        own = str(shape.serialization.get("name", name))
        if self._ec2:
            own = str(shape.serialization.get("queryName", own[:1].upper() + own[1:]))
        elif isinstance(shape, ListShape) and self._is_flat(shape):
            own = str(shape.member.serialization.get("name", own))
        return f"{prefix}.{own}" if prefix else own

    def _items(self, shape: Shape, prefix: str) -> list[Any] | None:
        items: list[Any] = []
        while (item := self.read(shape, f"{prefix}.{len(items) + 1}")) is not None:
            items.append(item)
        return items or None

    def _entries(self, shape: MapShape, prefix: str) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while (key := self._flat.get(f"{prefix}.{len(entries) + 1}.key")) is not None:
            entries[key] = self.read(shape.value, f"{prefix}.{len(entries) + 1}.value")
        return entries


def _name(shape: Shape) -> str:
    return str(shape.serialization.get("name", "member"))
