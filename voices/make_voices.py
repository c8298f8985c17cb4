"""Make voices/*.wav: two sentences by hibari-tts, and the same speech from a longer vocal tract."""

from pathlib import Path

import numpy as np
from hibari import Hibari, dsp

from streamtts.audio import write_wav
from streamtts.mini.corpus import LOW_VOICE, lower_voice

TEXT = (
    "I keep the window open in the evening, so that I can hear the rain before it reaches the garden. "
    "By the time it stops, the kettle has boiled, and the whole street smells of wet leaves."
)
FOLDER = Path(__file__).parent
PAUSE = np.zeros(6_000, np.float32)  # between the sentences, 0.25 s


def main() -> None:
    hibari = Hibari(threads=1)
    speech: dict[str, list[np.ndarray]] = {"heart": [], "heart-low": []}
    for phonemes in hibari.phonemize(TEXT):
        feed = {"ids": np.asarray([hibari.ids(phonemes)], np.int64), "speed": np.ones(1, np.float32)}
        parts = [output[0] for output in hibari.sess.run(None, feed)]
        for name, change in (("heart", list), ("heart-low", lambda p: lower_voice(p, **LOW_VOICE))):
            speech[name] += [dsp.synth(*change([p.copy() for p in parts]), np.random.default_rng(1)), PAUSE]
    FOLDER.mkdir(exist_ok=True)
    for name, pieces in speech.items():
        samples = np.concatenate(pieces[:-1]).astype(np.float32)
        write_wav(FOLDER / f"{name}.wav", samples * (0.7 / np.abs(samples).max()))


if __name__ == "__main__":
    main()
