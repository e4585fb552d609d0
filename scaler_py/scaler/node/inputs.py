"""Values of other tasks that the agent has handed to this executor, for the calls that take them."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from scaler import inputs
from scaler._core import FORM_LIST, FORM_REFERENCE
from scaler.errors import DeserializeObjectError, TaskError
from scaler.measured import value_in
from scaler.node.calls import plain_applier, undecodable
from scaler.node.objects import Objects
from scaler.packing import loads, single_value, unpack_values

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from scaler.node.calls import Applier

    # By element of the chunk: (value's number, entry) of each that its call takes.
    Taken = dict[int, list[tuple[int, int]]]


def by_element(order: list[tuple[int, int, int]]) -> Taken:
    """From a chunk's order."""
    return {element: [told[1:] for told in group] for element, group in groupby(order, itemgetter(0))}


class Values:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._values: dict[int, tuple[int, int, bytes]] = {}
        # Opened lists: what they hold is immutable.
        self._lists: dict[int, list[Any]] = {}

    def put(self, number: int, count: int, form: int, payload: bytes) -> None:
        self._values[number] = count, form, payload

    def drop(self, numbers: list[int]) -> None:
        for number in numbers:
            self._values.pop(number, None)
            self._lists.pop(number, None)

    def entry(self, number: int, index: int) -> Any:
        """One value, unpickled anew. DeserializeObjectError."""
        count, form, payload = self._values[number]
        try:
            if form == FORM_LIST:
                if number not in self._lists:
                    self._lists[number] = unpack_values(form, payload, count)
                return self._lists[number][index]
            if form == FORM_REFERENCE:
                return value_in(loads(self._objects.named_by(payload)))
            return value_in(single_value(form, payload, count, index))
        except Exception as error:
            text = f"The value of another task cannot be unpickled on the worker: {type(error).__name__}: {error}"
            raise DeserializeObjectError(text) from error

    def all_of(self, taken: list[tuple[int, int]]) -> list[Any]:
        return [self.entry(number, index) for number, index in taken]


def taking_applier(function: Callable[..., Any], style: int, values: Values, taken: Taken, objects: Objects) -> Applier:
    """The elements are (index in the chunk, bytes of the arguments)."""
    call = plain_applier(function, style)

    def unpacked(elements: Iterable[tuple[int, bytes]]) -> Iterable[Any]:
        for index, blob in elements:
            yield _arguments(values.all_of(taken.get(index, [])), blob, style, objects)

    return lambda elements, results: call(unpacked(elements), results)


def _arguments(taken: list[Any], blob: bytes, style: int, objects: Objects) -> Any:
    inputs.current = taken
    try:
        return objects.arguments(loads(blob), style)
    except TaskError:
        raise
    except Exception as error:
        raise undecodable(error) from error
    finally:
        inputs.current = []
