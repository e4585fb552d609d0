"""`Client.fork`: two sessions side by side, and in child processes."""

import os
import signal

from gates import Gate
from scaler import Client


def test_clear_and_disconnect_of_one_leave_the_other_alone(client, tmp_path):
    gate = Gate(tmp_path)
    pending = client.submit(Gate.hold, *gate.names)
    gate.wait()
    kept = client.send_object([1, 2, 3])
    with client.fork() as forked:
        assert (forked.address, forked.identity == client.identity) == (client.address, False)
        assert forked.submit(abs, -2).result(30) == 2
        forked.clear()
    gate.release()
    assert pending.result(30) == "held"
    assert client.submit(len, kept).result(30) == 3


def test_a_child_process_has_a_client_of_its_own(client):
    assert client.submit(abs, -1).result(30) == 1
    assert _said_by_child(client) == "2"
    assert client.submit(abs, -3).result(30) == 3


def _said_by_child(client: Client) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            with client.fork() as forked:
                said = forked.submit(abs, -2).result(30)
        except BaseException as error:
            said = error
        os.write(write, repr(said).encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said
