"""What the user can tell the driver."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo
from scaler.managers.api import ConfigurationError, OptionModel, option

from scaler_plugin_ecs import fargate

# Days that CloudWatch can keep logs; 0 stands for ever.
RETENTION_DAYS = (
    *(0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
DEFAULT_EXECUTION_ROLE = "ecsTaskExecutionRole"


def _names(value: object) -> object:
    """`a, b` and ["a", "b"] are the same."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return tuple(each.strip() for each in value if each.strip())
    return value


def _subnets(value: object) -> object:
    found = _names(value)
    if found == ():
        raise ValueError("no subnet is named\nlike subnet-0abc1234def56789a, or several of them with commas between")
    return found


def _region(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", value := value.strip()):
        raise ValueError(f"{value!r} is no AWS region\nlike us-east-1 or eu-central-1")
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _cpu(value: float) -> float:
    try:
        fargate.units_of(value)
    except ConfigurationError as error:
        raise ValueError(f"{error.what}\n{error.mend}") from None
    return value


def _memory(value: float, info: ValidationInfo) -> float:
    """With the CPU, where that is one."""
    if (cpu := info.data.get("ecs_task_cpu")) is not None:
        try:
            fargate.size(cpu, value)
        except ConfigurationError as error:
            raise ValueError(f"{error.what}\n{error.mend}") from None
    return value


def _lines(value: object) -> object:
    return "\n".join(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value


def _python(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"3\.\d{1,2}(\.\d{1,2})?", value.strip()):
        raise ValueError(f"{value!r} is no version of Python 3\nlike 3.12.11 or 3.12")
    return value.strip() if isinstance(value, str) else value


def _retention(value: Any) -> Any:
    if str(value).strip() not in map(str, RETENTION_DAYS):
        days = ", ".join(map(str, RETENTION_DAYS))
        raise ValueError(f"CloudWatch does not keep logs for {value} days\none of {days}; 0 keeps them for ever")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class EcsOptions(OptionModel):
    group: ClassVar[str] = "driver aws_raw_ecs"

    ecs_subnets: Annotated[tuple[str, ...], BeforeValidator(_subnets)] = option(
        help="VPC subnets that tasks run in, with commas between; each with a route to the scheduler and to the image",
        metavar="SUBNET[,SUBNET]",
    )
    aws_region: Annotated[str, BeforeValidator(_region)] = option(
        "us-east-1", "AWS region that tasks run in", metavar="REGION"
    )
    aws_access_key_id: str | None = option(
        None, "AWS access key, together with its secret", variable="AWS_ACCESS_KEY_ID", metavar="KEY"
    )
    aws_secret_access_key: SecretStr | None = option(
        None, "secret of the AWS access key", variable="AWS_SECRET_ACCESS_KEY", secret=True, metavar="SECRET"
    )
    aws_profile: str | None = option(
        None, "profile of the AWS configuration files, one made by `aws login` too", metavar="PROFILE"
    )
    ecs_cluster: str = option("scaler-cluster", "ECS cluster, made when it is missing", min_length=1, metavar="NAME")
    ecs_task_definition: str = option(
        "scaler-task-definition", "family of the task definition, made when it is missing", min_length=1, metavar="NAME"
    )
    ecs_task_image: str = option(
        "public.ecr.aws/v4u8j8r6/scaler:latest", "container image that workers run in", metavar="IMAGE"
    )
    ecs_task_cpu: Annotated[float, AfterValidator(_cpu)] = option(
        4, "vCPU of a task, and its number of workers: one a vCPU, one at least", gt=0, metavar="VCPU"
    )
    ecs_task_memory: Annotated[float, AfterValidator(_memory)] = option(
        30, "memory of a task, in GB", gt=0, validate_default=True, metavar="GB"
    )
    ecs_python_requirements: Annotated[str, BeforeValidator(_lines)] = option(
        "tomli;pargraph;parfun;pandas",
        "Python packages that a task installs when it starts, with ; or line ends between",
        metavar="PACKAGE[;PACKAGE]",
    )
    ecs_python_version: Annotated[str, BeforeValidator(_python)] = option(
        "3.12.11", "Python version in the tasks", metavar="VERSION"
    )
    worker_package: str | None = option(
        None,
        "how tasks get this software: scaler-py==VERSION, a wheel's path in the image or its address; an index of its "
        "own follows it: --extra-index-url URL",
        default_text="this version, where it was installed from an index; otherwise the image must have it",
        metavar="PACKAGE",
    )
    ecs_security_group_ids: Names = option(
        (),
        "security groups of the tasks, with commas between; without any the VPC's default one",
        metavar="GROUP[,GROUP]",
    )
    ecs_assign_public_ip: Annotated[Literal["ENABLED", "DISABLED"], BeforeValidator(_upper)] = option(
        "ENABLED", "whether tasks have public addresses: without them their subnets need a NAT gateway or endpoints"
    )
    ecs_startup_timeout_seconds: float = option(
        300.0,
        "a task whose workers have not connected by then, packages installed, is stopped and replaced",
        gt=0,
        metavar="SECONDS",
    )
    capacity_provider: Annotated[Literal["FARGATE", "FARGATE_SPOT"], BeforeValidator(_upper)] = option(
        "FARGATE", "FARGATE_SPOT costs less, and AWS ends its tasks at two minutes' notice when it needs them"
    )
    spot_fallback: int = option(
        3,
        "refusals of Spot capacity in a row after which a group is started on demand instead; 0 never does",
        ge=0,
        metavar="REFUSALS",
    )
    ecs_task_role_arn: str | None = option(
        None, "role that the code in the tasks has, as an ARN; without it they have none", metavar="ARN"
    )
    ecs_execution_role_arn: str | None = option(
        None,
        "role by which ECS pulls the image and writes logs, as an ARN",
        default_text=f"{DEFAULT_EXECUTION_ROLE}, made with its policy when it is missing",
        metavar="ARN",
    )
    ecs_log_group: str = option(
        "/ecs/scaler",
        "CloudWatch log group of the tasks' output, made when it is missing; empty for none",
        metavar="GROUP",
    )
    ecs_log_retention_days: Annotated[int, BeforeValidator(_retention)] = option(
        30, "days that a log group which is made keeps its logs; 0 for ever", metavar="DAYS"
    )

    @property
    def slots(self) -> int:
        """Workers of a task."""
        return max(1, int(self.ecs_task_cpu))

    @property
    def spot(self) -> bool:
        return self.capacity_provider == "FARGATE_SPOT"
