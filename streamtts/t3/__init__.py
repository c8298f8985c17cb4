"""Text and a voice -> speech tokens, one for every 40 ms of speech.

Called by `streamtts.generator`; `streamtts.loader` chooses how a step is computed.
Open `token_source` for all tokens of an utterance, `step` for the loop over one piece of text and its key/value cache,
`sampling` for the draw, `onnx_step` and `cuda_graph` for fast steps, `tail_guard` for noise after the last word,
`pauses` for `[pause 0.5s]`.
"""
