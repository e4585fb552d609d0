"""Client tokens of RunInstances: the same call twice launches once."""

from __future__ import annotations

from collections.abc import Mapping

from scaler.testing.localcloud.answers import Answer, AwsError
from scaler.testing.localcloud.call import Call


class Tokens:
    """By region and token: what was asked with it, and the answer. With the cloud's lock held."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[Mapping[str, str], Answer]] = {}

    def reset(self) -> None:
        self._answers.clear()

    def earlier(self, call: Call) -> Answer | None:
        """Of the first call with this one's token. AwsError: it asked for something else."""
        found = self._answers.get(_key(call))
        if found is None or not _key(call)[1]:
            return None
        if found[0] != _asked(call):
            told = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s)."
            raise AwsError("IdempotentParameterMismatch", told)
        return found[1]

    def remember(self, call: Call, answer: Answer) -> None:
        self._answers[_key(call)] = (_asked(call), answer)


def _key(call: Call) -> tuple[str, str]:
    return call.region, str(call.parameters.get("ClientToken", ""))


def _asked(call: Call) -> Mapping[str, str]:
    return {key: value for key, value in call.parameters.items() if key not in ("ClientToken", "Version")}
