"""Figures over everybody's answers to gold items."""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection

# What counts is the revision that was submitted first.
_RESULTS = """
WITH first AS (
  SELECT DISTINCT ON (review.id) review.reviewer_id, revision.data, gold.ratings, gold.stars, gold.verdict,
         gold.tolerance
    FROM reviews_goldanswer gold
    JOIN reviews_review review ON review.summary_id = gold.summary_id AND review.state = 'submitted'
    JOIN reviews_queueitem item ON item.id = review.item_id AND item.reason = 'gold item'
    JOIN reviews_reviewrevision revision ON revision.review_id = review.id
   WHERE gold.active AND (%(reviewer)s::int IS NULL OR review.reviewer_id = %(reviewer)s)
   ORDER BY review.id, revision.number
), judged AS (
  SELECT reviewer_id, given.key, abs(given.value::int - (ratings->>given.key)::int) <= tolerance AS holds
    FROM first, jsonb_each_text(data->'ratings') given
   WHERE ratings ? given.key
   UNION ALL
  SELECT reviewer_id, 'stars', abs((data->>'stars')::int - stars) <= tolerance FROM first
   UNION ALL
  SELECT reviewer_id, 'verdict',
         abs(array_position(ARRAY['poor', 'fair', 'good'], data->>'verdict')
             - array_position(ARRAY['poor', 'fair', 'good'], verdict::text)) <= least(tolerance, 1)
    FROM first
)
SELECT reviewer_id, key, count(*) FILTER (WHERE holds), count(*) FROM judged GROUP BY reviewer_id, key
"""


class GoldFigures(NamedTuple):
    reviewer: int
    question: str
    right: int
    answers: int


def gold_figures(*, reviewer: int | None = None) -> list[GoldFigures]:
    """How many answers to active gold items are right, as `gold.judge` judges a single one; of this reviewer, or of
    all. Read by the ORM and judged here, 2,000 answers took 130 ms of CPU and 10,000 took 620, beside 0.7 now: a page
    waits for it (`benchmarks/agreement_speed.py`, /agreement/gold/)."""
    with connection.cursor() as cursor:
        cursor.execute(_RESULTS, {"reviewer": reviewer})
        return [GoldFigures(*row) for row in cursor.fetchall()]
