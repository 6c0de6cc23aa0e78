"""The pages of the review desk.

Knows nothing of rules: the packages it calls decide.

The desk's page
---------------
The forms of both desks work without script. `static/js/desk/page.js` is the class that the review desk (`review.js`)
and the pairwise desk (`pairwise.js`) extend: submitting, skipping, undo, keys, with the parts `autosave.js` (drafts
to the server and to this browser, `local-drafts.js`), `conflict.js` (another tab was faster), `lease.js` (signs of
life, the next item ahead), `active-time.js` and `keys.js` (which action a key means). A review and a choice live the
same life, and it is told once: `reviews/desk/answers.py` saves, submits, corrects and undoes an answer,
`reviews/web/desk/answering.py` answers the forms of both desks. What a review or a choice holds, how it is checked
and what follows from it say `reviews/desk/reviews.py` and `reviews/desk/choices.py`; `requests.py`, `lease.py`,
`onwards.py` and `key_sheet.py` serve both desks, too. Limits, vocabularies and their messages stand in the tables
(`reviews/models/answers.py`, `reviews.py`). Each further part of the review desk is a module that gets the desk:
`rating.js` (the lines that digits answer), `recent.js` (recent), `trial.js` (another prompt), `overall.js` (stars and
verdict from the ratings), `changes.js` (single changes), `places.js` (code points ↔ the page's nodes), `grounding.js`
(sentences and what supports them), `marks.js` (error spans, suggested labels). Modules are served under names with a
hash of their content, and imports name that one (`llmops_site/static_files.py`); `{% module %}` hints at all that a
script imports, so that it is asked for at once. What the server repeats, it decides: `reviews/queues/overall.py`,
`reviews/desk/keys.py` and `reviews/texts/marks.py` are pure, `reviews/desk/reviews.py` checks every mark's quote
against the text. Marks and links are CSS highlights over ranges, so they cost no node, overlap freely, and hold in an
article of 50,000 words. A submit or a skip can be undone within ten seconds (twenty on the server, for slow
connections): the assignment comes back, undecided examples go, the revision stays.

From the request to its row a submitted review enters nine modules, a choice nine, a review by program six, and each
goes back up at most twice; `tests/web/test_short_way.py` follows them on real requests and prints the way with
`pytest -s`.
"""
