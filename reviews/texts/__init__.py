"""Pure functions of texts: spans, sentences and what supports them, marked errors, single changes.

Knows nothing of Django, tables or people.

The modules of `reviews/texts/` are pure functions of texts. All offsets count Unicode code points; `spans.py` tells
them from what browsers count, and keeps marks from cutting a character in two.

- `grounding.py` points each sentence of a summary at the source sentences that support it, by the share of its words
  (stems, numbers by value, rare ones weighing more) that they have, and marks numbers and names that the source
  lacks. It says where to look, not what is true: a negation scores high. The job `ground_summaries`
  (`reviews/queues/grounding.py`) keeps the result as `Grounding` rows for what waits in the queues; about 6 ms a
  summary.
- `edits.py` splits an edit into single changes, each of which can be taken back alone; `error_labels.py` suggests an
  error label with a severity where a plain rule says what was wrong. Its docstring lists the rules. Where none is
  sure, nothing is suggested. An article is read once by each process and kept while it is worked on: of 50,000 words,
  the longest that get labels, that takes about 160 ms of CPU time, and each correction then 5 ms.
"""
