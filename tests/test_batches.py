"""Batches of texts, and the cores that read them."""

import pytest
import torch

from nolabels.core.batches import on_each_core, token_batches


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("items", "device", "each"),
    [
        pytest.param(9, "cpu", 1, id="a batch for each core"),
        pytest.param(2, "cpu", 2, id="fewer batches than cores"),
        pytest.param(1, "cpu", 4, id="one batch"),
        pytest.param(9, "meta", 4, id="another device"),
        pytest.param(0, "cpu", None, id="none"),
    ],
)
def test_cores_share_batches(four_threads, items, device, each):
    found = on_each_core(lambda item: (item, torch.get_num_threads()), range(items), device)
    assert found == [(item, each) for item in range(items)]
    assert torch.get_num_threads() == 4


def test_threads_are_set_back_after_an_error(four_threads):
    def fails(item):
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        on_each_core(fails, range(3), "cpu")
    assert torch.get_num_threads() == 4


def test_batches_go_from_the_longest_to_the_shortest():
    assert token_batches([3, 9, 4, 4], 8) == [[1], [2, 3], [0]]
    assert token_batches([], 8) == []
