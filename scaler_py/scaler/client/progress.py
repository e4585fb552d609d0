"""How far a map is, on stderr: a bar in a terminal, a line for each tenth elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaler.client.map_futures import MapFutures

REFRESH_SECONDS = 0.1


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
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task(title, total=len(futures), rate="", failed="")
        finished = False
        while not finished:
            finished = futures.wait(REFRESH_SECONDS)
            done, failed = futures.done_count, futures.failed_count
            rate = _rate(done, time.monotonic() - started)
            bar.update(row, completed=done, rate=rate, failed=f"{failed:,} failed" if failed else "")


def _show_lines(futures: MapFutures, title: str) -> None:
    started = time.monotonic()
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
            rate = _rate(done, time.monotonic() - started)
            print(f"{prefix}{done:,}/{total:,} {rate}" + (f", {failed:,} failed" if failed else ""), file=sys.stderr)


def _rate(done: int, seconds: float) -> str:
    return f"{done / seconds:,.0f}/s" if seconds > 0 else ""
