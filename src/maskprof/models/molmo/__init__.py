"""Molmo 0924 (MolmoE-1B, Molmo-7B-D, Molmo-7B-O, Molmo-72B) without remote code.

Importing this registers `MolmoConfig`, `MolmoModel` and `MolmoForCausalLM` with transformers' Auto classes under
the model type that the published checkpoints name, "molmo".
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText

from maskprof.models.molmo.causal_lm import MolmoForCausalLM
from maskprof.models.molmo.config import MODEL_TYPE, MolmoConfig, MolmoVisionConfig
from maskprof.models.molmo.model import MolmoModel
from maskprof.models.molmo.names import register_conversions

__all__ = ["MolmoConfig", "MolmoForCausalLM", "MolmoModel", "MolmoVisionConfig"]

AutoConfig.register(MODEL_TYPE, MolmoConfig, exist_ok=True)
AutoModel.register(MolmoConfig, MolmoModel, exist_ok=True)
AutoModelForCausalLM.register(MolmoConfig, MolmoForCausalLM, exist_ok=True)
AutoModelForImageTextToText.register(MolmoConfig, MolmoForCausalLM, exist_ok=True)
register_conversions()
