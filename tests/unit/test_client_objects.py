"""Large values and references, through object storage."""

from __future__ import annotations

import gc
import pickle
import threading

import numpy
import pytest
from scaler import Client, ObjectReference
from scaler.client import object_link, objects
from scaler.errors import MissingObjects, ObjectStorageException, PackingError
from scripted_scheduler import GET, HOLD, PUT, RELEASE, SUBMIT


def drain(scheduler, *kinds):
    found = []
    while not scheduler.messages.empty():
        message = scheduler.messages.get()
        if message[0] in kinds:
            found.append(message)
    return found


def test_large_argument_travels_through_storage(scheduler, client):
    array = numpy.arange(100_000.0)
    assert client.submit(numpy.sum, array).result(20) == array.sum()
    submit = scheduler.wait_for(SUBMIT)
    (count, form, payload), (use,) = submit[4][0], submit[5]
    assert (count, form, len(payload)) == (1, 3, 32)
    assert use[0] == 0
    assert use[1][1] == payload[8:24]
    assert use[2] == int.from_bytes(payload[24:], "little") > 800_000


def test_small_argument_travels_inline(scheduler, client):
    assert client.submit(len, bytes(60_000)).result(20) == 60_000
    assert not drain(scheduler, PUT)


def test_equal_large_arguments_are_stored_once(scheduler, client):
    data = bytes(200_000)
    assert [client.submit(len, data).result(20) for _ in range(5)] == [200_000] * 5
    assert len(drain(scheduler, PUT)) == 1


def test_an_object_travels_in_equal_parts_of_4_mib_at_most(scheduler, client):
    client.send_object(bytes(9 << 20))
    parts = drain(scheduler, PUT)
    size = parts[0][3]
    step = -(-size // 3)
    assert [(offset, len(payload)) for *_, offset, payload in parts] == [
        (0, step),
        (step, step),
        (2 * step, size - 2 * step),
    ]


def test_limit_is_an_option(scheduler):
    with Client(scheduler.address, inline_limit_bytes=1000) as client:
        assert client.submit(len, bytes(2000)).result(20) == 2000
        assert client.map(len, [bytes(10), bytes(2000)]).results(20) == [10, 2000]
    assert len(drain(scheduler, PUT)) == 2


def test_map_of_large_elements(scheduler, client):
    arrays = [numpy.full(20_000, i) for i in range(30)]
    assert client.map(numpy.sum, arrays).results(20) == [20_000 * i for i in range(30)]
    assert len(drain(scheduler, PUT)) == 30


def test_large_results_are_fetched_when_asked_for_and_released(scheduler, client):
    scheduler.large = 1000
    future = client.submit(bytes, 50_000)
    mapped = client.map(lambda n: bytes(n), [[3000] and 3000, 4000, 10])
    assert future.result(20) == bytes(50_000)
    assert future.result() is future.result()
    assert [len(value) for value in mapped.results(20)] == [3000, 4000, 10]
    held = {message[1][1] for message in drain(scheduler, HOLD)}
    assert held
    client.submit(abs, 1).result(20)
    client.submit(abs, 1).result(20)
    assert not scheduler.held


def test_result_that_nobody_asks_for_is_released_when_dropped(scheduler, client):
    scheduler.large = 1000
    future = client.submit(bytes, 50_000)
    while not future.done():
        pass
    assert not drain(scheduler, GET)
    del future
    gc.collect()
    client.submit(abs, 1).result(20)
    client.submit(abs, 1).result(20)
    assert not scheduler.held


def test_missing_result_says_so(scheduler, client):
    scheduler.large = 1000
    future = client.submit(bytes, 50_000)
    while not future.done():
        pass
    scheduler.objects.clear()
    with pytest.raises(MissingObjects, match="not in object storage any more"):
        future.result(20)


def test_reference_stands_for_the_object_as_a_positional_argument(scheduler, client):
    reference = client.send_object([1, 2, 3], "numbers")
    assert (reference.name, reference.size > 0) == ("numbers", True)
    assert client.submit(sum, reference).result(20) == 6
    uses = drain(scheduler, SUBMIT)[0][5]
    assert uses == [[0, [reference.session, reference.hash], reference.size]]
    assert client.map(sum, [reference, [4]]).results(20) == [6, 4]
    assert client.starmap(sum, [(reference, 1), (reference,)]).results(20) == [7, 6]
    uses = [use[0] for submit in drain(scheduler, SUBMIT) for use in submit[5]]
    assert uses == [0, 0, 1]
    assert list(client.map(sum, [reference], buffersize=2)) == [6]


def test_nested_reference_arrives_as_itself(client):
    reference = client.send_object("x")
    (back,) = client.submit(list, [reference]).result(20)
    assert isinstance(back, ObjectReference)
    assert back == reference
    assert len({back, reference, pickle.loads(pickle.dumps(reference))}) == 1


def test_object_is_held_while_a_reference_lives(scheduler, client, monkeypatch):
    monkeypatch.setattr(objects, "MOST_KEPT", 1)
    reference = client.send_object(list(range(1000)))
    scheduler.wait_for(HOLD)
    again = client.send_object(list(range(1000)))
    assert again == reference
    client.send_object("pushes the other out of what is kept")
    hash = reference.hash
    del reference, again
    gc.collect()
    client.submit(abs, 1).result(20)
    assert scheduler.wait_for(RELEASE)[1][1] == hash
    later = client.send_object(list(range(1000)))
    assert later.hash != hash, "the old one's deletion may be under way"
    assert client.submit(len, later).result(20) == 1000


def test_what_cannot_be_pickled_is_not_sent(client):
    with pytest.raises(PackingError, match=r"value\['a'\] cannot be pickled"):
        client.send_object({"a": threading.Lock()})


def test_references_end_with_clear(scheduler, client):
    reference = client.send_object("x")
    client.clear()
    client.submit(abs, 1).result(20)
    drain(scheduler, HOLD, RELEASE)
    del reference
    gc.collect()
    client.submit(abs, 1).result(20)
    client.submit(abs, 1).result(20)
    assert not drain(scheduler, RELEASE)
    again = client.send_object("x")
    assert client.submit(len, again).result(20) == 1


def test_large_argument_is_stored_again_after_clear(scheduler, client):
    large = bytes(1 << 20)
    assert client.submit(len, large).result(20) == 1 << 20
    client.clear()
    scheduler.objects.clear()
    assert client.submit(len, large).result(20) == 1 << 20
    assert client.map(len, [large, large]).results(20) == [1 << 20] * 2


def test_reference_that_was_cleared_is_refused_wherever_it_is_used(client):
    reference = client.send_object("x")
    client.clear()
    for use in (
        lambda: client.submit(len, reference),
        lambda: client.submit_verbose(len, (reference,), {}),
        lambda: client.map(len, [reference]),
        lambda: client.starmap(len, [(reference,)]),
        lambda: next(client.map(len, [reference], buffersize=1)),
    ):
        with pytest.raises(MissingObjects, match="send_object it again"):
            use()
    assert client.submit(abs, -1).result(20) == 1


def test_many_threads_send_and_fetch(scheduler, client):
    scheduler.large = 1000
    done = []

    def work(number: int) -> None:
        for i in range(5):
            size = 100_000 + number * 10 + i
            done.append(client.submit(bytes.upper, bytes(size)).result(20) == bytes(size))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert done == [True] * 20


def test_storage_that_is_lost_is_found_again(scheduler, client):
    assert client.submit(len, bytes(100_000)).result(20) == 100_000
    scheduler.drop_connections()
    assert client.submit(len, bytes(100_001)).result(20) == 100_001


def test_storage_that_cannot_be_reached_says_what_to_do(scheduler, tmp_path):
    where = f"ipc://{tmp_path}/nobody"
    with Client(scheduler.address, timeout_seconds=0.5, object_storage_address=where) as client:
        with pytest.raises(ObjectStorageException, match="advertised-object-storage-address"):
            client.submit(len, bytes(100_000))
        assert client.submit(abs, -1).result(20) == 1


def test_arguments_of_unfinished_tasks_are_put_again_when_the_storage_lost_them(scheduler, client):
    scheduler.hold = True
    futures = [client.submit(len, bytes(100_000 + i)) for i in range(3)]
    mapped = client.map(len, [bytes(200_000), bytes(200_001)])
    scheduler.wait_for_tasks(5)
    scheduler.forget()
    scheduler.drop_connections()
    scheduler.wait_for_tasks(5)
    scheduler.run()
    assert [future.result(20) for future in futures] == [100_000, 100_001, 100_002]
    assert mapped.results(20) == [200_000, 200_001]


def test_arguments_are_let_go_of_when_their_task_is_done(scheduler, client, monkeypatch):
    monkeypatch.setattr(objects, "MOST_KEPT", 1)
    futures = [client.submit(len, bytes(100_000 + i)) for i in range(3)]
    assert [future.result(20) for future in futures] == [100_000, 100_001, 100_002]
    mapped = client.map(len, [bytes(200_000), bytes(200_001)])
    assert mapped.results(20) == [200_000, 200_001]
    gc.collect()
    alive = [stored for stored in gc.get_objects() if isinstance(stored, objects.Stored)]
    assert [stored.size > 200_001 for stored in alive] == [True], "the last is kept for a while"


def test_task_whose_arguments_storage_does_not_take_fails(scheduler, client):
    scheduler.refuse_objects = "it is full"
    future = client.submit(len, bytes(100_000))
    with pytest.raises(ObjectStorageException, match="it is full"):
        future.result(20)
    assert client.submit(abs, -1).result(20) == 1
    scheduler.refuse_objects = ""
    assert client.submit(len, bytes(100_000)).result(20) == 100_000


def test_submit_does_not_wait_for_storage_until_much_is_on_its_way(scheduler, client, monkeypatch):
    monkeypatch.setattr(object_link, "MOST_ON_THE_WAY", 250_000)
    assert client.submit(len, bytes(99_999)).result(20) == 99_999
    with scheduler.lock:  # nothing is answered meanwhile
        futures = [client.submit(len, bytes(100_000 + i)) for i in range(2)]
        third = threading.Thread(target=lambda: futures.append(client.submit(len, bytes(100_002))))
        third.start()
        third.join(0.2)
        assert third.is_alive()
    third.join(20)
    assert [future.result(20) for future in futures] == [100_000, 100_001, 100_002]


def test_arguments_reach_storage_though_nobody_waits(scheduler, client):
    scheduler.hold = True
    future = client.submit(len, bytes(3_000_000))
    scheduler.wait_for_tasks(1)
    scheduler.run()
    assert future.result(20) == 3_000_000


def test_results_that_are_next_are_fetched_beside_the_one_asked_for(scheduler, client):
    scheduler.large = 1000
    futures = []
    for i in range(20):
        futures.append(client.submit(bytes, 1_000_000 + i))
        while not futures[-1].done():
            pass
    assert len(futures[0].result(20)) == 1_000_000
    fetched = 1 + sum(future._outcome.request is not None for future in futures)
    assert 3 <= fetched <= 6, "some of them, up to 4 MiB"
    del futures[1:3]
    assert [len(future.result(20)) for future in reversed(futures)] == [*range(1_000_019, 1_000_002, -1), 1_000_000]
