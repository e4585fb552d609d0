"""Names of container images."""

from __future__ import annotations

import re

from scaler.managers.api import ConfigurationError

_LONGEST = 255
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::\d+)?"
_NAME = re.compile(
    rf"(?P<path>(?:{_HOST}/)?{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?P<digest>@[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)


def check_image(image: str) -> None:
    """ConfigurationError: no registry can have an image of this name."""
    found = _NAME.fullmatch(image)
    if found is None or len(found["path"]) > _LONGEST:
        mend = "write [REGISTRY/]NAME[:TAG], in small letters but for the tag: public.ecr.aws/v4u8j8r6/scaler:latest"
        raise ConfigurationError(f"{image!r} is no name of a container image{_why(image)}.", "--ecs-task-image", mend)


def _why(image: str) -> str:
    if not image.strip():
        return ": it is empty"
    if "://" in image:
        return ": it has no scheme"
    if re.search(r"\s", image):
        return ": it has no blanks"
    if re.search(r"[A-Z]", image.rpartition("/")[2].partition(":")[0]):
        return ": it has no capital letters"
    return ""
