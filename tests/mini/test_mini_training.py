"""Every training stage of mini runs a few steps on a tiny corpus; its codes, alignment and tokenizer hold together."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from streamtts.mini import phones

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("hibari", "onnx")),
    reason="training needs the extra: pip install 'streamtts[train]'",
)

TEXTS = [
    "The kettle is boiling on the stove.",
    "We walked to the river and back again.",
    "She said that the dog was asleep.",
    "There are many birds in the old garden.",
    "He would like some water, please.",
    "A strong wind blew the leaves away.",
]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder with a corpus of six sentences, made as the real one is."""
    from streamtts.mini import corpus, features, sentences

    folder = tmp_path_factory.mktemp("mini") / "corpus"
    folder.mkdir()
    teacher = corpus.Teacher()
    writer = corpus.Writer(folder / "speech-0")
    for i, text in enumerate(TEXTS):
        item = corpus.speak(teacher, text, seed=i, low=i % 2 == 0)
        assert item is not None
        writer.add(item)
    writer.close()
    writer, silent = corpus.Writer(folder / "sentences-0"), corpus.Teacher(audio=False)
    for text in TEXTS:
        spelt = [unit for phonemes in teacher.hibari.phonemize(text) for unit, _ in phones.spell(phonemes)]
        item = sentences.speak_units(silent, spelt)
        assert item is not None
        writer.add(item | dict(text=text))
    writer.close()
    features.build(folder)
    return folder.parent


def test_segments_keep_their_order_and_get_a_token_each():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 30))
        starts = np.sort(rng.uniform(0, 40, n))
        starts[0] = 0
        first = phones.token_starts(starts, 40)
        assert first[0] == 0 and (np.diff(first) >= 1).all() and first[-1] < 40
    assert phones.token_starts(np.arange(5.0), 4) is None


def test_stock_silence_token_is_silence():
    assert 4299 % phones.SOUNDS == phones.DETAILS * phones.SILENCE + phones.SILENCE_DETAIL


def test_codes_and_fsq_digits_agree():
    codes = torch.randint(0, phones.CODES, (100,))
    digits = phones.code_digits(codes)
    assert ((digits + 1) * 3 ** torch.arange(8)).sum(-1).equal(codes)


def test_alignment_covers_every_unit_in_order(work):
    from streamtts.mini.corpus import Part

    part = Part(work / "corpus", "speech")
    for i in range(len(part)):
        index = part.get(i, "unit_index")
        assert index[0] == 0 and index[-1] == part.items[i]["units"] - 1
        assert set(np.diff(index)) <= {0, 1}
        units = part.get(i, "units")
        spoken = part.get(i, "sounds") // phones.DETAILS
        right = [
            phone in (phones.phone_of(phones.UNITS[units[u]]), phones.SILENCE)
            for phone, u in zip(spoken, index, strict=True)
        ]
        assert all(right)


def test_tokenizer_pronounces_lexicon_rules_and_numbers():
    from collections import Counter

    from streamtts.mini.text_tokenizer import align_letters, learn_rules, make_tokenizer

    lexicon = {"the": "ðə", "cat": "kˈæt", "sat": "sˈæt", "mat": "mˈæt", "fat": "fˈæt", "two": "tˈu", "ten": "tˈɛn"}
    rules = learn_rules(align_letters(lexicon), Counter(dict.fromkeys(lexicon, 100)))
    tokenizer = make_tokenizer(lexicon, rules)

    def units(text):
        return "".join(phones.UNITS[i] for i in tokenizer.encode(text).ids)

    assert units("The cat sat.") == " ðə kˈæt sˈæt."
    assert units("2 cats, 10 mats!") == " tˈu kˈæts, tˈɛn mˈæts!"
    assert units("tat") == " tˈæt"  # never heard: by the rules
    assert units("日本") == ""


@pytest.mark.parametrize("stage", ["encoder", "estimator", "pitch", "hift", "adversarial", "t3", "tokenizer"])
def test_stage_trains_saves_and_resumes(work, stage):
    from streamtts.mini import train

    torch.manual_seed(0)
    if stage in ("estimator", "pitch", "hift") and not (work / "checkpoints" / "encoder.pt").exists():
        train.main(["encoder", "--work", str(work), "--minutes", "5", "--max-steps", "1"])
    for expected in (2, 3):
        train.main([stage, "--work", str(work), "--minutes", "5", "--max-steps", "2" if expected == 2 else "1"])
        first = 1 if stage == "encoder" and expected == 2 and _step(work, stage) > 2 else 0
        assert _step(work, stage) >= expected - first
    assert (work / "logs" / f"{stage}.csv").read_text().startswith("step,seconds,")


def _step(work, stage) -> int:
    return torch.load(work / "checkpoints" / f"{stage}.pt")["step"]


def test_untrained_estimator_returns_the_encoder_mel():
    from streamtts.mini import flow
    from streamtts.mini.sizes import MINI

    torch.manual_seed(0)
    net, _ = flow.build_parts(MINI.s3gen)
    flow.start_as_identity(net.decoder.estimator)
    flow.keep_end_in_fp32(net.decoder.estimator)
    mu = torch.randn(1, 80, 60) * 2 - 6
    with torch.inference_mode():
        mel = flow.sample(net.decoder.estimator, mu, torch.ones(1, 1, 60), torch.zeros(1, 80), torch.zeros(1, 80, 60))
    assert (mel - mu).abs().mean() < 0.1
