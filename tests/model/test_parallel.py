"""Items run side by side give the same results, in order, and leave torch as it was."""

import threading

import pytest
import torch

from plaudit.model.parallel import in_parallel


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


CPU = torch.device("cpu")


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_results_come_in_order_and_each_item_has_its_share_of_threads(three_threads, count):
    def work(item: int) -> tuple[int, int]:
        return item, torch.get_num_threads()

    found = list(in_parallel(work, range(count), CPU))
    even = count - count % 3
    assert found == [(i, 1 if i < even else 3) for i in range(count)]
    assert torch.get_num_threads() == 3


def test_threads_begun_later_have_all_cores(three_threads):
    list(in_parallel(lambda item: item, range(6), CPU))
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [3]


def test_an_error_reaches_the_caller(three_threads):
    def work(item: int) -> int:
        return 1 // (2 - item)

    found = in_parallel(work, range(6), CPU)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert list(in_parallel(lambda item: item, range(6), CPU)) == list(range(6))


def test_what_was_not_begun_is_not_run_once_nobody_waits(three_threads):
    begun = []

    def items():
        for item in range(1000):
            begun.append(item)
            yield item

    found = in_parallel(lambda item: item, items(), CPU)
    assert next(found) == 0
    found.close()
    assert len(begun) < 20
