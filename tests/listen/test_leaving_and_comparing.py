"""What happens when a client leaves; two servers side by side; several clients; the HTML report."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from speech_servers import Answer, chunks, good, http_server, say

from streamtts.__main__ import main
from streamtts.listen.run import LONG

LINE = "next client in time when one leaves"


def paced(text: str) -> Answer:
    """The first chunk at once, the others slowly; a long text takes 2 s."""
    parts = chunks(say(text))
    wait = 2.0 / len(parts) if text == LONG else 0.0
    return Answer([(wait * (k > 0), data) for k, (_, data) in enumerate(parts)])


@pytest.fixture
def texts(tmp_path: Path) -> str:
    path = tmp_path / "texts.txt"
    path.write_text("The ferry leaves at half past six.\nCould you tell me where the nearest pharmacy is?")
    return str(path)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_server_that_goes_on_speaking_to_nobody_is_found(
    goes_on: bool, texts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with http_server(paced, goes_on=goes_on, one_at_a_time=True) as url:
        code = main(["listen", url, "--texts", texts, "--no-ears"])
    shown = capsys.readouterr().out
    assert code == (" fault" in shown)  # chance may lay a join on a plosive
    assert re.search(f"{LINE} +{'fault' if goes_on else 'good'}", shown)
    assert ("went on speaking to nobody" in shown) is goes_on


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="on Python 3.14 nest_asyncio loses the current task, and asyncio.timeout raises"
)
def test_it_listens_and_leaves_in_a_notebook_where_nest_asyncio_has_patched_asyncio(texts: str) -> None:
    cell = """
import asyncio, sys, nest_asyncio
loop = asyncio.new_event_loop()
nest_asyncio.apply(loop)
from streamtts.listen import listen
from streamtts.listen.dialects import Asked
(server,) = loop.run_until_complete(listen([(sys.argv[1], Asked())], open(sys.argv[2]).readlines(), ears=False))
print(server.leaving.outcome, [answer.received.fault for answer in server.answers])
"""
    with http_server(paced, one_at_a_time=True) as url:
        ended = subprocess.run([sys.executable, "-c", cell, url, texts], capture_output=True, text=True, timeout=120)
    assert (ended.stdout, ended.stderr) == ("good ['', '']\n", "")


def test_two_servers_are_asked_in_turns_and_stand_side_by_side(
    texts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, str]] = []

    def noting(name: str, behaviour):
        def answer(text: str) -> Answer:
            asked.append((name, text))
            return behaviour(text)

        return answer

    def cut(text: str) -> Answer:
        x = say(text)
        return Answer(chunks(x[: len(x) // 2]))

    out = tmp_path / "report.json"
    with http_server(noting("a", good)) as a, http_server(noting("b", cut)) as b:
        main(["listen", a, "--compare", b, "--texts", texts, "--rounds", "2", "--no-ears", "--json", str(out)])
    first = [name for name, text in asked if text != LONG][:8]
    assert "".join(first) == "abbaabba"
    one, other = json.loads(out.read_text())["servers"]
    assert one["figures"]["first_audio_p50_ms"] > 0 and len(one["answers"]) == len(other["answers"]) == 4
    assert other["answers"][0]["audio_s"] == pytest.approx(one["answers"][0]["audio_s"] / 2, abs=0.01)
    assert a in (head := capsys.readouterr().out.splitlines()[0]) and b in head


def test_several_clients_ask_at_the_same_time(texts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.json"
    with http_server(good) as url:
        code = main(["listen", url, "--texts", texts, "--clients", "3", "--no-ears", "--json", str(out)])
    (server,) = json.loads(out.read_text())["servers"]
    assert code == any(check["outcome"] == "fault" for check in server["checks"].values())
    assert len(server["answers"]) == 6 and all(answer["audio_s"] > 1 for answer in server["answers"])
    assert server["figures"]["audio_s_per_s"] > 0
    assert "audio seconds per second" in capsys.readouterr().out


def test_the_report_is_one_file_with_players_figures_and_faults(texts: str, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    with http_server(good) as url, http_server(lambda text: Answer(status=500)) as broken:
        main(["listen", url, "--compare", broken, "--texts", texts, "--no-ears", "--html", str(out)])
    page = out.read_text()
    assert page.count("<audio ") == 2 and page.count("data:audio/wav;base64,") == 2
    assert page.count("<picture>") == 3  # arrivals, the waveform, joins from near
    assert "it answered with status 500" in page and "no audio" in page
    assert not re.search(r"(src|href|srcset)='(?!data:)", page)
