"""The sizes mini is trained in; `export` writes them to the checkpoint's config.json."""

from ..checkpoint.architecture import Architecture, S3GenSizes, T3Sizes
from .phones import UNITS

MINI = Architecture(
    t3=T3Sizes(hidden_size=192, layers=4, heads=3, positions=1024, prompt_tokens=25, text_vocab=len(UNITS)),
    s3gen=S3GenSizes(
        encoder_size=192,
        encoder_heads=3,
        encoder_inner=512,
        encoder_blocks=2,
        encoder_up_blocks=2,
        estimator_channels=128,
        estimator_heads=2,
        estimator_blocks=1,
        estimator_mid_blocks=3,
        vocoder_channels=128,
        vocoder_kernels=(3, 7),
        vocoder_dilations=(1, 3),
        source_dilations=(1,),
        f0_channels=128,
        tokenizer_size=192,
        tokenizer_layers=2,
        xvector_channels=32,
        xvector_growth=4,
        xvector_bottleneck=2,
    ),
    voice_encoder_size=64,
    silence_token=4299,
    sampling={"temperature": 0.5, "top_k": 60, "top_p": 0.9, "repetition_penalty": 1.0},
)
