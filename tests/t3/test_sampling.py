"""The sampler gives every token the probability that the processors of stock ``inference_turbo`` give it."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from streamtts.checkpoint.architecture import Architecture
from streamtts.settings import Settings
from streamtts.t3.sampling import RandomStream, Sampler, stock_processors


@limits(max_examples=200, deadline=None)
@given(
    temperature=st.floats(0.05, 2),
    top_k=st.integers(1, 6561),
    top_p=st.floats(0.01, 1),
    repetition_penalty=st.floats(1, 2),
    spread=st.floats(0.1, 10),
    history=st.lists(st.integers(0, 6562), min_size=1, max_size=30),
    seed=st.integers(0, 2**32 - 1),
)
def test_probabilities_are_those_of_the_stock_processors(spread, history, seed, **values):
    settings = Settings(**values)
    logits = torch.randn(1, 6563, generator=torch.Generator().manual_seed(seed)) * spread
    history = torch.tensor([history])
    stock = torch.softmax(stock_processors(Architecture(), settings)(history, logits), dim=-1)
    ours = Sampler(Architecture(), settings).probabilities(logits, history)
    # A sum of probabilities that is as good as top_p may fall to either side of it.
    apart = (ours > 0) != (stock > 0)
    assert apart.sum() <= 1
    assert (ours - stock).abs().max() <= (1e-6 if not apart.any() else stock[apart].max() + ours[apart].max() + 1e-6)


def test_the_checkpoints_own_defaults_are_taken_where_settings_say_nothing():
    sampler, defaults = Sampler(Architecture(), Settings()), Architecture().sampling
    assert (sampler.temperature, sampler.top_k) == (defaults["temperature"], defaults["top_k"])
    assert (sampler.top_p, sampler.penalty) == (defaults["top_p"], defaults["repetition_penalty"])
    assert Sampler(Architecture(), Settings(top_k=7)).top_k == 7


def test_the_same_random_stream_gives_the_stock_processors_token():
    settings, draws = Settings(), []
    for seed in range(50):
        logits = torch.randn(1, 6563, generator=torch.Generator().manual_seed(seed)) * 3
        history = torch.tensor([[1, 2, 3]])
        stock = torch.softmax(stock_processors(Architecture(), settings)(history, logits), dim=-1)
        draws.append(int(RandomStream(seed).draw(stock)))
        assert int(Sampler(Architecture(), settings)(logits, history, RandomStream(seed))) == draws[-1]
    assert len(set(draws)) > 40


def test_tokens_are_drawn_as_often_as_their_probabilities_say():
    p = torch.tensor([[0.5, 0.0, 0.25, 0.125, 0.0, 0.1, 0.02, 0.005]])
    random, n = RandomStream(0), 40_000
    seen = np.bincount([int(random.draw(p)) for _ in range(n)], minlength=8)
    possible = p[0] > 0
    expected = p[0][possible].double().numpy() * n
    assert seen[~possible.numpy()].sum() == 0
    assert ((seen[possible.numpy()] - expected) ** 2 / expected).sum() < 20.5  # chi-square, 5 degrees: 1 in 1,000


def test_draws_one_after_another_and_of_neighbouring_seeds_do_not_resemble_each_other():
    p = torch.full((1, 64), 1 / 64)

    def drawn(seed):
        random = RandomStream(seed)
        return np.array([int(random.draw(p)) for _ in range(2000)])

    first, second = drawn(7), drawn(8)
    for a, b in ((first, second), (first[1:], first[:-1])):
        assert abs((a == b).mean() - 1 / 64) < 0.012
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.08


DRAWN = [
    [4909, 668, 6467, 4727, 6014, 1120],
    [6128, 1446, 4890, 2654, 5518, 6197],
    [2509, 3319, 5034, 5009, 1729, 1290],
]


def test_a_seed_draws_these_ids_with_every_pytorch_numpy_and_device():
    """The numbers are written down: a library that draws others for the same seed fails here."""
    p = torch.softmax(torch.sin(torch.arange(6563.0))[None] * 4, dim=-1)
    assert [[int(random.draw(p)) for _ in range(6)] for random in map(RandomStream, (0, 1, 2**32 - 1))] == DRAWN


def test_one_token_left_out_changes_no_other_draw():
    """So two number formats that differ in one draw say the same again as soon as their probabilities agree."""
    p = torch.softmax(torch.randn(30, 500, generator=torch.Generator().manual_seed(0)), dim=-1)
    whole, cut = RandomStream(5), RandomStream(5)
    for i, row in enumerate(p):
        one = int(whole.draw(row[None]))
        fewer = row.clone()
        fewer[(one + 1) % 500 if i % 2 else one] = 0
        other = int(cut.draw(fewer[None] / fewer.sum()))
        assert (other == one) == bool(i % 2)


def test_the_likeliest_token_alone_is_always_drawn():
    p = torch.zeros(1, 6563)
    p[0, 42] = 1
    random = RandomStream(3)
    assert {int(random.draw(p)) for _ in range(20)} == {42}
