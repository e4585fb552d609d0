"""How far a map is, on stderr: a bar in a terminal, a line for each tenth elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaler.client.map_futures import MapFutures

REFRESH_SECONDS = 0.1
# A rate over less time says more about chance than about the work.
LEAST_SECONDS = 1.0


def show(futures: MapFutures, title: str) -> None:
    if sys.stderr.isatty():
        _show_bar(futures, title)
    else:
        _show_lines(futures, title)


def _show_bar(futures: MapFutures, title: str) -> None:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
    )
    rate = Rate(futures.done_count, time.monotonic())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task(title, total=len(futures), rate="", failed="")
        finished = False
        while not finished:
            finished = futures.wait(REFRESH_SECONDS)
            done, failed = futures.done_count, futures.failed_count
            told_rate = rate.text(done, time.monotonic())
            bar.update(row, completed=done, rate=told_rate, failed=f"{failed:,} failed" if failed else "")


def _show_lines(futures: MapFutures, title: str) -> None:
    rate = Rate(futures.done_count, time.monotonic())
    total, told = len(futures), -1
    prefix = f"{title}: " if title else ""
    finished = False
    while not finished:
        finished = futures.wait(REFRESH_SECONDS)
        done = futures.done_count
        tenth = 10 * done // total if total else 10
        if tenth > told:
            told = tenth
            failed = futures.failed_count
            words = (f"{done:,}/{total:,}", rate.text(done, time.monotonic()), f"{failed:,} failed" if failed else "")
            print(prefix + ", ".join(filter(None, words)), file=sys.stderr)


class Rate:
    """Elements a second, of those that were done while somebody looked: many may have been done before."""

    def __init__(self, done: int, now: float) -> None:
        self._done = done
        self._since = now

    def text(self, done: int, now: float) -> str:
        """Empty while it would mean nothing."""
        seconds, count = now - self._since, done - self._done
        if seconds < LEAST_SECONDS or not count:
            return ""
        rate = count / seconds
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
