"""Part of each evaluation is scored a second time by Google's rouge-score, which shares no code with ours.

Tests compare the two on tens of thousands of texts; this compares them on the texts at hand, with the libraries that
are installed here. rouge-score takes more than a second to import, so only the job that evaluates loads this module.
"""

from __future__ import annotations

import random
from importlib.metadata import version

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from models_app.evaluation import rouge
from models_app.foundation.errors import GalleyError
from models_app.models import EvaluationRun, ExampleScore

SAMPLE = 20
TOLERANCE = 1e-9


class UnicodeWords(Tokenizer):
    """Our words in place of rouge-score's own, which are ASCII; what is counted of them stays its business."""

    def tokenize(self, text: str) -> list[str]:
        return rouge.unicode_words(text)


def scorer_for(words: str) -> RougeScorer:
    """With the settings of our metric: its stemmer, or words of any script."""
    names = list(rouge.METRICS)
    if words == rouge.UNICODE:
        return RougeScorer(names, tokenizer=UnicodeWords())
    return RougeScorer(names, use_stemmer=True)


class ScoresDiffer(GalleyError):
    code = "scores_differ"
    status = 500


def check_sample(run: EvaluationRun) -> None:
    """Scores 20 of the run's documents again, chosen by chance and the same ones each time. Raises ScoresDiffer."""
    scores = ExampleScore.objects.filter(run=run)
    scored = list(scores.order_by("example").values_list("pk", flat=True))
    chosen = random.Random(run.pk).sample(scored, min(SAMPLE, len(scored)))
    # as our metric: one sentence a line, the best of several references
    scorer = scorer_for(run.evaluation_set.words)
    for score in scores.filter(pk__in=chosen).select_related("example").order_by("example"):
        references = [rouge.as_lines(text) for text in score.example.texts]
        theirs = scorer.score_multi(references, rouge.as_lines(score.output))
        for metric in rouge.METRICS:
            _refuse_another_value(score, metric, float(theirs[metric].fmeasure))


def _refuse_another_value(score: ExampleScore, metric: str, theirs: float) -> None:
    ours = getattr(score, metric)
    if abs(ours - theirs) <= TOLERANCE:
        return
    raise ScoresDiffer(
        f"Document {score.example.position} of test set {score.example.evaluation_set_id} ({score.example.origin}) "
        f"has {metric} {ours!r} here, but {theirs!r} by rouge-score {version('rouge-score')}. One of them is wrong, "
        "so this evaluation ends without a result. Check that the installed libraries are those of requirements.txt, "
        "report the difference, and start a new evaluation once the cause is fixed: resuming this one keeps its scores."
    )
