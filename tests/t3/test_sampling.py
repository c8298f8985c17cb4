"""The sampler gives every token the probability that the processors of stock ``inference_turbo`` give it."""

import torch
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from streamtts.checkpoint.architecture import Architecture
from streamtts.settings import Settings
from streamtts.t3.sampling import Sampler, stock_processors


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


def test_the_same_random_stream_gives_the_stock_loops_token():
    settings, draws = Settings(), []
    for seed in range(50):
        logits = torch.randn(1, 6563, generator=torch.Generator().manual_seed(seed)) * 3
        history = torch.tensor([[1, 2, 3]])
        stock = torch.softmax(stock_processors(Architecture(), settings)(history, logits), dim=-1)
        generators = [torch.Generator().manual_seed(seed) for _ in range(2)]
        expected = torch.multinomial(stock, num_samples=1, generator=generators[0])
        draws.append(int(expected))
        assert int(Sampler(Architecture(), settings)(logits, history, generators[1])) == draws[-1]
    assert len(set(draws)) > 40
