"""Stock code is imported without what streaming never uses, and whoever uses it later gets it."""

import subprocess
import sys

import torch

from streamtts.checkpoint.architecture import S3GenSizes, build_s3gen
from streamtts.checkpoint.stock_imports import import_stock
from streamtts.checkpoint.weights import init_empty_weights


def run(code: str) -> str:
    made = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


NEVER_USED = (
    "torch._dynamo", "numba", "librosa", "sklearn", "pkg_resources", "gradio", "sympy", "scipy.signal", "scipy.stats",
    "scipy.optimize", "httpx._main",
)  # fmt: skip


def test_speaking_imports_nothing_that_it_never_uses():
    code = f"""
import streamtts, sys
speech = streamtts.stream(streamtts.load(), "Hello there.").collect()
assert len(speech.samples) > 10_000
print([m for m in {NEVER_USED} if m in sys.modules])
"""
    assert run(code) == "[]"


def test_what_was_deferred_is_there_for_whoever_uses_it():
    code = """
from streamtts.checkpoint.stock_imports import import_stock
stock = import_stock()
import chatterbox.models.voice_encoder.voice_encoder as encoder, transformers.masking_utils as masking, torch
assert not isinstance(torch.zeros(1), masking.BlockMask)
print(len(encoder.librosa.resample(torch.zeros(480).numpy(), orig_sr=24_000, target_sr=16_000)))
import librosa, torch._dynamo, torch.utils.checkpoint
print(type(librosa).__name__, librosa.__name__, stock.librosa.filters.mel(sr=16_000, n_fft=400).shape)
mask = masking.create_block_mask(lambda b, h, q, k: q >= k, None, None, 128, 128, device="cpu")
print(isinstance(mask, masking.BlockMask), torch.compile is not None)
"""
    assert run(code).splitlines() == ["320", "module librosa (128, 201)", "True True"]


def test_filters_and_symbolic_shapes_are_there_after_a_model_was_loaded():
    code = """
import numpy, streamtts, torch
streamtts.load()
from perth.perth_net.perth_net_implicit.utils import butter_lowpass_filter
print(len(butter_lowpass_filter(numpy.zeros(480))))
from transformers.loss.loss_for_object_detection import linear_sum_assignment
print(linear_sum_assignment(numpy.eye(2))[1])
from torch.fx.experimental.symbolic_shapes import ShapeEnv
print(torch.ones(2, 2, device="meta").pow(2.0).shape, type(ShapeEnv().create_unbacked_symint()).__name__)
"""
    assert run(code).splitlines() == ["480", "[1 0]", "torch.Size([2, 2]) SymInt"]


def test_the_vocoders_window_is_scipys():
    from scipy.signal import get_window

    import_stock()
    with init_empty_weights():
        window = build_s3gen(S3GenSizes()).mel2wav.stft_window
    assert window.tolist() == get_window("hann", len(window), fftbins=True).astype("float32").tolist()


def test_the_watermarker_loads_without_pkg_resources_also_where_perth_was_imported_before():
    code = """
import sys
sys.modules["pkg_resources"] = None  # as with setuptools 81 and later
import perth
before = perth.PerthImplicitWatermarker
import streamtts
print(before, type(streamtts.load().tts.watermarker).__name__)
"""
    assert run(code) == "None PerthImplicitWatermarker"


def test_s3gen_is_the_one_that_its_own_constructor_makes():
    from chatterbox.models.s3gen import S3Gen

    with init_empty_weights():
        ours, stock = build_s3gen(S3GenSizes()), S3Gen(meanflow=True)
    assert [(n, tuple(p.shape)) for n, p in ours.state_dict().items()] == [
        (n, tuple(p.shape)) for n, p in stock.state_dict().items()
    ]
    kinds = [{name: type(m).__name__ for name, m in made.named_modules()} for made in (ours, stock)]
    assert kinds[0] == kinds[1]
    hidden = {name for name in vars(stock) if name not in vars(ours)}
    assert not hidden


def test_the_tables_of_the_speech_tokenizer_are_stocks():
    from chatterbox.models.s3tokenizer import S3Tokenizer

    stock = S3Tokenizer("speech_tokenizer_v2_25hz")
    ours = build_s3gen(S3GenSizes(tokenizer_size=64, tokenizer_layers=1)).tokenizer
    assert torch.equal(ours._mel_filters, stock._mel_filters)
    assert torch.equal(ours.window, stock.window)
