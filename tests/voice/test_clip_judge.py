"""What is wrong with a clip is said in a sentence each; the best ten seconds are taken."""

import made_clips as made
import numpy as np
import pytest

from streamtts import StreamTTSError
from streamtts.voice import judge_clip
from streamtts.voice.judge import best_part
from streamtts.voice.recording import Recording


def judged(samples):
    part, report = best_part(Recording(np.asarray(samples, np.float32), made.RATE))
    return part.samples, report


@pytest.mark.parametrize("name", ["heart", "heart-low"])
def test_a_clean_clip_is_used_as_it_is(name):
    used, report = judged(made.speech(name))
    assert np.array_equal(used, made.speech(name))
    assert (report.score, report.quality, report.faults) == (100, "good", ())
    assert report.pitch_hz == pytest.approx({"heart": 202, "heart-low": 120}[name], abs=3)


@pytest.mark.parametrize("before", made.BEFORE)
@pytest.mark.parametrize("after", [False, True])
def test_what_is_no_speech_is_left_out(before, after):
    parts = [made.BEFORE[before](), made.speech()]
    used, report = judged(np.concatenate(parts[::-1] if after else parts))
    assert report.seconds == pytest.approx(21.275)
    assert 10.5 < len(used) / made.RATE < 11.4
    assert report.pitch_hz == pytest.approx(120, abs=3)
    assert report.score == 100
    assert len(report.faults) == 1
    assert "of 21.3 s are no speech and are left out" in report.faults[0]
    begins = np.flatnonzero(np.abs(used) > 0.02)[0] - np.flatnonzero(np.abs(made.speech()) > 0.02)[0]
    assert abs(begins) < 0.5 * made.RATE


@pytest.mark.parametrize("before", made.BEFORE)
def test_what_has_no_speech_is_refused(before):
    with pytest.raises(StreamTTSError, match="holds no speech; give a recording of one speaker") as caught:
        judged(made.BEFORE[before]())
    assert caught.value.code == "bad_value"


def test_less_than_a_second_is_refused_and_three_are_not():
    with pytest.raises(StreamTTSError, match=r"holds only 0\.8 s of speech"):
        judged(made.speech()[12_000:31_200])
    report = judged(made.speech()[: 3 * made.RATE])[1]
    assert report.faults == ("Only 3.0 s of it can be used; 10 to 20 s are best.",)
    assert report.quality == "fair"


LOW, HIGH = made.speech(), made.speech("heart")
FAULTS = {
    "noise 20 dB": (made.noisy(LOW, 20), "Noise or music is only 20 dB below the voice"),
    "noise 5 dB": (made.noisy(LOW, 5), "Noise or music is only 6 dB below the voice"),
    "faint noise": (made.noisy(HIGH, 30), "Some noise, 34 dB below the voice"),
    "music behind it": (LOW + 0.2 * made.music(11.275), "Noise or music is only"),
    "clipped": (made.clipped(LOW, 3), "It is clipped"),
    "badly clipped": (made.clipped(HIGH, 12), "It is clipped"),
    "telephone": (made.telephone(LOW), "Nothing is heard above 4 kHz"),
    "room": (made.in_a_room(HIGH, 0.6), "The room can be heard"),
    "hall": (made.in_a_room(LOW, 1.0, 0.3), "The room can be heard"),
    "echo": (made.echoing(LOW, 0.2, 0.5), "There is an echo after 200 ms"),
    "far echo": (made.echoing(HIGH, 0.4, 0.4), "There is an echo after 400 ms"),
    "two speakers": (np.concatenate([HIGH[:120_000], LOW[120_000:]]), "There seem to be two speakers, at about 1"),
    "in turns": (
        np.concatenate([HIGH[:60_000], LOW[60_000:120_000], HIGH[120_000:180_000], LOW[180_000:]]),
        "There seem to be two speakers",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_no_other(fault):
    samples, sentence = FAULTS[fault]
    _, report = judged(samples)
    assert len(report.faults) == 1, report.faults
    assert report.faults[0].startswith(sentence)
    assert 0 <= report.score < 100
    assert report.quality != "good" or fault == "faint noise"


@pytest.mark.parametrize("gain", [1e-3, 0.1, 3.0])
def test_loudness_changes_nothing(gain):
    _, report = judged(gain * LOW)
    assert (report.score, report.faults) == (100, ())
    assert report.pitch_hz == pytest.approx(120, abs=3)


def test_the_best_ten_seconds_are_taken_and_one_speaker():
    used, report = judged(np.concatenate([made.noisy(HIGH, 15), made.clipped(HIGH, 10), LOW, made.noisy(HIGH, 10)]))
    assert report.score == 100
    assert report.pitch_hz == pytest.approx(120, abs=3)
    assert 10 <= len(used) / made.RATE < 12
    used, report = judged(np.concatenate([HIGH, LOW]))
    assert report.score == 100
    assert report.pitch_hz == pytest.approx(202, abs=5)


def test_of_a_long_clip_thirty_seconds_are_used_from_its_start():
    used, report = judged(np.tile(LOW, 3))
    assert report.used_seconds == 30
    assert np.array_equal(used[: 29 * made.RATE], np.tile(LOW, 3)[: 29 * made.RATE])


def test_a_file_or_its_bytes_are_judged_alike(tmp_path):
    (tmp_path / "in.m4a").write_bytes(made.encoded("m4a"))
    report = judge_clip(tmp_path / "in.m4a")
    assert report == judge_clip(made.encoded("m4a"))
    assert report.quality == "good"
    assert report.as_dict()["quality"] == "good"


def test_judging_leaves_pytorch_its_threads():
    import subprocess
    import sys

    code = (
        "import torch; torch.set_num_threads(3); import streamtts.voice as v; "
        f"v.judge_clip({str(made.SHIPPED / 'heart.wav')!r}); print(torch.get_num_threads())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "3"
