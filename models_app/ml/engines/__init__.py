"""What writes summaries: leading sentences, transformers, or CTranslate2 on a converted model.

An engine holds one model and is safe to call from several threads. What it writes for a request does not depend on
which other requests are generated with it. A process that serves with CTranslate2 never imports torch, which would
cost it 230 MB and three seconds.
"""

from __future__ import annotations

from models_app.ml.engines.ctranslate2 import TOKENIZER, CTranslate2Engine
from models_app.ml.engines.engine import Capacity, Engine, Generation, GenerationRequest
from models_app.ml.engines.lead import LeadEngine
from models_app.ml.engines.loading import Backend, load_engine
from models_app.ml.engines.model import Written
from models_app.ml.engines.transformers import TransformersEngine

__all__ = [
    "TOKENIZER",
    "Backend",
    "CTranslate2Engine",
    "Capacity",
    "Engine",
    "Generation",
    "GenerationRequest",
    "LeadEngine",
    "TransformersEngine",
    "Written",
    "load_engine",
]
