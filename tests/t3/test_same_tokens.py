"""A seed says the same with each PyTorch, NumPy and onnxruntime that a lock holds: the tokens are written down here."""

import sys

import pytest

import streamtts
from streamtts import Settings

TEXT = "Good morning, how are you today?"
START = [654, 104, 834, 1203, 1934, 2284, 2357, 3085, 3473, 3472, 4202, 4578]
END = [1246, 1246, 1246, 1246, 1975, 2112, 2112, 2112, 4299, 4299, 4299]
SAMPLED = [
    *START, 4552, 5277, 5356, 6085, 6015, 6017, 6012, 6016, 184, 654, 654, 654, 654, 654, 654, 1383, 806, 2265, 2751,
    4211, 5506, 206, 223, 1681, 3193, 2931, 4391, 6136, 5927, 825, 1245, 1242, 1242, 1242, 1244, 1243, *END,
]  # fmt: skip
LIKELIEST = [
    *START, 4549, 5275, 5356, 6084, 6015, 6016, 6012, 6016, 184, 654, 654, 654, 654, 654, 654, 1383, 806, 2265, 2751,
    4211, 5506, 206, 223, 1681, 3193, 2932, 4390, 4678, 6133, 823, 1243, 1242, 1242, 1242, 1243, 1242, *END,
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [(Settings(seed=7), SAMPLED), (Settings(top_k=1), LIKELIEST)],
    ids=["sampled with seed 7", "the likeliest"],
)
def test_mini_says_these_tokens_on_every_stack(settings, tokens):
    model = streamtts.load(precision="fp32")
    assert streamtts.stream(model, TEXT, settings=settings).collect().tokens == tokens


def test_mini_says_them_without_onnxruntime_too(monkeypatch):
    """A rented GPU machine may lack it: then PyTorch's form of each stage speaks."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    model = streamtts.load(precision="fp32")
    settings = Settings(seed=7, policy="cached")
    assert streamtts.stream(model, TEXT, settings=settings).collect().tokens == SAMPLED
