"""The hooks. Each says when it is called, from which thread, how long it may take, what it returns, what it may raise,
and what the host does then. A test fails where one of these is missing.

Of all hooks that have a context holds: they are called in threads of the host, several at a time, and may block.
"""

from collections.abc import Callable, Mapping, Sequence

import pluggy

from scaler.managers.api.context import Context
from scaler.managers.api.info import DriverInfo, Offer
from scaler.managers.api.requests import Job, WorkerGroup
from scaler.managers.api.units import Resource, Scope, Unit

# A subcommand of a driver: (arguments after its name, context) → exit code.
Command = Callable[[Sequence[str], Context], int]

hookspec = pluggy.HookspecMarker("scaler")


class HookSpec:
    """The hooks, as a driver's module defines them: plain functions of these names, without `self`.

    An argument that a hook has no use for may be left out, none may be added. `describe`, `start`, `heartbeat`,
    `shutdown` and `cleanup` make a whole driver; a driver that lacks another has no need of it.
    """

    @hookspec(firstresult=True)
    def describe(self) -> DriverInfo:
        """Who the driver is.

        Called: once after the module was imported, before everything else, also for `--list` and `--help`.
        Thread: the main one.
        Deadline: none; a fraction of a second, for `--help` waits for it. It and the module's top import no SDK.
        Returns: a DriverInfo, the same in all calls.
        Raises: nothing.
        Then: a driver that raises all the same, returns something else, or names another API_VERSION is shown by
            `--list` with the reason and cannot be run; all others can.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def open(self, context: Context) -> None:
        """Makes `context.state`: sessions, clients, locks. A module has no state of its own: two contexts may live in
        one process.

        Called: once before `validate`; once more, with a new context, when a hook has raised CredentialsExpired.
        Thread: the main one at the start, later one of the host's.
        Deadline: none; the calls that wait for it are late meanwhile.
        Returns: nothing.
        Raises: ConfigurationError when an option cannot work; anything else for what failed.
        Then: at the start the manager ends, with exit code 2 after a ConfigurationError and 1 otherwise. Later the call
            that found the credentials expired counts as failed, and is made again later.
        """

    @hookspec(firstresult=True)
    def validate(self, context: Context) -> None:
        """Whether the options can work: limits, names, permissions. Reads, and changes nothing.

        Called: once after the first `open`, before anything is started; not for `cleanup`.
        Thread: the main one.
        Deadline: none; the user waits for it.
        Returns: nothing.
        Raises: ConfigurationError that names the option and the mend; anything else for what failed.
        Then: the manager ends, with exit code 2 after a ConfigurationError and 1 otherwise; nothing was started.
        """

    @hookspec(firstresult=True)
    def offer(self, context: Context) -> Offer:
        """How many workers a group has, how long they take to come, and how the infrastructure wants to be called.

        Called: once after `validate`.
        Thread: the main one.
        Deadline: none; the user waits for it.
        Returns: an Offer. Without this hook it is `Offer()`.
        Raises: ConfigurationError that names the option and the mend; anything else for what failed.
        Then: the host announces it to the scheduler; after an error it ends as after one of `validate`.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def start(self, context: Context, requests: Sequence[WorkerGroup] | Sequence[Job]) -> Sequence[Unit]:
        """Starts worker groups (a capacity driver) or jobs (an offload driver), each marked with its id and the owner's
        tags in the very call that creates it. What is there already under an id, or is just being made, is left alone:
        the host calls again after a lost answer.

        Called: when the scheduler wants groups or jobs, with at most `Offer.batch` of them, and only after the intent
            to start each is in the ledger.
        Thread: one of the host's; up to `Offer.calls` calls of `start` and `shutdown` run at a time, never two with the
            same id.
        Deadline: `Offer.deadline_seconds`.
        Returns: a Unit each, PENDING or RUNNING, or FAILED with a detail for people; those that failed need not keep
            the others from starting.
        Raises: Throttled, CredentialsExpired, TemporaryError when nothing of it was started; ConfigurationError when it
            can never work. After any other exception, as past the deadline, the outcome is unknown.
        Then: Throttled and TemporaryError: the call is repeated with back-off, not before `retry_after`.
            CredentialsExpired: `open` is called with a new context, and the call repeated. ConfigurationError, and a
            FAILED unit: the scheduler is told the reason and names another group, or gives up for a while. Unknown: the
            next `heartbeat` tells; what it does not show within `Offer.settle_seconds` is called again by the same id.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def heartbeat(self, context: Context) -> Sequence[Unit]:
        """What is there, as the infrastructure sees it now: found by the owner's tags, never by what this process
        remembers, for it may just have been started again after a crash.

        Called: at the start before anything else, then every `--heartbeat-interval-seconds`, and when the outcome of a
            call is unknown.
        Thread: one of the host's, never two at a time.
        Deadline: `Offer.deadline_seconds`.
        Returns: a Unit for each one that carries the owner's tags, whatever its generation; ended ones as long as the
            infrastructure knows them (SUCCEEDED, FAILED with a detail), or until `shutdown` was called for them.
        Raises: Throttled, CredentialsExpired, TemporaryError, or anything else: nothing is known then.
        Then: the scheduler is told all of it. Units that nobody asked for are told as well, and are adopted or ended.
            After an error what was known stays as it is, and the call is repeated; the scheduler is told the trouble.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def shutdown(self, context: Context, ids: Sequence[str]) -> None:
        """Ends units; a job is cancelled, and may be forgotten. Unknown ids, ended ones and ones that are just ending
        are fine: the host calls again after a lost answer.

        Called: when the scheduler has drained a group, when a unit was never wanted, and for all that is left when the
            manager ends; at most `Offer.batch` ids.
        Thread: one of the host's, as `start`.
        Deadline: `Offer.deadline_seconds`, `context.shutdown_seconds` at least.
        Returns: nothing, once the infrastructure has taken note; it may wait until they have ended. Tasks that still
            run (when the manager ends) may go on for `context.shutdown_seconds`.
        Raises: Throttled, CredentialsExpired, TemporaryError, ConfigurationError, or anything else: some may have
            ended.
        Then: what `heartbeat` still shows as pending or running is ended by another call, after back-off.
        """

    @hookspec(firstresult=True)
    def cleanup(self, context: Context, scope: Scope, dry_run: bool) -> Sequence[Resource]:
        """Deletes what the driver made besides units (templates, groups, keys, objects), each only if it carries the
        owner's tags: Scope.RUN of this owner's generation alone, Scope.MANAGER of any generation, Scope.CLUSTER of any
        manager of the cluster, and then that manager's units too. What is gone already is fine.

        Called: with Scope.RUN when the manager ends, after its units have; by `scaler_worker_manager <driver> cleanup`
            with the scope that was asked for, after all units of the manager were ended; with dry_run nothing was.
        Thread: one of the host's, no other hook beside it.
        Deadline: what is left of the time that the end may take; none for the command.
        Returns: a Resource for each that is, or with `dry_run` would be, deleted, and for each that could not be: its
            outcome says which. With `dry_run` nothing is changed.
        Raises: Throttled, CredentialsExpired, TemporaryError: it is called again. Anything else for what failed.
        Then: the host shows each resource. After an error the user is told the command that tries again.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def collect(self, context: Context, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Offload only: what became of jobs that `heartbeat` showed as ended.

        Called: for ended jobs whose outcome is not delivered yet; again after a crash, until `shutdown` was called for
            them.
        Thread: one of the host's, as `start`.
        Deadline: `Offer.deadline_seconds`.
        Returns: by id, the bytes that `run_job` gave in the job. A job without an entry ended without an outcome.
        Raises: Throttled, CredentialsExpired, TemporaryError, or anything else.
        Then: outcomes are delivered; a job without one fails with the detail of its unit, or is tried again. After an
            error the call is repeated.
        """
        raise NotImplementedError

    @hookspec(firstresult=True)
    def commands(self) -> Mapping[str, Command]:
        """Subcommands: `scaler_worker_manager <driver> NAME …`, for what is done once, by hand.

        Called: when something other than an address or an option follows the driver's name, and for the driver's help.
        Thread: the main one; so are the functions that it returns.
        Deadline: none; the user waits for it.
        Returns: functions of (arguments after the name, a context without options) → exit code. `cleanup` is the
            host's own.
        Raises: nothing. A function may raise ConfigurationError.
        Then: the command ends with the exit code, with 2 and three lines after a ConfigurationError.
        """
        raise NotImplementedError
