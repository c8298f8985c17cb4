"""``streamtts text``: what becomes of a text, and where each part came from."""

import io
import json

from streamtts.__main__ import main

TEXT = "Dr. Lee paid $5 [pause 1s] today.\n\nŁukasz left."


def test_it_shows_pieces_pauses_tokens_and_origins(capsys):
    assert main(["text", TEXT]) == 0
    shown = capsys.readouterr().out
    for part in (
        "1  Doctor Lee paid five dollars today.",
        "'Dr.' -> 'Doctor'",
        "'$5' -> 'five dollars'",
        "pause of 1000 ms after 'Doctor Lee paid five dollars'",
        "2  pause of 600 ms",
        "3  Lukasz left.",
        "'Łukasz' -> 'Lukasz'",
        "tokens: ",
    ):
        assert part in shown


def test_as_json_and_from_standard_input(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(TEXT))
    assert main(["text", "-", "--json"]) == 0
    first, pause, last = json.loads(capsys.readouterr().out)["steps"]
    assert first["written"] == TEXT[first["range"][0] : first["range"][1]] == TEXT.split("\n")[0]
    assert {(c["written"], c["said"]) for c in first["changed"]} == {("Dr.", "Doctor"), ("$5", "five dollars")}
    assert pause == {"pause_ms": 600}
    assert last["tokens"]


def test_as_written(capsys):
    assert main(["text", "It costs $5.", "--as-written"]) == 0
    assert "1  It costs $5." in capsys.readouterr().out


def test_an_empty_text_is_a_fault_in_one_line(capsys):
    assert main(["text", " "]) == 1
    assert "text_empty" in capsys.readouterr().err
