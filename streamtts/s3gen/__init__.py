"""Speech tokens in, mel frames out, two per token, each handed out once it is final; called by `chunks.decoder`.

One file per context policy: `window` and `cached`; `full_attention` for one-shot decoding and policy `none`.
`cached` runs on `block_causal_torch` or `block_causal_onnx`, the latter over the graphs that `onnx_graphs` builds.
`flow`: what all of them need around the stock modules (noise, speaker embedding, relative positions).
"""
