"""An option as plain data: what `--help`, flags, TOML keys and variables are made from without importing pydantic."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["value", "flag", "list", "positional"]


@dataclass(frozen=True)
class Option:
    """One option of a component. Its TOML key is `name`, its flag the name with dashes."""

    name: str
    kind: Kind
    help: str
    short: str = ""
    # As text, for people; the model has the value.
    default: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    metavar: str = ""
    # Whether `SCALER_<NAME>` gives it.
    environment: bool = True
    # Names of other versions, with flags where they had short ones: accepted, with a word about the new name.
    older: tuple[str, ...] = ()
    hidden: bool = False

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


@dataclass(frozen=True)
class Component:
    """A component's options, and the TOML table that has them."""

    table: str
    options: tuple[Option, ...]

    def option(self, name: str) -> Option:
        return next(each for each in self.options if each.name == name)
