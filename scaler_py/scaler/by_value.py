"""cloudpickle, with one difference: a class that came here by value goes back by name.

cloudpickle brings such a class back as the very class it left as, but writes all its attributes over it, methods with
copies of their globals among them. So where a class of `__main__` is not this process's own, it travels as its name
and, for those whose `__main__` has no such class, its value.
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import Any

import cloudpickle


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, *arguments: Any, own: object = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._own = own

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, type) and value.__module__ == "__main__" and value is not self._own and is_foreign(value):
            return class_of_main, (value.__qualname__, _class_by_value(value))
        return super().reducer_override(value)


def is_foreign(cls: type) -> bool:
    return find_in_main(cls.__qualname__) is not cls and "<locals>" not in cls.__qualname__


def find_in_main(qualified_name: str) -> Any:
    found: Any = sys.modules.get("__main__")
    for name in qualified_name.split("."):
        found = getattr(found, name, None)
    return found


def class_of_main(qualified_name: str, by_value: bytes) -> Any:
    found = find_in_main(qualified_name)
    return found if isinstance(found, type) else pickle.loads(by_value)


def _class_by_value(cls: type) -> bytes:
    file = io.BytesIO()
    Pickler(file, 5, own=cls).dump(cls)
    return file.getvalue()


def dumps_with_buffers(value: object, buffers: list[pickle.PickleBuffer]) -> bytes:
    file = io.BytesIO()
    Pickler(file, 5, buffers.append).dump(value)
    return file.getvalue()


def dumps_in_band(value: object, protocol: int = 5) -> bytes:
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()
