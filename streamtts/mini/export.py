"""Stage export: trained parts -> a checkpoint folder in Turbo's own layout, fp16."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from ..checkpoint.architecture import Architecture
from .corpus import Part
from .features import mel80
from .flow import load_flow
from .phones import DETAILS, NO_TEXT, SILENCE, SILENCE_DETAIL, SOUNDS
from .speakers import build_speaker_encoder, xvector
from .t3 import stock_t3
from .trainer import load_part

PROMPT_TOKENS = 75  # of the built-in voice: 3 s
OTHER_FILES = (
    "tokenizer.json",
    "s3gen_meanflow.safetensors",
    "ve.safetensors",
    "conds.safetensors",
    "config.json",
)
NOT_SAVED = ("tokenizer._mel_filters", "tokenizer.window")  # S3Gen computes these


def _fp16(module: Any, without: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    state = {k: v for k, v in module.state_dict().items() if k not in without}
    return {k: (v.half() if v.is_floating_point() else v).contiguous().clone() for k, v in state.items()}


def trained_s3gen(work: Path, sizes: Architecture) -> Any:
    """S3Gen of these sizes with what has been trained; a speech tokenizer not yet trained stays random."""
    from ..checkpoint.architecture import build_s3gen

    torch.manual_seed(0)
    s3gen = build_s3gen(sizes.s3gen)
    if (work / "checkpoints" / "tokenizer.pt").exists():
        net = load_part(work, "tokenizer", "net")
        for part in ("encoder", "quantizer"):
            own = getattr(s3gen.tokenizer, part)
            own.load_state_dict({k[len(part) + 1 :]: v for k, v in net.items() if k.startswith(part + ".")})
    flow, _ = load_flow(work, sizes.s3gen)
    s3gen.flow.load_state_dict(flow.state_dict())
    vocoder = "adversarial" if (work / "checkpoints" / "adversarial.pt").exists() else "hift"
    s3gen.mel2wav.load_state_dict(load_part(work, vocoder, "net"))
    if (work / "checkpoints" / "pitch.pt").exists():
        s3gen.mel2wav.f0_predictor.load_state_dict(load_part(work, "pitch", "predictor"))
    s3gen.speaker_encoder.load_state_dict(build_speaker_encoder(sizes.s3gen).state_dict())
    return s3gen.eval()


def conditionals(
    part: Part, item: int, audio: str, s3gen: Any, voice_encoder: Any, prompt_tokens: int
) -> dict[str, torch.Tensor]:
    """A voice from one corpus utterance: its exact codes, its mel, its embeddings."""
    sounds = torch.from_numpy(part.get(item, "sounds", 0, PROMPT_TOKENS).astype(np.int64))[None]
    codes = sounds + NO_TEXT * SOUNDS
    wav = part.get(item, audio, 0, PROMPT_TOKENS) / np.float32(32768)
    mel = torch.from_numpy(mel80(wav))[None, : 2 * PROMPT_TOKENS]
    import librosa

    wav16 = librosa.resample(wav, orig_sr=24000, target_sr=16000)
    speaker = torch.from_numpy(voice_encoder.embeds_from_wavs([wav16], sample_rate=16000)).mean(0, keepdim=True)
    return {
        "t3.speaker_emb": speaker.float().contiguous(),
        "t3.cond_prompt_speech_tokens": codes[:, :prompt_tokens].int().contiguous(),
        "gen.prompt_token": codes.int().contiguous(),
        "gen.prompt_token_len": torch.tensor([codes.shape[1]], dtype=torch.int32),
        "gen.prompt_feat": mel.half().contiguous(),
        "gen.embedding": xvector(s3gen.speaker_encoder, wav).float().contiguous(),
    }


def export(work: Path, sizes: Architecture, out: Path, start: Path | None = None) -> None:
    """Write the checkpoint folder `out` from everything in `work`; all but T3 from the folder `start`, if given."""
    from ..checkpoint.architecture import build_voice_encoder
    from .text_tokenizer import built

    if sizes.silence_token % SOUNDS != SILENCE * DETAILS + SILENCE_DETAIL:
        raise ValueError(f"silence token {sizes.silence_token} is not the code of silence")
    out.mkdir(parents=True, exist_ok=True)
    save_file(_fp16(stock_t3(work, sizes.t3)), out / "t3_turbo_v1.safetensors")
    if start is not None:
        for name in OTHER_FILES:
            if start.resolve() != out.resolve():
                shutil.copyfile(start / name, out / name)
        return
    shutil.copyfile(built(work), out / "tokenizer.json")
    s3gen = trained_s3gen(work, sizes)
    torch.manual_seed(0)
    voice_encoder = build_voice_encoder(sizes.voice_encoder_size).eval()
    save_file(_fp16(s3gen, NOT_SAVED), out / "s3gen_meanflow.safetensors")
    save_file(_fp16(voice_encoder), out / "ve.safetensors")
    part = Part(work / "corpus", "speech")
    voice = next(i for i in range(len(part)) if part.items[i]["low"] and 80 <= part.items[i]["tokens"] <= 100)
    prompt = conditionals(part, voice, "audio", s3gen, voice_encoder, sizes.t3.prompt_tokens)
    save_file(prompt, out / "conds.safetensors")
    (out / "config.json").write_text(sizes.to_json() + "\n")
    import soundfile

    for name, audio in (("high", "audio"), ("low", "audio_low")):
        soundfile.write(work / f"voice_{name}.wav", part.get(voice, audio) / np.float32(32768), 24000)
    size = sum(f.stat().st_size for f in out.iterdir() if f.suffix in (".json", ".safetensors"))
    print(f"{out}: {size / 1e6:.1f} MB; prompt: {json.dumps(part.items[voice]['text'])}")
