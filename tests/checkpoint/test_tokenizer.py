"""mini's hastened tokenizer gives what the stock Hugging Face tokenizer of the same file gives."""

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from streamtts.checkpoint.tokenizer import read_tokenizer
from streamtts.loader import MINI

FILE = MINI / "tokenizer.json"
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").split()


@pytest.fixture(scope="module")
def both():
    return read_tokenizer(FILE), PreTrainedTokenizerFast(tokenizer_file=str(FILE))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Hello, how can I help you today?",
        "Zqxjv blorptastic O'Neill's gizmotrons cost $1,234.56 at 7:30 p.m. on the 21st!",
        "Ünïcödé — “quotes”, James's 1984; the TTS's API isn't the boss's.",
    ],
)
def test_sentences(both, text):
    quick, stock = both
    assert quick(text).input_ids == stock(text).input_ids
    assert quick.decode(quick(text).input_ids) == stock.decode(stock(text).input_ids)


@settings(max_examples=150, deadline=None)
@given(words=st.lists(st.sampled_from(README), max_size=15))
def test_any_words(both, words):
    quick, stock = both
    assert quick(" ".join(words)).input_ids == stock(" ".join(words)).input_ids


@settings(max_examples=150, deadline=None)
@given(text=st.text(string.ascii_letters * 3 + string.digits + " " * 20 + "'.,-$%&:;!?’é", max_size=60))
def test_any_letters_and_marks(both, text):
    quick, stock = both
    assert quick(text).input_ids == stock(text).input_ids


@pytest.mark.parametrize(
    "rules",
    [
        normalizers.NFC(),
        normalizers.Sequence([normalizers.Strip(left=False, right=True), normalizers.Replace("a", "b")]),
        normalizers.Sequence(
            [normalizers.Replace("é", "e"), normalizers.Replace(Regex("(?<= )hello(?![a-z'])"), "yes")]
        ),
    ],
)
def test_a_tokenizer_with_other_rules_stays_what_it_is(tmp_path, rules):
    stock = Tokenizer(models.WordLevel({c: i for i, c in enumerate(["[UNK]", "[PAD]", *" abcdehlosy"])}, "[UNK]"))
    stock.normalizer, stock.pre_tokenizer = rules, pre_tokenizers.Split("", "isolated")
    stock.save(str(tmp_path / "tokenizer.json"))
    quick = read_tokenizer(tmp_path / "tokenizer.json")
    for text in (" abba  ", "é a hello, hello", "hello"):
        assert quick(text).input_ids == stock.encode(text).ids


def test_several_texts_at_once(both):
    quick, stock = both
    texts = ["One.", "Two and three.", "Frobnicate the widgets."]
    assert quick(texts).input_ids == stock(texts).input_ids
