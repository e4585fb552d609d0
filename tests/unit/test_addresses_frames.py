"""Frames out of a stream, however it is cut."""

import contextlib
import random
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scaler.transport.frames import LARGEST_FRAME, FrameReader


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def framed(frame: bytes) -> bytes:
    return struct.pack("<I", len(frame)) + frame


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 70_000), max_size=6), cuts=st.lists(st.integers(1, 60_000), min_size=1, max_size=20)
)
def test_frames_come_out_whole_and_in_order(sizes: list[int], cuts: list[int]) -> None:
    source = random.Random(len(sizes))
    frames = [source.randbytes(size) for size in sizes]
    data = b"".join(map(framed, frames))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        reader = FrameReader(ours)
        found: list[bytes] = []
        turn = 0
        while data:
            cut = cuts[turn % len(cuts)]
            turn += 1
            theirs.sendall(data[:cut])
            data = data[cut:]
            more, is_open = reader.read()
            assert is_open
            found += map(bytes, more)
        assert found == frames
        theirs.close()
        assert reader.read() == ([], False)


def test_large_frame_that_needs_more_than_a_turn_comes_out_whole(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    frame = random.Random(1).randbytes(LARGEST_FRAME)
    data = memoryview(framed(frame) + framed(b"next"))
    theirs.setblocking(False)
    reader = FrameReader(ours)
    found: list[bytes] = []
    while len(found) < 2:
        with contextlib.suppress(BlockingIOError):
            data = data[theirs.send(data) :] if data else data
        found += map(bytes, reader.read()[0])
    assert found == [frame, b"next"]


def test_end_of_the_stream_comes_after_what_was_written(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(framed(b"last"))
    theirs.close()
    reader = FrameReader(ours)
    found, is_open = reader.read()
    if is_open:
        assert reader.read() == ([], False)
    assert [bytes(each) for each in found] == [b"last"]


def test_frame_over_the_limit_ends_the_stream(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(struct.pack("<I", LARGEST_FRAME + 1) + b"x")
    assert FrameReader(ours).read() == ([], False)
