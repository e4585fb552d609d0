"""A cloud for tests: a process of its own, and what tests want to know of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from scaler.testing.localcloud.settings import options

# Of the account's root: everything is allowed.
ROOT = ("localcloudroot", "localcloudroot")
REGION = "us-east-1"


def environment(endpoint: str, key: str, secret: str) -> dict[str, str]:
    """All that an AWS SDK needs to find a cloud, and to be this user there."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class LocalCloudError(Exception):
    """What was asked of the cloud beside AWS's API did not work."""


class LocalCloud:
    """`with LocalCloud() as cloud:`; options as `scaler_localcloud --help` has them, without dashes.

    endpoint: what `AWS_ENDPOINT_URL` says. environment: all that an AWS SDK needs to find it, as root.
    """

    def __init__(self, **given: Any) -> None:
        self._arguments: list[str] = []
        flags = {each.name: flag for flag, each in options().items()}
        for name, value in given.items():
            if name not in flags:
                raise TypeError(f"there is no option {name}; there are {', '.join(flags)}")
            for each in value if isinstance(value, (list, tuple)) else [value]:
                self._arguments.append(f"{flags[name]}={each}")
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: dict[tuple[str, str], Any] = {}
        self.endpoint = ""

    def __enter__(self) -> LocalCloud:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scaler.testing.localcloud", "--json", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            raise LocalCloudError(f"it does not start: exit code {self._process.returncode}")
        self.endpoint = json.loads(line)["endpoint"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        for each in self._clients.values():
            each.close()
        self._clients.clear()
        self._process.communicate()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        return self.environment_of(*ROOT)

    def environment_of(self, key: str, secret: str) -> dict[str, str]:
        return environment(self.endpoint, key, secret)

    def client(self, service: str, key: str = ROOT[0], secret: str = ROOT[1]) -> Any:
        """boto3's, as root where nothing else is said."""
        import boto3

        # To make one takes longer than most tests.
        if (found := self._clients.get((service, key))) is None:
            found = self._clients[service, key] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
            )
        return found

    def do(self, name: str, **arguments: Any) -> Any:
        """One of the controls: "reset", "baseline", and what the services have."""
        return self._ask(name, arguments)

    def reset(self) -> None:
        self.do("reset")

    def baseline(self) -> None:
        """What is there now does not count as left over."""
        self.do("baseline")

    def calls(self, name: str = "") -> list[dict[str, Any]]:
        """All so far; name: like "ecs:RunTask", or "ecs" for all of a service."""
        found: list[dict[str, Any]] = self._ask("calls")
        return [each for each in found if name in ("", each["service"], f"{each['service']}:{each['operation']}")]

    def resources(self, kind: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("resources")
        return [each for each in found if kind in ("", each["kind"])]

    def leftovers(self) -> list[str]:
        found: list[str] = self._ask("leftovers")
        return found

    @contextlib.contextmanager
    def fault(self, fault: str) -> Iterator[None]:
        """As `--fault` has it, as long as the block lasts."""
        number = self.do("fault", fault=fault)
        try:
            yield
        finally:
            self.do("mend", number=number)

    @property
    def subnet(self) -> str:
        """One of the default ones."""
        found: str = self.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        return found

    def user(self, name: str, *policies: str | Mapping[str, Any]) -> tuple[str, str]:
        """A new user with these managed policies (ARNs) and documents; key and secret."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        for number, policy in enumerate(policies):
            if isinstance(policy, str):
                iam.attach_user_policy(UserName=name, PolicyArn=policy)
            else:
                document = json.dumps(policy)
                iam.put_user_policy(UserName=name, PolicyName=f"own-{number}", PolicyDocument=document)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]

    def _ask(self, name: str, content: Mapping[str, Any] | None = None) -> Any:
        # Imported here: the command's help does without.
        import urllib.error
        import urllib.request

        data = None if content is None else json.dumps(content).encode()
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_localcloud/{name}", data, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise LocalCloudError(json.load(error).get("error", str(error))) from None
