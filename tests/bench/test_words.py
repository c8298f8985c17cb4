"""``streamtts bench --words`` counts what was lost and doubled, and says what it could not know."""

import json

import pytest

from streamtts import Settings, StreamTTSError
from streamtts.__main__ import main
from streamtts.bench.words import Words, count, speak, table
from streamtts.text.word_errors import WordErrors

TEXT = "The train to the city leaves in ten minutes."


def test_a_sentence_that_is_said_whole_loses_nothing(model):
    assert count(model, TEXT, *speak(model, TEXT, Settings())) == Words(utterances=1, words=9)


def test_what_was_cut_off_is_lost_and_the_stats_say_so(model):
    tokens, said = speak(model, TEXT, Settings(max_tokens=25))
    found = count(model, TEXT, tokens, said)
    assert found.lost >= 4
    assert (found.faulty, found.unreported) == (1, 0)
    assert said.complete is False
    assert " ".join(said.missing).endswith("in ten minutes.")


def test_a_loss_that_the_stats_do_not_tell_is_counted(model):
    tokens, said = speak(model, TEXT, Settings(max_tokens=25, early_stop_guard=False))
    assert said.complete is None
    found = count(model, TEXT, tokens, said)
    assert (found.faulty, found.unreported) == (1, 1)


def test_the_table_adds_up_and_says_what_was_not_measured():
    one = Words(1, 9, lost=2, faulty=1, heard=WordErrors(1, 9))
    shown = table([("mini, fp32, cached", one + Words(3, 20))])
    assert shown.splitlines()[-1] == "| mini, fp32, cached | 4 | 29 | 2 | 0 | 1 (25.0 %) | 0 | 1 of 9, 11.1 % | - |"


def test_the_teacher_of_mini_is_heard_beside_it(capsys, tmp_path):
    pytest.importorskip("hibari")
    texts = tmp_path / "texts.txt"
    texts.write_text("Lighthouse.\nThe door is open.\n")
    assert main(["bench", "--words", str(texts), "--seeds", "1", "--policies", "cached", "--hear"]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| mini")]
    assert shown[0] == "| mini's teacher | 2 | - | - | - | - | - | 0 of 5, 0.0 % | 0 of 1, 0.0 % |"
    assert len(shown) == 2


def test_the_command_prints_a_row_a_policy_and_writes_them(tmp_path, capsys):
    texts, out = tmp_path / "texts.txt", tmp_path / "words.json"
    texts.write_text("Good morning.\n\nThe door is open.\n")
    arguments = ["bench", "--words", str(texts), "--seeds", "1", "--policies", "window", "cached", "--json", str(out)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "mini, fp32, window" in shown
    assert "mini, fp32, cached" in shown
    assert json.loads(out.read_text())["mini, fp32, cached"]["words"] == 6


def test_a_list_without_a_text_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(StreamTTSError, match="holds no text; give one text a line"):
        from streamtts.bench.command import main as bench

        bench(["--words", str(tmp_path / "empty.txt")])
