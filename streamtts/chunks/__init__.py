"""Speech tokens -> audio chunks.

Called by `streamtts.generator`; the server and the clients use `playback` only.
Open `schedule` for the length of chunks, `pace` for lengths that follow the machine's speed, `decoder` for tokens to
samples, `watermark` for the watermark and how long it holds audio back, `playback` for a player's buffer and gaps.
"""
