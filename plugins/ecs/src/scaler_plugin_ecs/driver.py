"""Workers as AWS Fargate tasks: a worker group is a task, whose agent connects back to the scheduler.

What is true is what AWS has: tasks carry their owner and their group as tags, from the call that starts them on, and
that call has a token, so that asking twice makes one task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaler.managers.api import (
    Command,
    ConfigurationError,
    Context,
    CredentialsExpired,
    DriverError,
    DriverInfo,
    Family,
    Offer,
    Resource,
    Scope,
    TemporaryError,
    Throttled,
    Unit,
    UnitState,
    WorkerGroup,
)

from scaler_plugin_ecs.cleaning import clean
from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.definition import STOP_SECONDS
from scaler_plugin_ecs.launching import Launcher
from scaler_plugin_ecs.options import EcsOptions
from scaler_plugin_ecs.output import Output
from scaler_plugin_ecs.policy import iam_policy
from scaler_plugin_ecs.preparing import Preparation
from scaler_plugin_ecs.record import Record, names_of
from scaler_plugin_ecs.requirements import Software, installed_package, software
from scaler_plugin_ecs.tasks import Tasks
from scaler_plugin_ecs.validating import validate as check


@dataclass
class State:
    """Of one context."""

    aws: Aws
    software: Software
    record: Record
    tasks: Tasks


def describe() -> DriverInfo:
    return DriverInfo("aws_raw_ecs", Family.CAPACITY, EcsOptions, api_version=1)


def open(context: Context) -> None:
    options: EcsOptions = context.options
    aws = Aws(options)
    wanted = software(
        options.ecs_python_requirements, options.ecs_python_version, options.worker_package, installed_package()
    )
    record = Record(context.state_directory)
    preparation = Preparation(aws, options, context.owner, context.log, record)
    launcher = Launcher(aws, options, context.owner, context.log, preparation, wanted)
    output = Output(aws, preparation.output_place, context.log)
    tasks = Tasks(aws, options.ecs_cluster, context.owner, launcher, output, preparation.doubt)
    context.state = State(aws, wanted, record, tasks)


def validate(context: Context) -> None:
    check(context.state.aws, context.options, context.owner, context.log, context.state.software)


def offer(context: Context) -> Offer:
    options: EcsOptions = context.options
    return Offer(
        slots=options.slots,
        limits_groups=True,
        startup_seconds=options.ecs_startup_timeout_seconds,
        settle_seconds=20.0,
        # One: Throttled says that nothing of a call was done.
        batch=1,
        calls=8,
        deadline_seconds=60.0,
        shutdown_seconds=float(STOP_SECONDS),
        python=".".join(options.ecs_python_version.split(".")[:2]),
    )


def start(context: Context, requests: Sequence[WorkerGroup]) -> list[Unit]:
    units: list[Unit] = []
    for group in requests:
        try:
            units.append(context.state.tasks.start(group))
        except ConfigurationError as error:
            # Of this one alone, perhaps: another may have a shorter command.
            units.append(Unit(group.id, "", UnitState.FAILED, _one_line(error)))
        except (Throttled, CredentialsExpired, TemporaryError) as error:
            if any(each.state is not UnitState.FAILED for each in units):
                raise DriverError(f"a part of the call was done: {error}") from error
            raise
    return units


def _one_line(error: ConfigurationError) -> str:
    where, mend = (f" ({error.where})" if error.where else ""), (f" To do: {error.mend}" if error.mend else "")
    return " ".join(f"{error.what}{where}{mend}".split())


def heartbeat(context: Context) -> list[Unit]:
    state: State = context.state
    units = state.tasks.heartbeat()
    if units:
        # What its earlier runs have made is this run's now, to be deleted when it ends.
        state.record.use(names_of(context.options), context.owner.generation)
    return units


def shutdown(context: Context, ids: Sequence[str]) -> None:
    context.state.tasks.stop(ids)


def cleanup(context: Context, scope: Scope, dry_run: bool) -> list[Resource]:
    state: State = context.state
    return clean(state.aws, context, state.record, scope, dry_run)


def commands() -> Mapping[str, Command]:
    return {"iam-policy": iam_policy}
