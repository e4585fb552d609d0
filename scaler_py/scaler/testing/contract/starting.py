"""Rules about `start`."""

import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from scaler.managers.api import Family, UnitState
from scaler.testing.contract.rule import expect, rule
from scaler.testing.contract.trial import LIVING, Trial

# None of these is a path, an option, a pattern or a command; a driver that makes one of them has a hole. Ids have no
# blanks and none of / , ; # =.
ODD = (
    "-rf",
    "..",
    "~root",
    "a|b&c>d",
    "$(touch${IFS}odd)`touch${IFS}odd`",
    "quotes'and\"",
    "100%s{group}%(x)s",
    "star*[a-z]?",
    "größe-数-🦀",
    "back\\slash",
    "x" * 64,
)


@rule("Return [Unit(id, infrastructure id, state)] in the order of the requests, one for each.")
def start_answers_one_unit_for_each_request(trial: Trial) -> None:
    """`start` returns one unit for each request, in their order, under the request's id, with the infrastructure's own
    id where it lives; an empty list of requests is fine."""
    context = trial.context()
    names = trial.ids(3)
    units = trial.answer(context, trial.requests(names))
    told = [unit.id for unit in units]
    expect(told == names, f"it was asked for {names} and answered with {told}")
    for unit in units:
        expect(isinstance(unit.infrastructure_id, str) and unit.infrastructure_id, f"no infrastructure id: {unit!r}")
        expect(isinstance(unit.detail, str), f"the detail is {unit.detail!r}")
    expect(trial.answer(context, []) == [], "start([]) gave units")


@rule("Look the id up, by the owner's tag, before anything is created, and return what is there.")
def start_twice_makes_one_unit(trial: Trial) -> None:
    """`start` is idempotent by id: a host that is not sure calls it again, and nobody pays for a second unit."""
    context = trial.context()
    name = trial.id()
    (first,) = trial.start(context, [name])
    (again,) = trial.start(context, [name])
    expect(again.infrastructure_id == first.infrastructure_id, f"first {first!r}, then {again!r}")
    trial.no_more_than_one_each([name])


@rule("Let the infrastructure decide who is first (a client token, a unique name), or take a lock for each id.")
def concurrent_starts_of_one_id_make_one_unit(trial: Trial) -> None:
    """Hooks run in threads: two calls for one id at the same time still make one unit, and both answer with it."""
    context = trial.context()
    name = trial.id()
    answers: list[object] = []
    together = threading.Barrier(4)

    def call() -> None:
        together.wait()
        try:
            answers.append(trial.start(context, [name])[0].infrastructure_id)
        except Exception as error:
            answers.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    failed = [each for each in answers if isinstance(each, Exception)]
    expect(not failed, f"one of four calls raised {failed[:1]!r}")
    expect(len(set(answers)) == 1, f"four calls answered with {sorted(map(str, set(answers)))}")
    trial.no_more_than_one_each([name])


@rule("Catch the refusal of one unit, return it as FAILED, and go on with the others.", needs=("refusing",))
def one_that_cannot_start_harms_no_other(trial: Trial) -> None:
    """Partial failure: of three the middle one is refused; the others start all the same, and it is FAILED."""
    context = trial.context()
    first, refused, last = trial.ids(3)
    assert trial.case.refusing is not None
    with trial.case.refusing([refused]):
        units = trial.start(context, [first, refused, last])
    states = [unit.state for unit in units]
    expect(states[1] is UnitState.FAILED, f"the refused one is {states[1]!r}")
    expect({states[0], states[2]} <= LIVING, f"the others are {states[0]!r} and {states[2]!r}")
    trial.until_seen(first, last)
    expect(not trial.units_seen(refused), "the refused one is there")


@rule("Put the infrastructure's own words into the FAILED unit's detail.", needs=("refusing",))
def start_that_failed_says_why_wound_9(trial: Trial) -> None:
    """A unit that could not start has a detail, in which a person finds the reason: it is shown on the tasks that
    wait. (Workers that cannot start, and nobody says so: a silent hang.)"""
    context = trial.context()
    refused = trial.id()
    assert trial.case.refusing is not None
    with trial.case.refusing([refused]):
        (unit,) = trial.start(context, [refused])
    expect(unit.state is not UnitState.FAILED or unit.detail.strip(), "the refused unit has no detail")


@rule("Find units by tags or names that were given in the creating call, never by what this process remembers.")
def lost_answer_of_a_create_is_found_wound_6(trial: Trial) -> None:
    """The host is killed after the create and before it knew: the next one calls `start` again, and there is one unit
    still. (A create whose answer is lost leaks machines.)"""
    context = trial.context()
    name = trial.id()
    trial.start(context, [name])
    trial.forget(context)
    trial.start(trial.context(generation=2), [name])
    trial.no_more_than_one_each([name])


@rule(
    "Let the error out: the next `heartbeat` shows the unit, and `start` with the id finds it.",
    needs=("losing_answers",),
)
def create_whose_answer_is_lost_makes_no_second_unit_wound_6(trial: Trial) -> None:
    """The create succeeds and its answer is lost: whatever `start` says, the unit is in a heartbeat, and the next
    `start` of the id makes no second one."""
    context = trial.context()
    name = trial.id()
    assert trial.case.losing_answers is not None
    # The outcome is unknown, and that is what an exception says.
    with trial.case.losing_answers(), suppress(Exception):
        trial.start(context, [name])
    trial.until_seen(name)
    trial.until(lambda: name in trial.living(context), lambda: "no heartbeat shows the unit")
    trial.start(context, [name])
    trial.no_more_than_one_each([name])


@rule(
    "Never build a command, a path or a filter from an id as it is: quote it, or name units by a hash and tag the id."
)
def ids_with_odd_characters_come_back_unchanged(trial: Trial) -> None:
    """Ids are text of any kind: each odd one starts a unit, comes back in the heartbeat as it was, and can be shut
    down."""
    context = trial.context()
    odd = [f"{each}-{trial.id()}" for each in (trial.case.odd_ids if trial.case.odd_ids is not None else ODD)]
    trial.start_many(context, odd)
    trial.until_seen(*odd)
    trial.until(lambda: set(odd) <= set(trial.living(context)), lambda: f"no heartbeat shows {_lacking(trial, odd)}")
    trial.shutdown_many(context, odd)
    trial.until_gone(*odd)
    expect(not Path("odd").exists(), "an id was run as a command: there is a file `odd`")


def _lacking(trial: Trial, odd: list[str]) -> str:
    shown = {each.unit for each in trial.units_seen()}
    return ", ".join(map(repr, sorted(set(odd) - shown))) or "them under their ids"


@rule("Make calls in batches of what the infrastructure takes at once, and read all pages of what it lists.")
def many_at_once_are_so_many_units_wound_29(trial: Trial) -> None:
    """Fifty requests, in batches of `Offer.batch` and several at a time, are fifty units, and a heartbeat shows all.
    (Limits of a call, and pages of a list, lose the rest.)"""
    context = trial.context()
    names = trial.ids(trial.case.many)
    trial.start_many(context, names)
    trial.until_seen(*names)
    trial.until(
        lambda: set(names) <= set(trial.living(context)),
        lambda: f"a heartbeat shows {len(set(names) & set(trial.living(context)))} of {len(names)}",
    )
    trial.shutdown_many(context, names)
    trial.until_gone(*names)


@rule(
    "Pass `group.slots` and `group.capabilities` on to what starts the agent.",
    family=Family.CAPACITY,
    needs=("shows_size",),
)
def slots_and_capabilities_reach_the_unit(trial: Trial) -> None:
    """A unit has the slots and the capabilities that it was asked for: the scheduler counts on them."""
    context = trial.context()
    name = trial.id()
    wanted = {"linux": -1, "gpu": 2}
    trial.start_requests(context, trial.requests([name], slots=3, capabilities=wanted))
    trial.until_seen(name)
    (unit,) = trial.units_seen(name)
    expect(unit.slots == 3, f"of 3 slots it has {unit.slots}")
    expect(unit.capabilities == wanted, f"of {wanted} it has {unit.capabilities}")


@rule(
    "Hand `launch.environment` over as environment or as the infrastructure's secret, and nowhere else.",
    family=Family.CAPACITY,
)
def launch_environment_is_seen_by_nobody_wound_25(trial: Trial) -> None:
    """The launch's environment holds the cluster's key: it is in no command line, tag, name, unit or log."""
    context = trial.context()
    with _Records(context.log.name) as records:
        units = [*trial.started(context), *trial.heartbeat(context)]
    expect(not any(trial.secret in line for line in _command_lines()), "a command line has it")
    expect(trial.secret not in repr(units), "a unit has it")
    expect(trial.secret not in records.text, "the log has it")
    for each in trial.seen():
        expect(trial.secret not in each.text + each.infrastructure_id, f"anybody reads it on {each.infrastructure_id}")


def _command_lines() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile
            yield (process / "cmdline").read_text(errors="replace")


class _Records(logging.Handler):
    """What is logged meanwhile, at any level."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.NOTSET)
        self._logger = logging.getLogger(name)
        self._level = self._logger.level
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"

    def __enter__(self) -> "_Records":
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *error: object) -> None:
        self._logger.setLevel(self._level)
        self._logger.removeHandler(self)


@rule("Give the owner's tags and the id in the call that creates the unit, not in a second one.")
def unit_carries_its_owner_wound_6(trial: Trial) -> None:
    """What `start` made has the owner's tags and its id on it, for anybody to see: after a crash it is found by them,
    and nothing without them is ever touched."""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    (seen,) = trial.units_seen(unit.id)
    expect(seen.owner is not None, "it has no owner")
    assert seen.owner is not None
    told = (seen.owner.cluster, seen.owner.manager)
    expect(told == (context.owner.cluster, context.owner.manager), f"its owner is {told}")
