"""Fields of option models, and how a model becomes a table of plain options."""

import inspect
import types
import typing
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from scaler.config.options import Component, Option
from scaler.transport.addresses import parse_address
from scaler.transport.errors import AddressError

if TYPE_CHECKING:
    from scaler.config.options import Kind


class OptionModel(BaseModel):
    """Base of all option models, drivers' own too: unknown names are errors, values cannot change.

    group: the heading that a model's own options stand under in help.
    """

    group: ClassVar[str] = ""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def option(
    default: Any = ...,
    help: str = "",
    *,
    short: str = "",
    positional: bool = False,
    metavar: str = "",
    variable: str = "",
    older: tuple[str, ...] = (),
    hidden: bool = False,
    default_text: str = "",
    secret: bool = False,
    **constraints: Any,
) -> Any:
    """A field of an option model. Without `default` it is required. `constraints` are pydantic's (gt, ge, le …).

    short: like "-osa". variable: in the environment, where `SCALER_<NAME>` would mean two things. older: names that
    other versions had, and their short flags. secret: its value, a pydantic.SecretStr, is never shown: not in help,
    errors, logs or the list of processes; it has no default but None.
    """
    extra: dict[str, Any] = {
        "short": short,
        "positional": positional,
        "metavar": metavar,
        "variable": variable,
        "older": list(older),
        "hidden": hidden,
        "default_text": default_text,
        "secret": secret,
    }
    return Field(default, description=help, json_schema_extra=extra, **constraints)


def component_of(model: type[BaseModel], table: str) -> Component:
    """The plain table of a model's options: positional ones first, then its own, then those of its bases."""
    owners = {name: each for each in reversed(model.__mro__) for name in _own(each)}
    options = [_option(name, field, _group(owners[name])) for name, field in model.model_fields.items()]
    distance = {name: model.__mro__.index(owner) for name, owner in owners.items()}
    options.sort(key=lambda option: (option.kind != "positional", distance[option.name]))
    return Component(table, tuple(options))


def _own(model: type) -> dict[str, Any]:
    return inspect.get_annotations(model)


def _group(model: type) -> str:
    """The heading of a model's own options: none of its bases'."""
    return str(vars(model).get("group", ""))


def _option(name: str, field: FieldInfo, group: str) -> Option:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    kind, choices = _kind_of(field.annotation)
    if extra.get("positional"):
        kind = "positional"
    older = extra.get("older", [])
    secret = _is_secret(field.annotation)
    if secret != bool(extra.get("secret", False)):
        raise TypeError(f"{name}: an option with secret=True is a pydantic.SecretStr, and no other is")
    if secret and field.default not in (None, PydanticUndefined):
        raise TypeError(f"{name}: a secret has no default but None")
    return Option(
        name=name,
        kind=kind,
        help=field.description or "",
        short=str(extra.get("short", "")),
        default=str(extra.get("default_text") or "") or _text(field.default),
        choices=choices,
        required=field.is_required(),
        metavar=str(extra.get("metavar") or "") or name.upper(),
        variable=str(extra.get("variable", "")),
        older=tuple(map(str, older)) if isinstance(older, list) else (),
        hidden=bool(extra.get("hidden", False)),
        group=group,
        secret=secret,
    )


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(each is SecretStr for each in get_args(annotation))


def _kind_of(annotation: Any) -> "tuple[Kind, tuple[str, ...]]":
    if get_origin(annotation) is Annotated:
        return _kind_of(get_args(annotation)[0])
    if get_origin(annotation) in {typing.Union, types.UnionType}:
        inner = [each for each in get_args(annotation) if each is not type(None)]
        return _kind_of(inner[0]) if len(inner) == 1 else ("value", ())
    if annotation is bool:
        return "flag", ()
    if get_origin(annotation) is Literal:
        return "value", tuple(map(str, get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "value", tuple(str(member.value) for member in annotation)
    if get_origin(annotation) is list and get_args(annotation) == (str,):
        return "list", ()
    return "value", ()


def _text(default: Any) -> str:
    if default is PydanticUndefined or default is None or default in ("", (), False):
        return ""
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, ByteSize):
        return default.human_readable().replace(".0", "")
    if isinstance(default, float):
        return f"{default:g}"
    return " ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)


def _address(value: object) -> object:
    if isinstance(value, str):
        try:
            return str(parse_address(value))
        except AddressError as error:
            # The second line is what to do: `load` takes it apart again.
            raise ValueError(f"{error.what}\n{error.mend}") from None
    return value


def _capabilities(value: object) -> object:
    """`linux,cpu=4` → [("cpu", 4), ("linux", -1)]."""
    if isinstance(value, str):
        value = dict(_capability(part) for part in value.split(",") if part.strip())
    if isinstance(value, dict):
        if any(not isinstance(name, str) or not name.strip() for name in value):
            raise ValueError("a capability needs a name")
        return sorted((name.strip(), amount) for name, amount in value.items())
    return value


def _capability(part: str) -> tuple[str, int]:
    name, equals, amount = part.partition("=")
    if not name.strip():
        raise ValueError(f"a capability needs a name: {part.strip()!r}")
    try:
        return name.strip(), int(amount) if equals else -1
    except ValueError:
        raise ValueError(f"the amount of {name.strip()!r} is no whole number: {amount.strip()!r}") from None


def _paths(value: object) -> object:
    return [value] if isinstance(value, str) else value


AddressText = Annotated[str, BeforeValidator(_address)]
Capabilities = Annotated[list[tuple[str, int]], BeforeValidator(_capabilities)]
Paths = Annotated[list[str], BeforeValidator(_paths)]


def _tls_port(value: object) -> object:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or text in {"auto", "off"}:
        return text
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return text
    raise ValueError("one of a port from 1 to 65535, auto (any free one), off")


TlsPort = Annotated[str, BeforeValidator(_tls_port)]
