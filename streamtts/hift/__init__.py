"""Mel frames in, samples at 24 kHz out, 480 per frame: the same samples as vocoding the whole utterance at once.

`loader` calls `prepare` once per checkpoint; `chunks.decoder` makes a `stream.HiftStream` per utterance.
Open `stream` for the network as a whole, `layers` for one layer, `source` for pitch, phase and noise, `fourier` for
the fast convolutions on a CPU.
"""
