"""Captioning models from the package `transformers`, in the sizes that people download, with random weights."""

from typing import Any

import numpy as np
import torch
import transformers

_SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def blip(small: bool) -> tuple[Any, int]:
    """BLIP-base (Li et al. 2022, arXiv:2201.12086), and the side of its pictures in pixels."""
    text, vision = ({**_SMALL, "encoder_hidden_size": 16}, {**_SMALL, "image_size": 32}) if small else ({}, {})
    config = transformers.BlipConfig(text_config=text, vision_config={"image_size": 384} | vision)
    return transformers.BlipForConditionalGeneration(config).eval(), config.vision_config.image_size


def vit_gpt2(small: bool) -> tuple[Any, int]:
    """ViT-base and GPT-2 with cross-attention, as in `nlpconnect/vit-gpt2-image-captioning`, and the side, as above."""
    vision, text = ({**_SMALL, "image_size": 32}, {"n_embd": 16, "n_layer": 1, "n_head": 2}) if small else ({}, {})
    text = transformers.GPT2Config(is_decoder=True, add_cross_attention=True, **text)
    vision = transformers.ViTConfig(**vision)
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(vision, text)
    model = transformers.VisionEncoderDecoderModel(config=config).eval()
    model.generation_config.decoder_start_token_id = model.generation_config.pad_token_id = text.bos_token_id
    model.generation_config.eos_token_id = text.eos_token_id
    return model, config.encoder.image_size


MODELS = {"blip": blip, "vit_gpt2": vit_gpt2}


def describe(model: Any, pictures: np.ndarray, beams: int, words: int) -> torch.Tensor:
    """The tokens of captions with exactly `words` tokens each, for pictures, uint8 (n, side, side, 3)."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        return model.generate(pixel_values=pixels, num_beams=beams, min_new_tokens=words, max_new_tokens=words)
