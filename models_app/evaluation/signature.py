"""What scores an evaluation: two runs may be compared only if their signatures are equal.

Each part carries a version. Those of the code here are numbers that a person raises with a change that changes scores
(`sentences.VERSION`, `measures.VERSION`); tests pin what each version gives.
"""

from __future__ import annotations

from models_app.evaluation import rouge
from models_app.models import EvaluationSet
from models_app.texts import measures

SIGNATURE = f"{rouge.SIGNATURE}|measures-{measures.VERSION}"
_OF: dict[str, str] = {
    words: f"{signature}|measures-{measures.VERSION}" for words, signature in rouge.SIGNATURES.items()
}


def signature_of(evaluation_set: EvaluationSet) -> str:
    """Of an evaluation on this test set: it says which words ROUGE counts there, and where documents have several
    references."""
    signature = _OF[evaluation_set.words]
    if evaluation_set.most_references == 1:
        return signature
    return f"{signature}|references:best-of-up-to-{evaluation_set.most_references}"
