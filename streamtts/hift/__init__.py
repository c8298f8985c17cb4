"""Mel frames -> samples at 24 kHz, 480 a frame, equal to vocoding all at once.

Called by `chunks.decoder`. Open `stream` for the streaming vocoder, `fourier` for its fast convolutions on a CPU.
"""
