"""Speech tokens -> mel frames, two a token, handed out once they are final.

Called by `chunks.decoder`. One file per context policy: `window` (and `none`), `cached`.
Open `onnx_graphs` and `block_causal_onnx` for how `cached` is made fast.
"""
