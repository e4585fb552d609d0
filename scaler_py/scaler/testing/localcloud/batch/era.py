"""The time from one reset to the next: what was to happen in one does not happen in another."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from scaler.testing.localcloud.cloud import Cloud

Given = ParamSpec("Given")


class Era:
    """`end` is called with the cloud's lock held."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._number = 0

    def end(self) -> None:
        self._number += 1

    def bound(self, call: Callable[Given, None]) -> Callable[Given, None]:
        """The same with the cloud's lock held, and nothing once this era has ended."""
        number = self._number

        def locked(*given: Given.args, **named: Given.kwargs) -> None:
            with self._cloud.lock:
                if number == self._number:
                    call(*given, **named)

        return locked
