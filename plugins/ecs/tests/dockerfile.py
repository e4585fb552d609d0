"""Reads a Dockerfile, as far as the one of the worker image goes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """stage: its number, from 0; -1 before the first FROM. options: like {"from": "wheel"}."""

    stage: int
    name: str
    options: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """Of the JSON form too."""
        if self.text.startswith("["):
            found: list[str] = json.loads(self.text)
            return found
        return self.text.split()


def instructions(path: Path) -> Iterator[Instruction]:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    stage = -1
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, text = line.strip().partition(" ")
        options: dict[str, str] = {}
        while found := re.match(r"--(\w+)=(\S+)\s+", text):
            options[found[1]] = found[2]
            text = text[found.end() :]
        stage += name == "FROM"
        yield Instruction(stage, name, options, text.strip())
