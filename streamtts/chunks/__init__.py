"""Speech tokens -> audio chunks: how many tokens each chunk has, and the decoder of one utterance.

Called by `streamtts.generator`. Open `schedule` for the length of chunks, `pace` for chunks that follow the machine's
speed, `decoder` for tokens to samples, `pauses` for silence, `watermark` for the mark and what it holds back,
`playback` for what a player would hear.
"""
