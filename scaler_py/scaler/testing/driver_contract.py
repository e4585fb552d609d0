"""Tests for a driver: an author writes one fixture, and gets a test for each rule that every driver keeps.

    import pytest
    from scaler.testing.driver_contract import DriverCase, DriverContract, Seen

    class TestContract(DriverContract):
        @pytest.fixture
        def driver_case(self, tmp_path):
            return DriverCase(module=my_driver, options={...}, look=..., ...)

A failed test says what was seen, what the rule is, and what to do. A rule that does not apply is skipped with the
reason, and all reasons are listed at the end of the run, whatever options pytest has. Nothing of this is loaded, and no
test is collected, where nobody imports it.
"""

from collections.abc import Callable

import pytest

from scaler.testing.contract import (
    cleaning,
    describing,
    ending,
    failing,
    living,
    looking,
    offloading,
    starting,
)
from scaler.testing.contract.case import DriverCase, Seen
from scaler.testing.contract.rule import RULES, Broken, NotApplicable, Rule

__all__ = ["MODULES", "RULES", "Broken", "DriverCase", "DriverContract", "NotApplicable", "Rule", "Seen"]

# By test class, by reason: names of rules.
_SKIPPED = pytest.StashKey[dict[str, dict[str, list[str]]]]()
_REPORTER = "scaler-driver-contract"


class DriverContract:
    """Base of a test class, which inherits a test for each of `RULES`, named after it.

    Its tests take the fixture `driver_case`, a `DriverCase`, which is defined in the class, the module or a conftest.
    """


def _test_of(rule: Rule) -> Callable[[DriverContract, DriverCase, pytest.FixtureRequest], None]:
    def test(self: DriverContract, driver_case: DriverCase, request: pytest.FixtureRequest) -> None:
        __tracebackhide__ = True
        try:
            rule.apply(driver_case)
        except NotApplicable as reason:
            _note(request, rule, str(reason))
            pytest.skip(f"{rule.name}: {reason}")
        except Broken as error:
            pytest.fail(str(error), pytrace=error.__cause__ is not None)

    test.__name__ = f"test_{rule.name}"
    test.__qualname__ = f"{DriverContract.__name__}.{test.__name__}"
    test.__doc__ = rule.text
    return test


# Importing them has added their rules; this is the order in which an author meets them.
MODULES = (describing, starting, looking, ending, cleaning, failing, living, offloading)
_ORDER = [module.__name__ for module in MODULES]

for _rule in sorted(RULES.values(), key=lambda rule: _ORDER.index(rule.check.__module__)):
    setattr(DriverContract, f"test_{_rule.name}", _test_of(_rule))


def _note(request: pytest.FixtureRequest, rule: Rule, reason: str) -> None:
    config = request.config
    of_class = config.stash.setdefault(_SKIPPED, {}).setdefault(request.node.parent.nodeid, {})
    names = of_class.setdefault(reason, [])
    if rule.name not in names:
        names.append(rule.name)
    if not config.pluginmanager.has_plugin(_REPORTER):
        config.pluginmanager.register(_Reporter(), _REPORTER)


class _Reporter:
    """Tells at the end which rules were not tried, and why: what is not seen is taken for held."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        terminalreporter.section("driver contract: rules that were not tried")
        for tests, reasons in config.stash[_SKIPPED].items():
            terminalreporter.line(tests)
            for reason, names in reasons.items():
                terminalreporter.line(f"  {reason}:")
                for name in names:
                    terminalreporter.line(f"    {name}")
