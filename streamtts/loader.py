"""A checkpoint folder -> a :class:`Model`: its configuration, the stock classes, the weights, the voices."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .checkpoint.architecture import NANO, Architecture, build_s3gen, build_t3, build_voice_encoder, restore_tables
from .checkpoint.device import choose_device
from .checkpoint.hub import MINI, OTHER_FILES, S3GEN_FILE, T3_FILES, engine_of, locate, missing_files, snapshot
from .checkpoint.int4 import Int4Quantizer
from .checkpoint.int8 import Int8Quantizer, replace_with_int8
from .checkpoint.loading_bar import loading_bar
from .checkpoint.precision import INTEGERS, Choice, Precision, choose, t3_dtype
from .checkpoint.quantize import is_large, large_linears, quantized_weights
from .checkpoint.stock_imports import import_stock
from .checkpoint.stock_logging import quiet
from .checkpoint.thread_team import without_team
from .checkpoint.tokenizer import tokenizer_of
from .checkpoint.weights import check_memory, init_empty_weights, load_weights
from .chunks.other_work import OtherWork
from .chunks.pace import Costs
from .errors import CheckpointError, StreamTTSError
from .hift.prepare import prepare_for_streams
from .hift.stream import lag_samples
from .s3gen.onnx_graphs import FlowGraphs
from .settings import SAMPLES_PER_TOKEN, Settings
from .t3.text_heads import TextHeads, cached_text_heads, find_text_heads
from .voice.clips import conditionals_of_clip, fingerprint, load_conditionals, name_of_clip
from .voice.conditionals import DEFAULT_VOICE, Voice, read_conditionals
from .voice.folder import VoiceFolder, unknown_voice, voices_folder
from .voice.judge import best_part
from .voice.recording import read_recording
from .voice.voice_list import VoiceEntry, list_voices

if TYPE_CHECKING:
    from .t3.step import Backbone

logger = logging.getLogger(__name__)

_MAX_SENT_VOICES = 8  # clips that came with requests, whose voices are kept; one takes some MB
_MAX_COSTS = 200  # combinations of settings whose costs are kept
_SMALL_WIDTH = 512  # below this T3 width one operation is too small to share between threads
# Prefixes of the names of the layers that run for every token; only these are rounded.
_T3_BLOCKS, _T3_HEAD, _S3GEN_STREAMING = "tfmr.h.", "speech_head", ("flow.encoder.", "flow.decoder.")
_ARCHITECTURES = dict(zip(T3_FILES, (Architecture(), NANO), strict=True))


@dataclass
class Model:
    """A loaded checkpoint. It holds no state of any utterance, so many streams may share it.

    Attributes:
        engine: Short name: ``mini``, ``turbo``, ``nano`` or the folder's name.
        device: Where it runs: ``cpu``, ``cuda:0`` or ``mps``.
        precision: Number format of the large weights, one of :func:`streamtts.checkpoint.precision.formats`.
        precision_reason: Why this format was chosen, in words.
        architecture: Sizes and sampling defaults.
        tts: The stock ``ChatterboxTurboTTS`` over the same modules: the reference for every comparison.
        gpt2: T3's transformer with an explicit key/value cache, over the same weights.
        vocoder_lag_tokens: Mel after a sample that HiFT needs to make it, in whole tokens.
        threads: PyTorch threads per stage on the CPU: one if an operation is too small to share.
        rtf: Real-time factor of the last utterance; None before the first.
        other_work: How busy other programs keep the cores.
        clips: Folder of the reference clips, each a voice besides the built-in one.
        t3_file: The file that T3's weights were read from.
    """

    engine: str
    device: str
    precision: str
    precision_reason: str
    architecture: Architecture
    tts: Any
    gpt2: Backbone
    vocoder_lag_tokens: int
    threads: int
    clips: VoiceFolder
    t3_file: Path
    rtf: float | None = None
    other_work: OtherWork = field(default_factory=OtherWork)
    _voices: dict[str, Voice] = field(default_factory=dict)
    _clip_voices: dict[str, tuple[tuple[int, int], Voice]] = field(default_factory=dict)  # by name: file state, voice
    _sent_voices: dict[str, Voice] = field(default_factory=dict)  # of clips that came with requests
    _costs: dict[tuple[Any, ...], Costs] = field(default_factory=dict)
    _fingerprint: str = ""
    _text_heads: list[TextHeads | None] = field(default_factory=list)  # empty until it is asked for
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def small(self) -> bool:
        """Whether the checkpoint is so small that its operations are not worth sharing between threads."""
        return _small(self.architecture)

    @property
    def voices(self) -> list[str]:
        """Names of all voices, the built-in one first. Clips added to the folder appear at once."""
        names = sorted({*self._voices, *self.clips.names()})
        return sorted(names, key=lambda name: name != DEFAULT_VOICE)

    def voice(self, name: str = DEFAULT_VOICE) -> Voice:
        """A voice by name. The first use of a clip computes its conditionals or reads them from the cache.

        Raises:
            StreamTTSError: ``voice_unknown``, its ``allowed`` lists the voices; ``bad_value`` for an unusable clip.
        """
        if name in self._voices:
            return self._voices[name]
        try:
            path = self.clips.path_of(name)
        except StreamTTSError:
            raise unknown_voice(name, self.voices) from None
        with self._lock:
            return self._clip_voice(name, path)

    def voice_of(self, clip: bytes) -> Voice:
        """The voice in the bytes of an audio file. The last few are kept in memory, none on disk.

        Raises:
            StreamTTSError: ``bad_value`` for an unusable clip.
        """
        name = name_of_clip(clip)
        with self._lock:
            voice = self._sent_voices.pop(name, None)
            if voice is None:
                part, _ = best_part(read_recording(clip))
                voice = self._voice(name, conditionals_of_clip(self.tts, part))
            self._sent_voices[name] = voice  # the latest stands last
            if len(self._sent_voices) > _MAX_SENT_VOICES:
                del self._sent_voices[next(iter(self._sent_voices))]
            return voice

    def voice_list(self, tags: Sequence[str] = (), *, known: bool = False) -> list[VoiceEntry]:
        """Each voice with its length, pitch, quality, and what it still costs; see :class:`VoiceEntry`.

        Args:
            tags: The sounds that the checkpoint knows by name.
            known: Judge no clip now; a clip that was not judged yet takes a second for a minute of audio.
        """
        checkpoint = str(self.t3_file.parent)
        return list_voices(self.clips, checkpoint, self.voices, engine=self.engine, tags=tags, known=known)

    def costs(self, settings: Settings) -> Costs:
        """Measured costs of the streams whose chunks cost the same as with these settings; streams add to them."""
        lookahead = settings.window_lookahead_tokens, settings.grown_lookahead_tokens
        context = settings.left_context_tokens, *lookahead, settings.prompt_seconds
        if len(self._costs) > _MAX_COSTS:  # clients may send any settings
            self._costs = {}
        return self._costs.setdefault((settings.policy, settings.flow_steps, settings.watermark, *context), Costs())

    def text_heads(self, voice: Voice) -> TextHeads | None:
        """The heads of T3 that follow the text; None if there are none. Found at the first call: T3 says a sentence."""
        with self._lock:
            if not self._text_heads:
                find = partial(find_text_heads, self.gpt2, self.tts.tokenizer, voice, self.architecture)
                self._text_heads.append(cached_text_heads(self.t3_file, self.gpt2.depth * self.gpt2.heads, find))
            return self._text_heads[0]

    def synchronise(self) -> None:
        """Wait until a CUDA GPU has finished this thread's work, so that stage times are right.

        It waits for the current stream only: while a thread records a CUDA graph, no other thread may wait for the
        whole device.
        """
        if self.device.startswith("cuda"):
            torch.cuda.current_stream(self.device).synchronize()

    def add_voice(self, name: str, conds: Any) -> Voice:
        """Add stock ``Conditionals`` as a voice; an earlier voice of that name is replaced."""
        self._voices[name] = self._voice(name, conds)
        return self._voices[name]

    def add_clip(self, clip: str | Path, name: str | None = None, *, replace: bool = False) -> Voice:
        """Copy an audio file into the voices folder and return it as a voice.

        Raises:
            StreamTTSError: As :meth:`streamtts.voice.folder.VoiceFolder.add`.
        """
        return self.voice(self.clips.add(clip, name, replace=replace))

    def _clip_voice(self, name: str, path: Path) -> Voice:
        state = path.stat().st_mtime_ns, path.stat().st_size
        known = self._clip_voices.get(name)
        if known and known[0] == state:
            return known[1]
        began = time.perf_counter()
        self._fingerprint = self._fingerprint or fingerprint(self.tts)
        conds, from_cache = load_conditionals(self.tts, path, self._fingerprint, self.engine)
        ms = (time.perf_counter() - began) * 1e3
        how = "read from the cache" if from_cache else "computed"
        logger.info("voice %s: conditionals %s in %.0f ms", name, how, ms)
        voice = self._voice(name, conds, made_ms=ms, from_cache=from_cache)
        self._clip_voices[name] = state, voice
        return voice

    def _voice(self, name: str, conds: Any, **made: Any) -> Voice:
        return Voice(name, conds.t3.to(dtype=self.tts.t3.tfmr.wpe.weight.dtype), conds.gen, **made)


def load(
    checkpoint: str | Path | None = None,
    device: str = "auto",
    *,
    precision: Precision = "auto",
    voices: str | Path | None = None,
    max_batch_size: int = 1,
) -> Model:
    """Load a checkpoint.

    Args:
        checkpoint: None or ``"mini"`` for the embedded demonstration checkpoint; ``"turbo"``, ``"nano"`` or a Hugging
            Face repository, downloaded if it is not in the cache; or a checkpoint folder, which needs no network.
        device: ``cpu``, ``cuda`` or ``mps``; ``auto`` takes the fastest available (the CPU for a small checkpoint).
        precision: Number format of the large weights. ``fp32`` is the reference. ``int8`` is for the CPU; ``int4`` is
            int8 with T3's blocks in 4 bits and its keys and values in 8. ``bf16`` and ``fp16`` apply to T3 only.
            ``auto`` takes int8 for a full-size checkpoint on a CPU that is faster with it, bf16 on a GPU that has
            it, and fp32 otherwise; it never takes int4. Everything else stays in float32.
        voices: Folder of clips; None: see :func:`streamtts.voice.folder.voices_folder`.
        max_batch_size: Utterances that T3 may speak in one pass over its weights, for a server. For ``int4`` only; in
            other formats utterances take turns. Above 1, the weights are rounded in blocks of 32 instead of 128.

    Raises:
        CheckpointError: No such folder or repository, no network, or a file is missing, damaged or of the wrong size.
        StreamTTSError: ``no_memory``; ``bad_value`` for a device or precision that is not available;
            ``watermarker_missing``.
    """
    if max_batch_size < 1:
        message = f"max_batch_size is {max_batch_size}; it must be 1 or more"
        raise StreamTTSError("bad_value", message, field="max_batch_size", allowed="1 or more")
    found = locate(checkpoint)
    engine, folder = (engine_of(found), snapshot(found)) if isinstance(found, str) else (found.resolve().name, found)
    t3_file, architecture = _identify(folder)
    device = choose_device(device, _small(architecture))
    chosen = without_team(partial(choose, precision, device, _small(architecture)), device)
    rounded = (_T3_BLOCKS, _T3_HEAD, *_S3GEN_STREAMING) if chosen.precision in INTEGERS else ()
    check_memory((folder / name for name in (t3_file, *OTHER_FILES)), quantized=partial(is_large, parts=rounded))
    clips = VoiceFolder(voices_folder() if voices is None else Path(voices).expanduser())
    with quiet(), loading_bar(engine, 4) as step:
        known = engine, folder, t3_file, architecture, device, chosen, clips, max_batch_size
        model = without_team(partial(_assemble, *known, step), device)
    logger.info("%s", describe(model))
    return model


def _identify(folder: Path) -> tuple[str, Architecture]:
    """Name of the folder's T3 file, and the sizes of that model."""
    missing = missing_files(folder)
    if missing:
        raise CheckpointError(f"{folder} is not a complete checkpoint: {', '.join(missing)} missing; fetch it again")
    t3_file = next(name for name in T3_FILES if (folder / name).exists())
    config = folder / "config.json"
    described = config.exists() and '"s3gen"' in config.read_text(errors="replace")
    return t3_file, Architecture.from_json(config) if described or folder == MINI else _ARCHITECTURES[t3_file]


def _assemble(
    engine: str,
    folder: Path,
    t3_file: str,
    architecture: Architecture,
    device: str,
    chosen: Choice,
    clips: VoiceFolder,
    max_batch_size: int,
    step: Callable[[str], None],
) -> Model:
    """Build the stock classes, fill in the weights, and put in what streams faster."""
    stock = import_stock()
    threads = 1 if _small(architecture) else os.cpu_count() or 1
    step("S3Gen and HiFT")
    with init_empty_weights():
        s3gen = build_s3gen(architecture.s3gen)
        ve = build_voice_encoder(architecture.voice_encoder_size)
    int8_parts = _S3GEN_STREAMING if chosen.precision in INTEGERS else ()
    layers, rounded = _load(s3gen, folder / S3GEN_FILE, int8_parts, optional=s3gen.ignore_state_dict_missing)
    load_weights(ve, folder / "ve.safetensors")
    with ThreadPoolExecutor(1) as beside:  # onnxruntime builds the graphs on one core
        graphs = None
        if _as_graphs(device, architecture, chosen.precision):
            graphs = beside.submit(FlowGraphs, s3gen.flow, rounded, threads)
        step("T3")
        gpt2 = _backbone(folder / t3_file, architecture, chosen.precision, device, threads, max_batch_size)
        step("graphs")
        if graphs:
            s3gen.flow.graphs = graphs.result()  # policy "cached" runs them
    t3 = gpt2.t3
    replace_with_int8(s3gen, layers, rounded)
    restore_tables(s3gen)
    for module in (t3, s3gen, ve):
        module.to(device).eval().requires_grad_(False)
    prepare_for_streams(s3gen.mel2wav, fourier=device == "cpu")
    step("tokenizer, voice and watermark")
    conds = read_conditionals(folder, device)
    with contextlib.redirect_stdout(io.StringIO()):  # the watermarker prints its version
        tts = stock.ChatterboxTurboTTS(t3, s3gen, ve, tokenizer_of(folder), device, conds=conds)
    lag_tokens = -(-lag_samples(s3gen.mel2wav) // SAMPLES_PER_TOKEN)
    model = Model(
        engine=engine,
        device=device,
        precision=chosen.precision,
        precision_reason=chosen.reason,
        architecture=architecture,
        tts=tts,
        gpt2=gpt2,
        vocoder_lag_tokens=lag_tokens,
        threads=threads,
        clips=clips,
        t3_file=folder / t3_file,
    )
    if conds is not None:
        model.add_voice(DEFAULT_VOICE, conds)
    return model


def _backbone(
    file: Path, architecture: Architecture, precision: str, device: str, threads: int, max_batch_size: int
) -> Backbone:
    """T3 in a number format.

    A full-size T3 in float32 or int8 runs in PyTorch, which reads the weights as fast as a graph would. A small T3
    spends most of a step on calling operators, two thirds of which an onnxruntime graph saves. A CUDA GPU runs CUDA
    graphs.
    """
    from .t3.batched_step import BLOCK_SIZE, BatchedGpt2
    from .t3.cuda_graph import CapturedGpt2
    from .t3.onnx_step import GraphGpt2, block_linears
    from .t3.step import Gpt2

    with init_empty_weights():
        t3 = build_t3(architecture.t3)
    unused = ["tfmr.wte.weight"]  # stock code drops it as well
    if precision != "int4":
        int8_parts = (_T3_BLOCKS, _T3_HEAD) if precision in INTEGERS else ()
        replace_with_int8(t3, *_load(t3, file, int8_parts, unused=unused, dtype=t3_dtype(precision)))
        if precision == "fp32" and _as_graphs(device, architecture, precision):
            return GraphGpt2(t3, file, threads)
        return CapturedGpt2(t3) if device.startswith("cuda") else Gpt2(t3)
    blocks = block_linears(t3)
    in_blocks = [f"{name}.weight" for name in blocks]
    layers, head = _load(t3, file, (_T3_HEAD,), optional=in_blocks, unused=[*unused, *in_blocks])
    replace_with_int8(t3, layers, head)
    if max_batch_size == 1:
        return GraphGpt2(t3, file, threads, head | quantized_weights(file, blocks, Int4Quantizer()))
    weights = head | quantized_weights(file, blocks, Int4Quantizer(BLOCK_SIZE))
    return BatchedGpt2(t3, file, threads, weights, max_batch_size)


def _load(
    module: torch.nn.Module,
    file: Path,
    int8_parts: Sequence[str],
    optional: Collection[str] = (),
    unused: Collection[str] = (),
    dtype: torch.dtype | None = None,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """:func:`load_weights`, all but the large layers of some parts; returns those layers and their int8 weights.

    Both are arguments of :func:`replace_with_int8`.
    """
    layers = large_linears(module, int8_parts) if int8_parts else {}
    large = {f"{name}.weight" for name in layers}
    load_weights(module, file, optional={*optional, *large}, unused={*unused, *large}, dtype=dtype)
    if not layers:
        return {}, {}
    return layers, quantized_weights(file, layers, Int8Quantizer())


def _as_graphs(device: str, architecture: Architecture, precision: str) -> bool:
    """Whether onnxruntime runs the streaming parts. Full-size float32 stays in PyTorch, as the reference.

    So does everything but int4 on a machine with a GPU where onnxruntime is not installed, for ``doctor --gpu``.
    """
    return device == "cpu" and (_small(architecture) or precision in INTEGERS) and find_spec("onnxruntime") is not None


def _small(architecture: Architecture) -> bool:
    return architecture.t3.hidden_size < _SMALL_WIDTH


def describe(model: Model) -> str:
    """The loaded model in one line."""
    sizes = model.architecture.t3
    more = "; load('turbo') downloads Chatterbox Turbo" if model.engine == "mini" else ""
    return (
        f"{model.engine} on {model.device}: T3 {sizes.layers} layers x {sizes.hidden_size} in {model.precision}, "
        f"voices {', '.join(model.voices) or 'none'}{more}"
    )
