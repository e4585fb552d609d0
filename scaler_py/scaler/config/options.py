"""An option as plain data: what `--help`, flags, TOML keys and variables are made from without importing pydantic.

Plain classes and few imports: `dataclasses` and `typing` alone take as long as a whole `--help` may.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["value", "flag", "list", "positional"]


ATTRIBUTES = (
    "choices", "default", "group", "help", "hidden", "kind", "metavar", "name", "older", "required", "secret", "short",
    "variable",
)  # fmt: skip


class Option:
    """One option of a component. Its TOML key is `name`, its flag the name with dashes."""

    __slots__ = ATTRIBUTES

    def __init__(
        self,
        name: str,
        kind: Kind,
        help: str,
        *,
        short: str = "",
        default: str = "",
        choices: tuple[str, ...] = (),
        required: bool = False,
        metavar: str = "",
        variable: str = "",
        older: tuple[str, ...] = (),
        hidden: bool = False,
        group: str = "",
        secret: bool = False,
    ) -> None:
        """default: as text, for people; the model has the value. variable: in the environment; else `SCALER_<NAME>`.

        older: names of other versions, each followed by its short flag if it had one: accepted, with a word about the
        new name. group: the heading that it stands under in help and documentation. secret: its value is never shown.
        """
        self.name = name
        self.kind = kind
        self.help = help
        self.short = short
        self.default = default
        self.choices = choices
        self.required = required
        self.metavar = metavar
        self.variable = variable or f"SCALER_{name.upper()}"
        self.older = older
        self.hidden = hidden
        self.group = group
        self.secret = secret

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def typed(self) -> str:
        """What a user types to give it."""
        return self.metavar if self.kind == "positional" else self.flag


class Component:
    """A component's options, and the TOML table that has them."""

    __slots__ = ("options", "table")

    def __init__(self, table: str, options: tuple[Option, ...]) -> None:
        self.table = table
        self.options = options

    def option(self, name: str) -> Option:
        return next(each for each in self.options if each.name == name)
