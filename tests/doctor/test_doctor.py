"""streamtts doctor on this very installation, and on ones with something wrong."""

from __future__ import annotations

import json
import subprocess
import sys

from streamtts.client import loudspeaker
from streamtts.doctor import examine as doctor
from streamtts.doctor.installed import read_lock


def test_doctor_finds_this_installation_able_to_speak(capsys):
    assert doctor.main(["--json"]) == 0
    findings = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["mini"]["state"] == "ok"
    assert "default" in findings["mini"]["found"]
    assert findings["watermarker"]["state"] == "ok"
    assert findings["chatterbox-tts"]["found"] == "0.1.7"
    assert {"cpu", "turbo", "nano", "browser", "audio player"} <= findings.keys()


def test_everything_not_ok_comes_with_what_to_do(capsys):
    doctor.main(["--json"])
    for finding in json.loads(capsys.readouterr().out):
        assert finding["state"] == "ok" or finding["advice"], finding


def test_a_version_other_than_the_pin_is_a_note(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("# comment\nwebsockets==1.0\nno-such-package==2.0\n")
    findings = {finding.name: finding for finding in doctor.packages(lock)}
    assert findings["websockets"].state == "note"
    assert "tested with 1.0" in findings["websockets"].found
    assert "websockets" in findings["requirements.lock"].found


def test_lock_markers_choose_the_pins_of_this_python(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==1.0 ; python_full_version < '3'\nnumpy==2.0 ; python_full_version >= '3'\n")
    assert read_lock(lock) == {"numpy": "2.0"}


def test_a_watermarker_that_cannot_be_imported_is_recognised_by_its_consequence():
    """Perth hides a None where its class should be."""
    block = "import sys; sys.modules['perth.perth_net.perth_net_implicit.model.perth_net'] = None"
    code = f"{block}; from streamtts.doctor import examine; print(examine.watermarker())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "state='fault'" in result.stdout
    assert "resemble-perth" in result.stdout


def test_a_torchaudio_of_another_build_is_named_and_the_other_checks_go_on(tmp_path):
    """What the CUDA build of torchaudio does beside a PyTorch for CPUs, whose libraries lack the one that it wants."""
    broken = "raise OSError('libtorch_cuda.so: cannot open shared object file: No such file or directory')"
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio" / "__init__.py").write_text(broken)
    (tmp_path / "torchaudio-2.11.1.dist-info").mkdir()
    (tmp_path / "torchaudio-2.11.1.dist-info" / "METADATA").write_text("Name: torchaudio\nVersion: 2.11.1\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import torch; torch.version.cuda = None;"
        "from streamtts.doctor import examine as e;"
        "print(*map(e.render, [e.torchaudio_build(), e.watermarker(), e.embedded_checkpoint()]), sep='\\n')"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    build, advice, watermarker, _, mini = shown.splitlines()[:5]
    assert build.split()[:4] == ["FAULT", "torchaudio", "torchaudio", "2.11.1"]
    assert "built for CPUs only" in build and "libtorch_cuda.so" in build
    assert "install both from the same index: pip install" in advice
    assert watermarker.split() == ["FAULT", "watermarker", "needs", "torchaudio"]
    assert mini.split()[0] == "FAULT" and "torchaudio 2.11.1 does not load" in mini


def test_a_checkpoint_in_the_hugging_face_cache_is_at_hand(tmp_path):
    repository, files = doctor.CACHED_CHECKPOINTS["turbo"]
    folder = tmp_path / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abc")
    for file in files:
        (snapshot / file).touch()
    code = "from streamtts.doctor.examine import cached_checkpoints; print([f.found for f in cached_checkpoints()])"
    result = subprocess.run(
        [sys.executable, "-c", code], env={"HF_HUB_CACHE": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert str(snapshot) in result.stdout
    assert "not in the Hugging Face cache" in result.stdout  # nano


def test_a_fault_is_shown_with_its_advice_below():
    text = doctor.render(doctor.Finding("Topic", "name", "fault", "broken", "mend it"))
    assert text.splitlines()[0].split() == ["FAULT", "name", "broken"]
    assert text.splitlines()[1].strip() == "-> mend it"


def test_doctor_looks_for_the_players_that_say_uses():
    assert (*loudspeaker._STREAMING, *loudspeaker._FILES) == doctor.PLAYERS


def test_a_checkpoint_is_tried_out_against_itself(capsys, tmp_path):
    wav, plot = tmp_path / "said.wav", tmp_path / "words.png"
    assert doctor.main(["--model", "mini", "--out", str(wav), "--words-plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    for line in ("loaded", "first audio", "RTF", "stages", "word times", "T3", "seams", "one-shot", "watermark"):
        assert f"\n{line}" in f"\n{shown}"
    assert "15 of 15 words placed by" in shown
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "FAULT" not in shown
    assert wav.stat().st_size > 48_000
