"""Our token loop says what the stock loop says, and stops when told."""

import torch

from streamtts.settings import Settings
from streamtts.t3.sampling import RandomStream
from streamtts.t3.step import STOP, speech_tokens, voice_prefix
from streamtts.voice.conditionals import Voice

TEXT = "The weather is nice today, so we walked along the river for two hours."


def ids(model, text=TEXT):
    return model.tts.tokenizer(text, return_tensors="pt").input_ids


def spoken(model, settings, seed=3, text=TEXT):
    return speech_tokens(model.gpt2, ids(model, text), model.voice(), model.architecture, settings, RandomStream(seed))


def test_tokens_are_the_stock_loops_given_the_same_random_stream(model, stock_draws, capsys):
    for sampling in (
        {"temperature": 0.5, "top_k": 60, "top_p": 0.9, "repetition_penalty": 1.0},
        {"temperature": 0.8, "top_k": 1000, "top_p": 0.95, "repetition_penalty": 1.2},  # Turbo's
    ):
        for seed in range(3):
            stock_draws(seed)
            stock = model.tts.t3.inference_turbo(model.voice().t3_cond, ids(model), **sampling, max_gen_len=199)
            ours = list(spoken(model, Settings(**sampling, max_tokens=200), seed))
            assert ours == [t for t in stock[0].tolist() if t < 6561]
    assert len(ours) > 20


def test_logits_are_the_stock_models(model):
    t3, gpt2 = model.tts.t3, model.gpt2
    speech = torch.tensor([list(spoken(model, Settings()))])
    condition = t3.prepare_conditioning(model.voice().t3_cond)
    with torch.inference_mode():
        x = torch.cat([condition, t3.text_emb(ids(model)), t3.speech_emb(speech)], dim=1)
        stock = t3.speech_head(t3.tfmr(inputs_embeds=x)[0])
        cache = voice_prefix(gpt2, model.voice()).copy()
        steps = [gpt2.forward(x[:, cache.length : cache.length + 5], cache)]
        while cache.length < x.shape[1]:
            steps.append(gpt2.forward(x[:, cache.length : cache.length + 1], cache))
        ours = t3.speech_head(torch.cat(steps, dim=1))
    used = model.architecture.t3.prompt_tokens + 1
    assert (ours - stock[:, used:]).abs().max() <= 1e-3 * stock[:, used:, :100].abs().max()
    assert ours.argmax(-1).equal(stock[:, used:].argmax(-1))


def test_stops_between_any_two_tokens(model):
    tokens = spoken(model, Settings())
    first = [next(tokens) for _ in range(4)]
    tokens.close()
    again = spoken(model, Settings())
    assert [next(again) for _ in range(4)] == first


def test_never_yields_ids_that_are_not_speech_and_keeps_the_cap(model):
    tokens = list(spoken(model, Settings(temperature=2.0, top_k=6561, top_p=1.0, max_tokens=60)))
    assert len(tokens) <= 60
    assert max(tokens) < STOP - 1


def test_stops_where_the_models_positions_end(model):
    # mini has 1024 positions: a text that fills nearly all of them leaves room for a few tokens only.
    text = "a " * 980
    room = model.gpt2.positions - model.architecture.t3.prompt_tokens - 1 - ids(model, text).shape[1] - 1
    assert 0 < room < 60
    assert len(list(spoken(model, Settings(temperature=2.0), text=text))) <= room


def test_voice_prefix_is_computed_once(model):
    assert voice_prefix(model.gpt2, model.voice()) is voice_prefix(model.gpt2, model.voice())


def test_an_utterance_goes_on_where_another_left_its_cache_and_says_the_same(model):
    first = list(spoken(model, Settings()))
    longer = list(spoken(model, Settings(), text=f"{TEXT} {TEXT}"))
    other = Voice("other", model.voice().t3_cond, model.tts.conds.gen)
    sampling = Settings(), RandomStream(3)
    assert list(speech_tokens(model.gpt2, ids(model), other, model.architecture, *sampling)) == first
    side_by_side = [spoken(model, Settings()), spoken(model, Settings())]
    assert [next(tokens) for tokens in side_by_side for _ in range(4)] == first[:4] * 2
    assert list(spoken(model, Settings(), text=f"{TEXT} {TEXT}")) == longer
    prefix = voice_prefix(model.gpt2, model.voice())
    assert prefix.length == model.architecture.t3.prompt_tokens + 1
