"""What a driver is written against. A driver imports this module and nothing else of the host.

A driver is a module of plain functions with the names and arguments of the hooks (`HookSpec`), named by an entry point
of the group `scaler.drivers`. `describe`, `start`, `heartbeat`, `shutdown` and `cleanup` make a whole one.
"""

from scaler.config.fields import AddressText, Capabilities, OptionModel, option
from scaler.managers.api.codecs import compress, decompress
from scaler.managers.api.context import Context
from scaler.managers.api.errors import ConfigurationError, CredentialsExpired, DriverError, TemporaryError, Throttled
from scaler.managers.api.hooks import Command, HookSpec
from scaler.managers.api.info import DriverInfo, Family, Offer
from scaler.managers.api.jobs import pack_job, run_job, unpack_job
from scaler.managers.api.owner import Owner
from scaler.managers.api.pacing import Pace, batches
from scaler.managers.api.requests import Job, Launch, WorkerGroup
from scaler.managers.api.units import Resource, Scope, Unit, UnitState
from scaler.managers.api.version import API_VERSION

__all__ = [
    "API_VERSION",
    "AddressText",
    "Capabilities",
    "Command",
    "ConfigurationError",
    "Context",
    "CredentialsExpired",
    "DriverError",
    "DriverInfo",
    "Family",
    "HookSpec",
    "Job",
    "Launch",
    "Offer",
    "OptionModel",
    "Owner",
    "Pace",
    "Resource",
    "Scope",
    "TemporaryError",
    "Throttled",
    "Unit",
    "UnitState",
    "WorkerGroup",
    "batches",
    "compress",
    "decompress",
    "option",
    "pack_job",
    "run_job",
    "unpack_job",
]
