"""Prompts tried on articles, and suggested by reviewers.

Knows nothing of the desk.

Trying a prompt
---------------
A trial (`reviews/prompts/trials.py`, job `try_prompt`) lets the live slot write one article after another with the
tried prompt, beside what the live prompt writes; stored drafts of the live release are not written again. It ends
with a reason if another release goes live meanwhile. `reviews/prompts/trying.py` has the rules for all doors: on test
documents and what is nearly the same no prompt is tried, and none that quotes one is kept. At the desk a prompt is
tried on an item by the reviewer who holds it, by one who answered it once its model is no secret any more, and by
people who write prompts.

*Try a prompt first* takes the articles of finished items that reviewers found failing and compares with their
(final) corrections: ROUGE before and after with a paired bootstrap interval from ten on, and numbers and
names that the source lacks. It gives no verdict: the articles were chosen because they failed, and corrections share
the words of the text they correct. A release is still judged on test documents.
"""
