"""What a container runs here: its command as it is, on this machine's programs.

An image is not pulled. It may be given as a folder instead: its programs come first in PATH, and one that is called
`entrypoint` is what the image starts with.
"""

from __future__ import annotations

import fnmatch
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaler.testing.localcloud.cloud import Cloud, Handler, Resource
from scaler.testing.localcloud.settings import Settings

# Name with host and port, tag, digest, as engines accept them.
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?/)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(rf"{_HOST}{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?")
_PRIVATE = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/.+")

# What worker images start with: they install, and then run the command of this variable. Here everything is installed.
_WORKER = ["/bin/sh", "-c", 'exec sh -c "${COMMAND:?is not set, and the container has no command}"']
_SYSTEM = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]


def is_image(name: str) -> bool:
    """Whether it is a name that an image can have."""
    return _IMAGE.fullmatch(name) is not None


def is_private(name: str) -> bool:
    """Of the account's own registry: pulling it needs permissions."""
    return _PRIVATE.fullmatch(name) is not None


class Images:
    """What is known of images, and what their containers get."""

    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self._given = list(settings.images)
        self._folders = list(settings.images)

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def resources(self) -> Iterable[Resource]:
        return ()

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """image(image="GLOB=FOLDER"): until the next reset; before those that were given earlier."""
        return {"image": lambda given: self._folders.insert(0, str(given["image"]))}

    def reset(self) -> None:
        self._folders = list(self._given)

    def folder(self, image: str) -> Path | None:
        for each in self._folders:
            glob, _, folder = each.partition("=")
            if fnmatch.fnmatchcase(image, glob):
                return Path(folder)
        return None

    def command(self, image: str, entry_point: Sequence[str], command: Sequence[str]) -> list[str]:
        """What is executed. entry_point, command: as the definition and its override have them."""
        folder = self.folder(image)
        if not entry_point and folder is not None and (folder / "entrypoint").exists():
            entry_point = [str(folder / "entrypoint")]
        return [*entry_point, *command] or list(_WORKER)

    def environment(self, image: str, own: Mapping[str, str], home: Path) -> dict[str, str]:
        """All that the container's process has. own: what the definition and its override say; it wins."""
        folder = self.folder(image)
        path = [*([str(folder)] if folder else []), str(Path(sys.executable).parent), *_SYSTEM]
        temporary = home / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        base = {
            "PATH": os.pathsep.join(path),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(temporary),
            # At AWS the network leads there.
            "AWS_ENDPOINT_URL": self._cloud.endpoint,
        }
        return {**base, **own}
