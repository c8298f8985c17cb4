"""Keys and values that several utterances begin with are in memory once, and each may write to its own."""

import os

import pytest
import torch

from streamtts.bench.machine import memory_mb
from streamtts.checkpoint.kv_memory import SharedStart

SHAPE = 8, 2, 4, 512, 64  # 8 MB


def test_copies_begin_alike_and_none_sees_what_is_written_to_another():
    kv = torch.randn(SHAPE)
    start = SharedStart(kv, 400)
    first, second = start.copy(), start.copy()
    assert torch.equal(first[:, :, :, :400], kv[:, :, :, :400])
    assert not first[:, :, :, 400:].any()
    first[:, :, :, 399:] = 7.0
    kv.zero_()
    for other in (second, start.copy()):
        assert torch.equal(other[:, :, :, :399], first[:, :, :, :399])
        assert not (other == 7.0).any()


@pytest.mark.skipif(memory_mb(os.getpid()) is None, reason="Linux counts it")
def test_what_is_in_common_takes_memory_once():
    start = SharedStart(torch.randn(SHAPE), 512)
    before = memory_mb(os.getpid())
    copies = [start.copy() for _ in range(10)]
    assert all(copy.sum().isfinite() for copy in copies)  # each page is touched
    assert memory_mb(os.getpid()) - before < 2 * copies[0].numel() * 4 / 1e6
