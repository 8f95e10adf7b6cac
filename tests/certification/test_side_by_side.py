"""Parts of a batch on several threads: the same numbers, in order, and the settings of the caller."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
import torch

from certlip.certification.enclosure.side_by_side import in_parts, in_steps, product, side_by_side


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_parts_come_back_in_order_with_one_thread_of_torch_each(threads):
    meeting = threading.Barrier(threads)

    def f(rows: slice) -> tuple[int, int, int]:
        meeting.wait(timeout=30)  # all threads are here at once, or this breaks
        return rows.start, rows.stop, torch.get_num_threads()

    parts = side_by_side(f, 4 * threads - 1, 4)
    assert [part[0] for part in parts] == list(range(0, 4 * threads, 4))
    assert parts[-1][1] == 4 * threads - 1
    assert {part[2] for part in parts} == {1}
    assert torch.get_num_threads() == threads


def test_parts_within_parts_do_not_wait_for_each_other(threads):
    def f(rows: slice) -> list[slice]:
        return side_by_side(lambda inner: inner, rows.stop - rows.start, 1)

    assert list(map(len, side_by_side(f, 40, 4))) == [4] * 10


def test_a_failing_part_is_an_error_and_threads_are_given_back(threads):
    def f(rows: slice) -> None:
        if rows.start == 2:
            raise ValueError("part 2")

    with pytest.raises(ValueError, match="part 2"):
        side_by_side(f, 6, 1)
    assert torch.get_num_threads() == threads


def test_warnings_are_silenced_in_parts_as_they_are_outside(threads):
    huge = np.full((8, 1), 1e300)
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("error")
        (squares,) = in_parts(lambda x: (x * x,), 1, huge)
    assert np.isinf(squares).all()


@pytest.mark.parametrize("cut", [in_parts, in_steps])
def test_steps_cut_all_inputs_alike(threads, cut):
    x, y = np.arange(14.0).reshape(7, 2), np.arange(7.0)
    total, first = cut(lambda x, y: (x.sum(axis=1) + y, x[:, 0]), 3, x, y)
    assert np.array_equal(total, x.sum(axis=1) + y)
    assert np.array_equal(first, x[:, 0])


def test_products_of_any_layout():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, 5, 4)), rng.standard_normal((2, 6, 4)).swapaxes(1, 2)
    assert np.allclose(product(A, B), A @ B, rtol=1e-14)
