"""Maps: blocks, futures made when asked for, results, failures of single elements."""

from __future__ import annotations

import concurrent.futures
import itertools
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scaler._core import FORM_LIST, FORM_SINGLE, FORM_TABLE
from scaler.client.blocks import MOST_BYTES, MOST_ELEMENTS, Block, BlockMaker, Unpacked
from scaler.client.book import Book, MapRun
from scaler.client.needs import Needs
from scaler.client.outcomes import CANCELLED, KnownError, SingleValue
from scaler.errors import PackingError
from scaler.packing import unpack_values
from scripted_scheduler import CANCEL, FAILURE, SUBMIT


def no_needs() -> Needs:
    return Needs(None, None)  # type: ignore[arg-type]


def unpacked(elements, starred=False):
    blocks = list(BlockMaker(elements, starred, no_needs))
    values = []
    for block in blocks:
        if isinstance(block, Block):
            assert block.count == 1 or (block.count <= MOST_ELEMENTS and len(block.payload) <= MOST_BYTES)
            assert (block.form == FORM_SINGLE) == (block.count == 1)
            values += unpack_values(block.form, block.payload, block.count)
    return values, blocks


@settings(max_examples=50)
@given(
    st.lists(
        st.integers() | st.text() | st.lists(st.integers(), max_size=3) | st.integers(0, 200_000).map(bytes),
        max_size=300,
    )
)
def test_blocks_hold_all_elements_in_order_within_their_limits(elements):
    assert unpacked(elements)[0] == elements


def test_small_plain_elements_come_in_few_lists():
    values, blocks = unpacked(range(100_000))
    assert values == list(range(100_000))
    assert len(blocks) < 105
    assert {block.form for block in blocks} == {FORM_LIST}


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda numbers: numbers])
def test_blocks_are_the_same_from_whatever_gives_the_elements(kind):
    assert unpacked(kind(range(3000)))[0] == list(range(3000))


def test_large_elements_are_not_gathered():
    taken = itertools.count()

    def elements():
        for _ in range(200):
            next(taken)
            yield [bytes(1_000_000)]

    maker = iter(BlockMaker(elements(), False, no_needs))
    for _ in range(40):
        next(maker)
    assert next(taken) < 45


def test_others_come_in_tables():
    assert {block.form for block in unpacked([[i] for i in range(3000)])[1]} <= {FORM_TABLE, FORM_SINGLE}


def test_element_that_cannot_be_pickled_stands_alone_among_the_blocks():
    blocks = unpacked([[1], [threading.Lock()], [3]])[1]
    assert [type(block) for block in blocks] == [Block, Unpacked, Block]
    assert blocks[1].error.index == 1


def test_map_gives_futures_in_order(client):
    mapped = client.map(pow, range(10), itertools.count(1))
    assert len(mapped) == 10
    assert [future.result(20) for future in mapped] == [i ** (i + 1) for i in range(10)]
    assert mapped.results() == [i ** (i + 1) for i in range(10)]
    assert mapped[3] is mapped[3]
    assert mapped[-1].result() == 9**10
    assert [future.result() for future in mapped[2:4]] == [8, 81]
    assert next(future.result() for future in reversed(mapped)) == 9**10
    with pytest.raises(IndexError):
        mapped[10]


def test_map_of_nothing_is_empty(client):
    mapped = client.map(abs, [])
    assert mapped == []
    assert mapped.results(0) == []
    assert not list(mapped)
    assert list(mapped.as_completed()) == []
    assert mapped.done()
    assert client.map(abs, iter(())) == client.map(abs, [])
    with pytest.raises(TypeError, match="iterable"):
        client.map(abs)


def test_comparing_iterating_and_indexing_never_wait(scheduler, client):
    scheduler.hold = True
    mapped = client.map(abs, range(-5, 0))
    assert mapped != [5, 4, 3, 2, 1]
    assert mapped != []
    assert mapped == list(mapped)
    assert mapped == mapped[:]
    assert not any(future.done() for future in mapped)
    assert not mapped.done()
    assert "5 elements, 0 done" in repr(mapped)
    with pytest.raises(TimeoutError):
        mapped.results(0.01)
    with pytest.raises(TimeoutError):
        next(mapped.as_completed(0.01))
    scheduler.run()
    assert mapped.results(20) == [5, 4, 3, 2, 1]


def test_results_make_no_futures(client):
    mapped = client.map(abs, range(-5000, 0))
    assert mapped.results(20) == list(range(5000, 0, -1))
    assert not mapped._run.futures


def test_starmap_and_map_of_iterators(client):
    assert client.starmap(pow, [(2, 3), [3, 2]]).results(20) == [8, 9]
    assert client.map(abs, (x for x in range(-3000, 0))).results(20) == list(range(3000, 0, -1))
    assert client.map(lambda x: x, [[1], [2]]).results(20) == [[1], [2]]
    assert client.map(len, [(1, 2), ()]).results(20) == [2, 0]


def test_map_and_submit_side_by_side(client):
    before = client.submit(abs, -1)
    mapped = client.map(abs, (x for x in range(-50, 0)))
    after = client.submit(abs, -2)
    assert (before.result(20), after.result(20)) == (1, 2)
    assert mapped.results(20) == list(range(50, 0, -1))


def odd_fails(x):
    if x % 2:
        raise ValueError(x)
    return x


def test_each_element_has_its_own_outcome(client):
    mapped = client.map(odd_fails, range(6))
    assert [future.exception(20) is None for future in mapped] == [True, False] * 3
    with pytest.raises(ValueError, match="1"):
        mapped.results(20)
    assert mapped.failed_count == 3


def test_failure_is_raised_as_soon_as_all_before_it_are_done(scheduler, client):
    scheduler.hold = True
    mapped = client.map(odd_fails, range(10))
    scheduler.wait_for_tasks(10)
    scheduler.run(3)
    scheduler.run(0)
    with pytest.raises(TimeoutError):
        mapped.results(0.05)
    scheduler.run(1)
    with pytest.raises(ValueError, match="1"):
        mapped.results(20)


def test_element_that_cannot_be_pickled_fails_alone(client):
    elements = [[i] for i in range(500)]
    elements[123] = [{"conn": threading.Lock()}]
    mapped = client.map(len, elements)
    assert len(mapped) == 500
    with pytest.raises(PackingError, match=r"element 123: argument\[0\]\['conn'\] cannot be pickled"):
        mapped[123].result(20)
    assert sum(future.exception(20) is None for future in mapped) == 499


def test_iterator_that_raises_leaves_the_client_working(client):
    def broken():
        yield from range(100)
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        client.map(abs, broken())
    assert client.submit(abs, -1).result(20) == 1
    client.clear()


def test_as_completed_gives_what_is_done_first(scheduler, client):
    scheduler.hold = True
    mapped = client.map(abs, range(-6, 0))
    completed = mapped.as_completed(20)
    scheduler.run(4, 5)
    assert [next(completed) for _ in range(2)] == [mapped[4], mapped[5]]
    scheduler.run()
    assert [future.result() for future in completed] == [6, 5, 4, 3]


def test_elements_futures_work_with_the_library(scheduler, client):
    scheduler.hold = True
    mapped = client.map(abs, range(-20, 0))
    threading.Timer(0.02, scheduler.run).start()
    assert len(concurrent.futures.wait(mapped, 20).done) == 20
    assert sorted(future.result() for future in concurrent.futures.as_completed(mapped)) == list(range(1, 21))


def test_cancel_of_a_map_ends_what_is_not_done(scheduler, client):
    scheduler.hold = True
    mapped = client.map(abs, range(-10, 0))
    scheduler.run(2, 3)
    assert mapped[3].result(20) == 7
    assert mapped.cancel() == 8
    assert scheduler.wait_for(CANCEL)[1:] == [0, 2]
    assert mapped[0].cancelled()
    assert mapped[2].result() == 8
    with pytest.raises(concurrent.futures.CancelledError):
        mapped.results()


def test_single_element_is_cancelled(scheduler, client):
    scheduler.hold = True
    mapped = client.map(abs, range(-10, 0))
    assert mapped[7].cancel()
    scheduler.run()
    assert [future.cancelled() for future in mapped] == [i == 7 for i in range(10)]


def test_ranges_with_exceptions_give_each_element_its_own(scheduler, client):
    scheduler.hold = True
    mapped = client.map(abs, range(-10, 0))
    asked = mapped[5]
    scheduler.wait_for_tasks(10)
    scheduler.answer(3, 1, FAILURE, failure=[0, 1, 1, [], ""])
    scheduler.cancel(scheduler.tasks[0].session, 6, 1)
    scheduler.tasks.clear()
    from scaler.packing import pack_values

    form, payload = pack_values(list(range(100, 110)))
    scheduler.answer(0, 10, form, payload, excepted=[3, 6])
    assert asked.result(20) == 105
    assert [mapped[i].result() for i in (0, 2, 4, 9)] == [100, 102, 104, 109]
    assert mapped[6].cancelled()
    assert mapped[3].exception() is not None
    assert mapped.done_count == 10


def test_lazy_map_reads_no_further_than_its_buffer(scheduler, client):
    read = []

    def source():
        for i in range(100):
            read.append(i)
            yield i

    lazy = client.map(abs, source(), buffersize=5)
    assert next(lazy) == 0
    assert len(read) == 5
    assert list(itertools.islice(lazy, 20)) == list(range(1, 21))
    assert len(read) <= 26
    lazy.close()
    assert list(client.map(pow, range(10), range(10), buffersize=3)) == [i**i for i in range(10)]
    with pytest.raises(ValueError, match="buffersize"):
        client.map(abs, [1], buffersize=0)


def test_progress_shows_lines_and_returns_the_map(client, capsys):
    mapped = client.map(odd_fails, range(100))
    assert mapped.progress("work") is mapped
    text = capsys.readouterr().err
    assert "work: 100/100" in text
    assert "50 failed" in text


def test_map_travels_in_few_messages(scheduler, client):
    scheduler.hold = True
    client.map(abs, range(200_000))
    blocks = 0
    messages = 0
    while blocks < 200_000:
        blocks += sum(block[0] for block in scheduler.wait_for(SUBMIT)[4])
        messages += 1
    assert messages < 60


class Plain:
    """Stands for a future in the book's own tests."""

    _outcome = None


def test_book_finds_runs_and_forgets_them():
    book = Book()
    futures = [Plain() for _ in range(3000)]
    for future in futures[:1500]:
        book.add_task(future)
    mapped = book.map_run(1 << 36)
    book.add_elements(mapped, 100)
    for future in futures[1500:]:
        book.add_task(future)
    assert len(book.pending_runs()) > 3
    later = mapped.first + (1 << 36)
    one = SingleValue(b"")
    book.resolve(10, 1480, one, [90, 91])
    assert futures[9]._outcome is None
    assert futures[10]._outcome is one
    assert futures[100]._outcome is None
    assert futures[1489]._outcome is one
    assert book.unfinished == 3100 - 1478
    book.resolve(mapped.first, 100, CANCELLED, [5])
    assert mapped.outcome_of(5) is None
    assert mapped.outcome_of(6) is CANCELLED
    failed = KnownError(ValueError())
    book.resolve(mapped.first + 5, 1, failed)
    assert mapped.outcome_of(5) is failed
    assert (mapped.cancelled, mapped.prefix) == (99, 100)
    book.close(mapped)
    for start, end in book.all_unfinished():
        book.resolve(start, end - start, one)
    assert book.unfinished == 0
    assert futures[2999]._outcome is one
    assert book.pending_runs() == []
    assert later + 1500 == book.next


class CountedSorts(list):
    sorts = 0

    def sort(self):
        self.sorts += 1
        super().sort()


def test_futures_that_are_made_afterwards_find_their_outcome_without_sorting_each_time():
    run = MapRun(0, 1000)
    run.add(1000)
    run._by_start = CountedSorts()
    outcomes = {start: SingleValue(b"") for start in range(0, 1000, 10)}
    for start in reversed(outcomes):
        run.resolve(start, start + 10, outcomes[start], None)
    assert all(run.outcome_of(index) is outcomes[index // 10 * 10] for index in range(1000))
    assert run._by_start.sorts == 1
