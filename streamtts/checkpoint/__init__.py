"""A checkpoint folder on disk in, the stock modules with their weights in a number format out; called by `loader`.

`hub`: names and downloads; `architecture`: sizes and stock classes; `weights`, `tokenizer`: reading files.
`precision`: which number formats there are, and the choice; `int8`, `int4`: one format each; `quantize`: all weights of
a file in one; `tensor_cache`: kept for the next time.
`onnx_graph`, `kv_memory`, `thread_team`: what T3 and S3Gen both run on. `stock_logging`: silence for stock code.
"""
