"""Sentences of T3's corpus: where texts are cut, what the teacher is given, how sentences are joined again."""

from __future__ import annotations

import glob

import numpy as np
import pytest

from streamtts.mini import phones
from streamtts.mini.sentence_texts import sentence_texts
from streamtts.mini.sentences import MOST_JOINED_UNITS, SILENT, Bank, split, spoken
from streamtts.mini.texts import FORTUNES, WORDNET, held_out_sentences, normal_form, varied_texts


def units_of(spelt: str) -> list[str]:
    return [unit for unit, _ in phones.spell(spelt)]


@pytest.mark.parametrize(
    ("spelt", "sentences"),
    [
        ("jˈɛs. nˈO.", ["jˈɛs.", " nˈO."]),
        ("hˈI", ["hˈI"]),
        ("hˈI!!! nˈO!.", ["hˈI!!!", " nˈO!."]),
        ("ʤˈA. ˈɑɹ. ˈɑɹ. tˈɔlkiən.", ["ʤˈA. ˈɑɹ. ˈɑɹ. tˈɔlkiən."]),  # initials
        ("stˈɛps, wˈʌn. mˈɪks ɪt.", ["stˈɛps, wˈʌn.", " mˈɪks ɪt."]),
        ("", []),
    ],
)
def test_a_text_is_cut_into_sentences(spelt, sentences):
    assert ["".join(s).strip() for s in split(units_of(spelt))] == [s.strip() for s in sentences]


def test_the_teacher_is_given_no_dots_of_initials_and_no_mark_twice():
    units = units_of("ʤˈA. ˈɑɹ. tˈɔlk!!")
    said, begins = spoken(units)
    assert said == "ʤˈA ˈɑɹ tˈɔlk!"
    assert len(begins) == len(units)
    dot, last = units.index("."), len(units) - 1
    assert begins[dot] == begins[dot + 1] and begins[last] == len(said)


def item(*numbers: int) -> tuple:
    """A sentence of these units, each three codes long, behind two of silence."""
    sounds = [phones.DETAILS * phones.phone_of(phones.UNITS[n]) + phones.SILENCE_DETAIL for n in numbers]
    index = [0, 0, *np.repeat(range(len(numbers)), 3)]
    return np.array(numbers), np.array([SILENT, SILENT, *np.repeat(sounds, 3)]), np.array(index)


def bank_of(*items: tuple) -> Bank:
    class Stored:
        def get(self, i, field):
            return items[i][("units", "sounds", "unit_index").index(field)]

    return Bank(Stored(), list(range(len(items))), np.random.default_rng(0))


SENTENCES = [item(*(phones.UNIT_ID[u] for u in units_of(s))) for s in ("jˈɛs.", "nˈO!", "ðə kˈæt slˈɛpt.", "hˈI")]


def test_joined_sentences_are_said_in_order_with_pauses_between():
    bank = bank_of(*SENTENCES)
    units, sounds, index = bank.joined([bank.items[0], bank.items[1]])
    assert [phones.UNITS[u] for u in units if u != phones.UNIT_ID["[UNK]"]][:4] == [" j", "ˈɛ", "s", "."]
    assert len(sounds) == len(index) and index[0] == 0 and index[-1] == len(units) - 1
    assert set(np.diff(index)) <= {0, 1}
    assert len(sounds) > len(bank.items[0][1]) + len(bank.items[1][1])


def test_every_text_has_a_code_for_each_unit_and_few_are_too_long():
    bank = bank_of(*SENTENCES)
    for _ in range(300):
        units, sounds, index = bank.text()
        assert len(sounds) == len(index)
        assert set(index) == set(range(len(units)))
        assert len(units) <= 1.3 * MOST_JOINED_UNITS
        assert phones.UNITS[units[0]] == " j" or units[0] in {i[0][0] for i in SENTENCES}


def test_texts_that_are_measured_are_not_trained_on():
    if not (glob.glob(WORDNET) and glob.glob(FORTUNES)):
        pytest.skip("the sentences come from the Debian packages wordnet-base and fortunes")
    apart = {normal_form(text) for text in held_out_sentences() + varied_texts()}
    assert not apart & {normal_form(text) for text in sentence_texts(plain=3000)}


def test_varied_texts_are_varied():
    texts = varied_texts()
    words = [len(text.split()) for text in texts]
    assert len(texts) == len(set(texts)) == 300
    assert min(words) == 1 and max(words) >= 40 and max(map(len, texts)) > 200
    assert sum(n <= 2 for n in words) >= 30 <= sum(n >= 25 for n in words)
