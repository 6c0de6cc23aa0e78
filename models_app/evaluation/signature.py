"""What scores an evaluation: two runs may be compared only if their signatures are equal.

Each part carries a version. Those of the code here are numbers that a person raises with a change that changes scores
(`sentences.VERSION`, `measures.VERSION`); tests pin what each version gives.
"""

from __future__ import annotations

from models_app.evaluation import measures, rouge

SIGNATURE = f"{rouge.SIGNATURE}|measures-{measures.VERSION}"
