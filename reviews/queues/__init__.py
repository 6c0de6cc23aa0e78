"""What is asked, of how many people and by which rules; who sees what of it.

Knows nothing of anybody's answer.

Queues and assignments
----------------------
An item of a queue has an assignment for each wanted review. `reviews/queues/assignments.py` keeps assignments, their
rank and the item's state in step with the queue, in set-based SQL; `reviews/desk/claims.py` gives assignments out:

- May this person take this item? `AssignmentQuerySet.open_to` answers it, beside the tables, for claims, items opened
  by their address, assignments and every count of what waits. The navigation, the desks, the API and a claim repeated
  until nothing comes agree on the number (`tests/doors/test_what_waits.py`); gold items that are still to be mixed in
  are in none of the counts. All of them stop at 1,000.
- One partial index on (queue, rank, item) of the free assignments serves every order. The rank is 0 (oldest first),
  minus the priority, the model's confidence (unknown last: imported summaries and leading sentences have none; both
  back ends tell it, of drafts as of live summaries), or minus the disagreement. A claim is one conditional `UPDATE`
  that skips rows others are just taking. Assignments kept for me come first, those kept for others never.
- Which items get all reviews and which get one is drawn by a hash of queue and summary, so that a larger share only
  adds items.
- Leases are set and compared by the database's clock alone. A lease that ran out gives the assignment away once
  somebody needs it; a deactivated holder loses it at once. What was typed stays as a draft and can be submitted late,
  as an extra review.
- Changing a queue takes an advisory lock that claims share: a claim that comes meanwhile waits for the change and is
  not told that nothing is left. With more than 5,000 items the queue's worker does it.
- Rules (`reviews/queues/rules.py`, `reviews/filling/rule_runs.py`) look at clients' feedback as it comes and every
  five minutes at what is new: few stars, complaints, wishes, checks, a random share by hash, drift (one-sided
  two-proportion test, corrected after Holm, with both counts in the item's note). Each remembers how far it has
  looked.

Who sees which answers
----------------------
`reviews/queues/blindness.py` decides for pages, exports and notifications alike. In a queue that is blind to peers,
people who may review see nobody else's answers to an item, nor the feedback examples and prompt suggestions made of
them, until it is done; who has answered waits too, since answers can be corrected. Stepping aside (`Skip.saw_others`)
opens them and closes the item for that person. A disputed item has all its answers: only its reviewers still wait.
How a pair was judged is in the audit trail (`answer` in the event's data) and shown to nobody who may review.
"""
