"""A rule: a name, what must hold, what to do when it does not, and the check."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaler.managers.api import DriverInfo, Family
from scaler.testing.contract.case import MEANINGS, DriverCase

if TYPE_CHECKING:
    from scaler.testing.contract.trial import Trial


class Broken(AssertionError):
    """The driver does not do what a rule says."""


class NotApplicable(Exception):
    """A rule says nothing of this driver, or cannot be tried; the text says why."""


@dataclass(frozen=True)
class Rule:
    """`text`: what must hold, and why. `mend`: what an author does about it. `needs`: fields of `DriverCase`."""

    name: str
    text: str
    mend: str
    check: Callable[["Trial"], None]
    family: Family | None
    needs: tuple[str, ...]

    def apply(self, case: DriverCase) -> None:
        """NotApplicable; Broken, with all that its reader needs."""
        from scaler.testing.contract.trial import Trial, describe

        info = self._described(describe, case)
        if self.family is not None and info is not None and info.family is not self.family:
            raise NotApplicable(f"it is about {self.family.value} drivers")
        for name in self.needs:
            if not getattr(case, name):
                raise NotApplicable(f"it needs DriverCase.{name}: {MEANINGS[name]}")
        try:
            with Trial(case) as trial:
                self.check(trial)
        except NotApplicable:
            raise
        except Broken as error:
            raise Broken(self._told(str(error))) from None
        except Exception as error:
            raise Broken(self._told(f"{type(error).__name__}: {error}")) from error

    def _described(self, describe: Callable[[DriverCase], DriverInfo], case: DriverCase) -> DriverInfo | None:
        try:
            return describe(case)
        except Exception:
            return None  # the rules about `describe` tell

    def _told(self, what: str) -> str:
        return f"{self.name}\n  seen: {what}\n  rule: {self.text}\n  mend: {self.mend}"


RULES: dict[str, Rule] = {}


def rule(
    mend: str, *, family: Family | None = None, needs: tuple[str, ...] = ()
) -> Callable[[Callable[["Trial"], None]], Callable[["Trial"], None]]:
    """Makes a rule of a check: its name is the function's, its text the docstring. `_wound_n`: a row of the wounds."""

    def add(check: Callable[["Trial"], None]) -> Callable[["Trial"], None]:
        assert check.__doc__
        assert check.__name__ not in RULES
        text = " ".join(inspect.cleandoc(check.__doc__).split())
        RULES[check.__name__] = Rule(check.__name__, text, mend, check, family, needs)
        return check

    return add


def expect(holds: object, seen: str) -> None:
    """Broken, with what was seen, unless it holds."""
    if not holds:
        raise Broken(seen)
