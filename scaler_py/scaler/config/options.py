"""An option as plain data: what `--help`, flags, TOML keys and variables are made from without importing pydantic.

Plain classes and few imports: `dataclasses` and `typing` alone take as long as a whole `--help` may.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["value", "flag", "list", "positional"]


class Option:
    """One option of a component. Its TOML key is `name`, its flag the name with dashes."""

    __slots__ = (
        "choices", "default", "environment", "help", "hidden", "kind", "metavar", "name", "older", "required", "short",
    )  # fmt: skip

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
        environment: bool = True,
        older: tuple[str, ...] = (),
        hidden: bool = False,
    ) -> None:
        """default: as text, for people; the model has the value. environment: whether `SCALER_<NAME>` gives it.

        older: names of other versions, each followed by its short flag if it had one: accepted, with a word about the
        new name.
        """
        self.name = name
        self.kind = kind
        self.help = help
        self.short = short
        self.default = default
        self.choices = choices
        self.required = required
        self.metavar = metavar
        self.environment = environment
        self.older = older
        self.hidden = hidden

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable's name; empty where there is none."""
        return f"SCALER_{self.name.upper()}" if self.environment else ""

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
