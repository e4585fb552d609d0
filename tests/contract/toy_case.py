"""The toy cloud as an author of a driver tells of it."""

import itertools
import types
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import toy_cloud
from scaler.managers.api import Owner
from scaler.testing.driver_contract import DriverCase, Seen

_names = itertools.count(1)


def toy_case(module: types.ModuleType, wrong: str) -> DriverCase:
    """On a cloud of its own. wrong: an option of which "nowhere" is no value."""
    name = f"cloud-{next(_names)}"
    cloud = toy_cloud.clouds[name] = toy_cloud.Cloud()

    def trouble(kind: str) -> AbstractContextManager[None]:
        return cloud.trouble(kind)

    def plant() -> str:
        return cloud.create("network", "", {}).id

    options: dict[str, Any] = {"cloud": name}
    return DriverCase(
        module=module,
        look=lambda: [_seen(each) for each in list(cloud.things.values()) if not each.deleted and not each.ended],
        options=options,
        vanish=cloud.crash,
        plant=plant,
        refusing=lambda ids: cloud.refusing(list(ids)),
        losing_answers=partial(trouble, "losing"),
        throttling=partial(trouble, "throttling"),
        throttling_some=lambda ids: cloud.crowding(list(ids)),
        expiring=partial(trouble, "expiring"),
        hanging=partial(trouble, "hanging"),
        wrong_options={wrong: {**options, wrong: "nowhere"}},
        shows_size=True,
        patience=0.4,
        deadline=1.0,
    )


def _seen(thing: toy_cloud.Thing) -> Seen:
    tags = thing.tags
    owner = None
    if "scaler:cluster" in tags:
        owner = Owner(tags["scaler:cluster"], tags["scaler:manager"], int(tags["scaler:generation"]))
    pairs = (each.rpartition("=") for each in tags.get("capabilities", "").split(",") if each)
    capabilities = {name: int(amount) for name, _, amount in pairs}
    text = f"{thing.text} {tags}"
    return Seen(thing.id, tags.get("unit", ""), owner, thing.size, capabilities, text)
