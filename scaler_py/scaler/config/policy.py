"""`policy_content`: how tasks are placed and how workers are scaled.

    allocate=even_load; scaling=vanilla                 # engine simple
    1,native,8; 2,cloud                                 # engine waterfall_v1: priority,manager[,cap]
    allocate=capability; scaling=waterfall_v1; 1,native # the same in one text

Items are separated by `;` or line ends; `#` begins a comment. Every error shows the text and points at the place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaler.config.nearest import nearest
from scaler.transport.errors import ConfigurationError

if TYPE_CHECKING:
    from scaler.config.models import SchedulerOptions
    from scaler.config.sources import Given

ALLOCATE = ("even_load", "capability")
SCALING = ("no", "vanilla", "fixed_elastic", "capability", "waterfall_v1")
ENGINES = ("simple", "waterfall_v1")
WATERFALL = "waterfall_v1"
# What a file with managers that can scale means when it names no policy.
SCALED = "allocate=even_load; scaling=vanilla"

# Of a rule's numbers, as the core has them.
_PRIORITIES = range(-(1 << 63), 1 << 63)
_MOST_CAP = (1 << 32) - 1
# So much of a long line is shown before and behind the place that an error points at.
_AROUND = 48


@dataclass(frozen=True)
class PolicyConfig:
    """A policy as `SchedulerClusterCombo(scaler_policy=…)` takes it.

    policy_engine_type: simple or waterfall_v1. policy_content: like `allocate=even_load; scaling=no`.
    """

    policy_engine_type: str = "simple"
    policy_content: str = "allocate=even_load; scaling=no"


@dataclass(frozen=True)
class Rule:
    """A line of `waterfall_v1`. cap: most workers; None: the manager's own limit."""

    priority: int
    manager: str
    cap: int | None = None


@dataclass(frozen=True)
class Policy:
    """What a scheduler is told. rules: of scaling=waterfall_v1."""

    allocate: str = "even_load"
    scaling: str = "no"
    rules: tuple[Rule, ...] = ()

    def settings(self) -> dict[str, Any]:
        """As `SchedulerSettings` and the core's loop have them."""
        rules = [(rule.priority, rule.manager, rule.cap) for rule in self.rules]
        return {"allocate": self.allocate, "scaling": self.scaling, "waterfall": rules}


def parse_policy(engine: str, content: str, where: str = "policy_content") -> Policy:
    """What `content` means to an engine. ConfigurationError, which points at the place, for what means nothing.

    where: the option that it came from, and from which file or variable.
    """
    text = _Text(content, where)
    if engine not in ENGINES:
        raise ConfigurationError(
            f"There is no policy engine {engine!r}.", "policy_engine_type", _mend(engine, ENGINES, "one of")
        )
    return _Reader(text, engine).read()


def chosen_policy(options: SchedulerOptions, given: Given) -> Policy:
    """The policy of a scheduler's options; an error names where they came from."""
    if options.policy_engine_type == WATERFALL and "policy_content" not in given.values:
        raise ConfigurationError(
            f"policy_engine_type={WATERFALL} has no rules.",
            given.origins.get("policy_engine_type", "policy_engine_type"),
            f'give them as policy_content, priority,worker_manager_id[,cap] each: "{_EXAMPLE}"',
        )
    where = given.origins.get("policy_content", "policy_content")
    return parse_policy(options.policy_engine_type, options.policy_content, where)


_EXAMPLE = "1,baremetal_native,8; 2,aws_raw_ecs"


@dataclass(frozen=True)
class _Item:
    """A piece of the text without blanks around it. start: where it begins."""

    text: str
    start: int

    def parts(self, separator: str, most: int = -1) -> list[_Item]:
        """Split and stripped, each with its own place."""
        found, start = [], self.start
        for part in self.text.split(separator, most):
            found.append(_stripped(part, start))
            start += len(part) + len(separator)
        return found


def _stripped(text: str, start: int) -> _Item:
    return _Item(text.strip(), start + len(text) - len(text.lstrip()))


class _Text:
    """A policy's text, with the items in it and errors that point into it."""

    def __init__(self, content: str, where: str) -> None:
        self.content = content
        self._where = where

    def items(self) -> Iterator[_Item]:
        # A comment goes to the end of its line, blanks keep places as they are.
        bare = re.sub(r"#[^\n]*", lambda found: " " * len(found[0]), self.content)
        start = 0
        for part in re.split(r"[;\n]", bare):
            item = _stripped(part, start)
            if item.text:
                yield item
            start += len(part) + 1

    def error(self, what: str, start: int, mend: str) -> ConfigurationError:
        """What is wrong, the line with a caret under the place, and what to do."""
        if not self.content.strip():
            return ConfigurationError(what, self._where, mend)
        begin = self.content.rfind("\n", 0, start) + 1
        line = self.content[begin:].partition("\n")[0].rstrip("\r")
        column = start - begin
        place = f"column {column + 1}"
        if "\n" in self.content.strip("\n"):
            place = f"line {self.content.count(chr(10), 0, begin) + 1} of it, {place}"
        cut = max(0, column - _AROUND)
        front = "… " if cut else ""
        shown = front + line[cut : column + _AROUND] + (" …" if len(line) > column + _AROUND else "")
        # A tab under a tab: whatever its width is, the caret stands right.
        under = " " * len(front) + "".join("\t" if it == "\t" else " " for it in line[cut:column])
        indent = " " * len("  where: ")
        return ConfigurationError(what, f"{self._where}, {place}\n{indent}{shown}\n{indent}{under}^", mend)


class _Reader:
    """One text, once."""

    def __init__(self, text: _Text, engine: str) -> None:
        self._text = text
        self._engine = engine
        self._values: dict[str, _Item] = {}
        self._rules: list[tuple[Rule, _Item]] = []

    def read(self) -> Policy:
        for item in self._text.items():
            if re.match(r"[-+]?\d+\s*(,|$)", item.text) or ("," in item.text and "=" not in item.text):
                self._rule(item)
            else:
                self._setting(item)
        own = self._engine == WATERFALL
        scaling = self._value("scaling", SCALING, WATERFALL if own else "no")
        if own and scaling != WATERFALL:
            item = self._values["scaling"]
            raise self._text.error(
                f"policy_engine_type={WATERFALL} is no scaling={scaling}.",
                item.start,
                f"take scaling={scaling} out, or the policy_engine_type",
            )
        allocate = self._value("allocate", ALLOCATE, "capability" if own else "even_load")
        self._check_rules(scaling)
        return Policy(allocate, scaling, tuple(rule for rule, _ in self._rules))

    def _check_rules(self, scaling: str) -> None:
        if scaling != WATERFALL and self._rules:
            raise self._text.error(
                f"A rule means nothing to scaling={scaling}.",
                self._rules[0][1].start,
                f"write scaling={WATERFALL} before the rules, or take them out",
            )
        if scaling == WATERFALL and not self._rules:
            start = self._values["scaling"].start if "scaling" in self._values else len(self._text.content)
            raise self._text.error(
                f"scaling={WATERFALL} has no rules.",
                start,
                f"add them, priority,worker_manager_id[,cap] each: {_EXAMPLE}",
            )

    def _setting(self, item: _Item) -> None:
        name, *rest = item.parts("=", 1)
        key = name.text.lower()
        if not rest:
            raise self._text.error(f"{item.text!r} is no policy.", item.start, _meant(key))
        if key not in ("allocate", "scaling"):
            near = nearest(key, ("allocate", "scaling"))
            mend = f"did you mean {near}?" if near else "write allocate=… or scaling=…"
            raise self._text.error(f"There is no policy setting {name.text!r}.", name.start, mend)
        (value,) = rest
        if not value.text:
            known = ALLOCATE if key == "allocate" else SCALING
            raise self._text.error(f"{key} has no value.", value.start, f"one of {', '.join(known)}")
        if "," in value.text:
            at = value.start + value.text.index(",")
            raise self._text.error("Settings are not separated by commas.", at, "write ; or a new line between them")
        if key in self._values and self._values[key].text.lower() != value.text.lower():
            raise self._text.error(
                f"{key} is there twice.", name.start, f"leave one: {key}={self._values[key].text} or {key}={value.text}"
            )
        self._values[key] = value

    def _value(self, key: str, known: Sequence[str], default: str) -> str:
        item = self._values.get(key)
        if item is None:
            return default
        value = item.text.lower().replace("-", "_")
        if value not in known:
            raise self._text.error(f"There is no policy {key}={item.text}.", item.start, _mend(value, known, "one of"))
        return value

    def _rule(self, item: _Item) -> None:
        fields = item.parts(",")
        if not 2 <= len(fields) <= 3:
            start = fields[3].start if len(fields) > 3 else item.start + len(item.text)
            raise self._text.error(
                f"A rule has two or three fields: {item.text!r} has {len(fields)}.",
                start,
                "write priority,worker_manager_id or priority,worker_manager_id,cap",
            )
        priority = self._number(fields[0], "priority", "the smaller, the sooner it is filled")
        if priority not in _PRIORITIES:
            raise self._text.error("The priority is too large.", fields[0].start, "0 to 100 will do")
        name = fields[1]
        if not name.text:
            raise self._text.error("A rule names no worker manager.", name.start, "write its worker_manager_id")
        if any(rule.manager == name.text for rule, _ in self._rules):
            raise self._text.error(f"{name.text!r} has a rule already.", name.start, "one rule a worker manager")
        cap = self._cap(fields[2]) if len(fields) == 3 else None
        self._rules.append((Rule(priority, name.text, cap), item))

    def _cap(self, item: _Item) -> int | None:
        """Most workers; -1 is no limit, as it is elsewhere."""
        cap = self._number(item, "cap", "most workers, or leave it out for the manager's own limit")
        if cap < -1 or cap > _MOST_CAP:
            raise self._text.error(
                f"The cap {item.text} is no number of workers.", item.start, f"0 to {_MOST_CAP}, or leave it out"
            )
        return None if cap == -1 else cap

    def _number(self, item: _Item, name: str, meaning: str) -> int:
        if not re.fullmatch(r"[-+]?[0-9]+", item.text):
            what = f"The {name} {item.text!r} is no whole number." if item.text else f"A rule's {name} is missing."
            raise self._text.error(what, item.start, f"write a whole number: {meaning}")
        return int(item.text)


def _meant(text: str) -> str:
    """What to write for a word that stands alone."""
    text = text.replace("-", "_")
    for key, known in (("scaling", SCALING), ("allocate", ALLOCATE)):
        if near := nearest(text, known):
            return f"did you mean {key}={near}?"
    return "like: allocate=even_load; scaling=vanilla"


def _mend(value: str, known: Sequence[str], otherwise: str) -> str:
    near = nearest(value, known)
    return f"did you mean {near}?" if near else f"{otherwise} {', '.join(known)}"
