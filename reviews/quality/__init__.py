"""How well people agree: gold items, agreement, disputes and their final answers.

Knows nothing of who works on which item now.

When reviewers differ
---------------------
- `reviews/quality/disagreement.py` (pure) says how far the reviews of one item lie apart, as a number from 0 to 1
  (`QueueItem.disagreement`, which a queue may be ordered by) and in words. `adjudication.keep_in_step` is called in
  the transaction of every submit, correction and undo: when all wanted reviews are in and stars or a question are as
  many points apart as the queue says (2 unless changed), one says good and another poor, or one changed the words and
  another found them good, the item is *disputed* and its feedback examples are *held*.
- `resolve_dispute` takes the final answer of somebody who manages queues, did not review the item and wrote no other
  text for its summary. It refuses if a review changed since the page was opened. The examples of the reviews are
  declined with the reason, those of the final answer proposed in their place.
- `agreement.py` (pure) computes Krippendorff's alpha, nominal, ordinal or interval, from counts of items × values
  (Krippendorff 2011), with an interval from resampled items; it equals the published worked examples. Undefined is
  told with the reason, never as 1. `agreement_report.py` reads what counts: submitted reviews of items that more than
  one person reviewed, without gold items, calibration rounds and pairs. Up to 2,000 reviews in the window the page
  computes them itself; above that the job `measure_agreement` keeps all windows, and the page says of when they are.
- `gold.py`: a gold item gets an assignment when somebody's turn comes, by a hash of queue and reviewer that gives
  exactly the queue's share of each hundred items. In the page and the API it looks like any other until it is
  submitted. What counts is the first revision: the known answer can be read from then on, so that neither an undo nor
  a correction may change it. Nothing is learnt from its reviews.
"""
