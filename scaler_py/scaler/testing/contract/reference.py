"""`python -m scaler.testing.contract.reference`: writes `docs/driver-rules.md` from the rules, a test compares."""

import inspect
from collections.abc import Iterator
from pathlib import Path

from scaler.testing.contract.case import MEANINGS
from scaler.testing.contract.rule import Rule
from scaler.testing.driver_contract import MODULES, RULES

_INTRODUCTION = """\
# Rules for drivers

Made by `python -m scaler.testing.contract.reference`. Each rule is a test of `scaler.testing.driver_contract`, which
[write a driver](write-a-driver.md) shows in use. The number in a name is that of a wound: what users of other systems
ran into, which no driver that keeps the rule can do to them.

A rule that needs a field of `DriverCase` is skipped without it, and listed as not tried:

| field | what it is |
|---|---|
"""


def source() -> str:
    """The whole page."""
    return _INTRODUCTION + "".join(_lines())


def path() -> Path:
    return Path(__file__).parents[4] / "docs/driver-rules.md"


def _lines() -> Iterator[str]:
    for name, meaning in MEANINGS.items():
        yield f"| `{name}` | {meaning} |\n"
    for module in MODULES:
        yield f"\n## {inspect.getdoc(module).partition('.')[0]}\n\n"  # type: ignore[union-attr]
        yield "| rule | what must hold | when it does not |\n|---|---|---|\n"
        for rule in RULES.values():
            if rule.check.__module__ == module.__name__:
                yield f"| `{rule.name}` | {_cell(rule.text)}{_conditions(rule)} | {_cell(rule.mend)} |\n"


def _conditions(rule: Rule) -> str:
    needs = [f"needs `{name}`" for name in rule.needs]
    family = [f"{rule.family.value} drivers"] if rule.family is not None else []
    return f" ({'; '.join(family + needs)})" if family or needs else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    path().write_text(source())
