"""Conversations of this process: ended at its exit, useless in a child made by fork."""

from __future__ import annotations

import atexit
import os
import weakref
from typing import TYPE_CHECKING

# Registers its own exit hook, which must run after ours: it waits until our goodbyes have left.
from scaler.transport import leaving  # noqa: F401

if TYPE_CHECKING:
    from scaler.client.conversation import Conversation

_living: weakref.WeakSet[Conversation] = weakref.WeakSet()


def add(conversation: Conversation) -> None:
    _living.add(conversation)


def _end_all() -> None:
    for conversation in list(_living):
        conversation.end_at_exit()


def _forked() -> None:
    for conversation in list(_living):
        conversation.forked()
    _living.clear()


# Before concurrent.futures' and threading's own: these wait for threads.
atexit.register(_end_all)
os.register_at_fork(after_in_child=_forked)
