"""A checkpoint folder on disk -> weights inside the stock modules, in the number format that was asked for.

Called by `streamtts.load`, by the stages (`t3`, `s3gen`) for their graphs, and by `bench` and `doctor`.
Open `hub` for names and downloads, `architecture` for sizes, `weights` for reading, `precision` for the choice of a
number format, `quantize` for int8 and int4, `onnx_graph` for building onnxruntime graphs.
"""
