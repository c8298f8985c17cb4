"""Sizes of a checkpoint, and the stock classes built to them.

Chatterbox Turbo, Nano and the embedded mini are one architecture: they differ in these numbers and in their weights.
The stock classes fix some sizes inside; those attributes are replaced after construction, here and nowhere else.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..settings import SAMPLES_PER_FRAME


@dataclass(frozen=True)
class T3Sizes:
    """The text-to-token transformer (GPT-2 backbone)."""

    hidden_size: int = 1024
    layers: int = 24
    heads: int = 16
    positions: int = 8196
    prompt_tokens: int = 375  # of the voice prompt, before the text
    text_vocab: int = 50276


@dataclass(frozen=True)
class S3GenSizes:
    """Token encoder, mean-flow estimator and HiFT vocoder."""

    encoder_size: int = 512
    encoder_heads: int = 8
    encoder_inner: int = 2048
    encoder_blocks: int = 6
    encoder_up_blocks: int = 4
    estimator_channels: int = 256
    estimator_heads: int = 8
    estimator_blocks: int = 4
    estimator_mid_blocks: int = 12
    vocoder_channels: int = 512
    vocoder_kernels: tuple[int, ...] = (3, 7, 11)
    vocoder_dilations: tuple[int, ...] = (1, 3, 5)
    source_dilations: tuple[int, ...] = (1, 3, 5)
    f0_channels: int = 512
    tokenizer_size: int = 1280
    tokenizer_layers: int = 6
    xvector_channels: int = 128
    xvector_growth: int = 32
    xvector_bottleneck: int = 4


PIECE_CHARS = 220  # Turbo garbles longer than some 300 characters; pieces stay well below that


@dataclass(frozen=True)
class Architecture:
    """All sizes of a checkpoint, and the sampling defaults that belong to its weights."""

    t3: T3Sizes = field(default_factory=T3Sizes)
    s3gen: S3GenSizes = field(default_factory=S3GenSizes)
    voice_encoder_size: int = 256
    silence_token: int = 4299  # a speech token that decodes to silence
    piece_chars: int = PIECE_CHARS  # longest text that T3 says whole; longer ones are split
    sampling: dict[str, float] = field(
        default_factory=lambda: {"temperature": 0.8, "top_k": 1000, "top_p": 0.95, "repetition_penalty": 1.2}
    )

    @classmethod
    def from_json(cls, path: Path) -> Architecture:
        """Sizes from a checkpoint's ``config.json``; a size that it does not name is Turbo's.

        Raises:
            CheckpointError: The file is not JSON or names a size that does not exist.
        """
        try:
            raw = json.loads(path.read_text())
            lists = {k: tuple(v) for k, v in raw.get("s3gen", {}).items() if isinstance(v, list)}
            return cls(
                t3=T3Sizes(**raw.get("t3", {})),
                s3gen=S3GenSizes(**{**raw.get("s3gen", {}), **lists}),
                **{k: v for k, v in raw.items() if k not in ("t3", "s3gen")},
            )
        except (ValueError, TypeError, AttributeError) as e:
            raise CheckpointError(f"{path} does not describe a checkpoint: {e}") from e

    def to_json(self) -> str:
        """The text of a ``config.json``."""
        return json.dumps(dataclasses.asdict(self), indent=1)


NANO = Architecture(t3=T3Sizes(hidden_size=768, layers=12, heads=12))


def build_t3(sizes: T3Sizes) -> Any:
    """Stock ``T3`` with a GPT-2 backbone of these sizes."""
    from chatterbox.models.t3 import T3, llama_configs
    from chatterbox.models.t3.modules.t3_config import T3Config

    name = f"GPT2_{sizes.layers}x{sizes.hidden_size}x{sizes.positions}"
    llama_configs.LLAMA_CONFIGS[name] = {
        **llama_configs.LLAMA_CONFIGS["GPT2_medium"],
        "n_embd": sizes.hidden_size,
        "hidden_size": sizes.hidden_size,
        "n_layer": sizes.layers,
        "n_head": sizes.heads,
        "n_positions": sizes.positions,
        "n_ctx": sizes.positions,
        "vocab_size": 8,  # GPT-2's own table is never used: T3 brings its embeddings
    }
    hp = T3Config(text_tokens_dict_size=sizes.text_vocab)
    hp.llama_config_name = name
    hp.speech_tokens_dict_size = 6563
    hp.input_pos_emb = None
    hp.speech_cond_prompt_len = sizes.prompt_tokens
    hp.use_perceiver_resampler = False
    hp.emotion_adv = False
    t3 = T3(hp)
    del t3.tfmr.wte
    return t3


def build_s3gen(sizes: S3GenSizes) -> Any:
    """Stock ``S3Gen`` (mean flow) whose parts have these sizes.

    Its own constructor makes all parts in Turbo's size, and imports librosa for one table; so it is not called.
    """
    import torch
    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.s3gen.utils.mel import mel_spectrogram
    from chatterbox.models.s3gen.xvector import CAMPPlus

    s3gen = S3Gen.__new__(S3Gen)
    torch.nn.Module.__init__(s3gen)
    s3gen.meanflow, s3gen.mel_extractor, s3gen.resamplers, s3gen.estimator_dtype = True, mel_spectrogram, {}, "fp32"
    s3gen.tokenizer = _build_speech_tokenizer(sizes.tokenizer_size, sizes.tokenizer_layers)
    s3gen.speaker_encoder = CAMPPlus(
        memory_efficient=False,
        init_channels=sizes.xvector_channels,
        growth_rate=sizes.xvector_growth,
        bn_size=sizes.xvector_bottleneck,
    )
    s3gen.flow = build_flow(sizes)
    s3gen.mel2wav = build_hift(sizes)
    s3gen.register_buffer("trim_fade", _trim_fade(), persistent=False)
    return s3gen


def _build_speech_tokenizer(size: int, layers: int) -> Any:
    """Stock ``S3Tokenizer`` of this width and depth."""
    import torch
    from chatterbox.models.s3tokenizer import S3Tokenizer
    from s3tokenizer.model_v2 import ModelConfig, S3TokenizerV2
    from s3tokenizer.utils import _mel_filters  # stock code computes the same table by librosa

    tokenizer = S3Tokenizer.__new__(S3Tokenizer)
    config = ModelConfig(n_audio_state=size, n_audio_head=size // 64, n_audio_layer=layers)
    S3TokenizerV2.__init__(tokenizer, "speech_tokenizer_v2_25hz", config)
    tokenizer.n_fft = 400
    tokenizer.register_buffer("_mel_filters", _mel_filters(torch.device("cpu"), config.n_mels).clone())
    tokenizer.register_buffer("window", torch.hann_window(tokenizer.n_fft, device="cpu"))
    return tokenizer


def _trim_fade() -> Any:
    """Silence and a fade-in of 20 ms each, as stock S3Gen puts them before its audio."""
    import torch

    n = SAMPLES_PER_FRAME
    fade = torch.zeros(2 * n)
    fade[n:] = (torch.cos(torch.linspace(torch.pi, 0, n)) + 1) / 2
    return fade


def restore_tables(s3gen: Any) -> None:
    """Compute the tables that stock S3Gen makes at construction; no checkpoint holds them."""
    import torch
    from s3tokenizer.model_v2 import precompute_freqs_cis

    s3gen.trim_fade = _trim_fade()
    if s3gen.tokenizer.window.is_meta:
        s3gen.tokenizer.window = torch.hann_window(s3gen.tokenizer.n_fft)
    s3gen.tokenizer.encoder.freqs_cis = precompute_freqs_cis(64, 1024 * 2)
    for embed in (s3gen.flow.encoder.embed, s3gen.flow.encoder.up_embed):
        embed.pos_enc.pe = None
        embed.pos_enc.extend_pe(torch.zeros(1, 5000))


def build_flow(sizes: S3GenSizes) -> Any:
    """Stock flow: conformer encoder and mean-flow estimator."""
    from chatterbox.models.s3gen.configs import CFM_PARAMS
    from chatterbox.models.s3gen.decoder import ConditionalDecoder
    from chatterbox.models.s3gen.flow import CausalMaskedDiffWithXvec
    from chatterbox.models.s3gen.flow_matching import CausalConditionalCFM
    from chatterbox.models.s3gen.transformer.upsample_encoder import (
        PreLookaheadLayer,
        Upsample1D,
        UpsampleConformerEncoder,
    )

    width = sizes.encoder_size
    encoder = UpsampleConformerEncoder(
        input_size=width,
        output_size=width,
        attention_heads=sizes.encoder_heads,
        linear_units=sizes.encoder_inner,
        num_blocks=sizes.encoder_blocks,
    )
    encoder.pre_lookahead_layer = PreLookaheadLayer(width, 3)
    encoder.up_layer = Upsample1D(width, width, 2)
    encoder.up_encoders = encoder.up_encoders[: sizes.encoder_up_blocks]
    estimator = ConditionalDecoder(
        in_channels=320,
        out_channels=80,
        causal=True,
        channels=[sizes.estimator_channels],
        dropout=0.0,
        attention_head_dim=64,
        n_blocks=sizes.estimator_blocks,
        num_mid_blocks=sizes.estimator_mid_blocks,
        num_heads=sizes.estimator_heads,
        act_fn="gelu",
        meanflow=True,
    )
    decoder = CausalConditionalCFM(spk_emb_dim=80, cfm_params=CFM_PARAMS, estimator=estimator)
    return CausalMaskedDiffWithXvec(input_size=width, encoder=encoder, decoder=decoder)


def build_hift(sizes: S3GenSizes) -> Any:
    """Stock HiFT vocoder; the up-sampling rates are the family's."""
    from chatterbox.models.s3gen.f0_predictor import ConvRNNF0Predictor
    from chatterbox.models.s3gen.hifigan import HiFTGenerator

    return HiFTGenerator(
        base_channels=sizes.vocoder_channels,
        sampling_rate=24_000,
        upsample_rates=[8, 5, 3],
        upsample_kernel_sizes=[16, 11, 7],
        resblock_kernel_sizes=list(sizes.vocoder_kernels),
        resblock_dilation_sizes=[list(sizes.vocoder_dilations)] * len(sizes.vocoder_kernels),
        source_resblock_kernel_sizes=[7, 7, 11],
        source_resblock_dilation_sizes=[list(sizes.source_dilations)] * 3,
        f0_predictor=ConvRNNF0Predictor(cond_channels=sizes.f0_channels),
    )


def build_voice_encoder(hidden_size: int) -> Any:
    """Stock ``VoiceEncoder`` of this width."""
    from chatterbox.models.voice_encoder import VoiceEncoder
    from chatterbox.models.voice_encoder.config import VoiceEncConfig

    return VoiceEncoder(type("Config", (VoiceEncConfig,), {"ve_hidden_size": hidden_size})())
