"""Text tokens and a voice -> speech tokens, one every 40 ms of speech.

Called by `streamtts.generator`; `loader` chooses how a step is computed.
Open `step` for the loop and its key/value cache, `sampling` for the draw, `onnx_step` and `cuda_graph` for fast steps,
`tail_guard` for what T3 says after the last word.
"""
