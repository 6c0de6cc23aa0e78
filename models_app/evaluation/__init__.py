"""Test sets, evaluations on them, comparisons of two releases, and what people prefer.

Knows nothing of what is live, or who may decide.

How a release is judged
-----------------------
Candidate, live release and lead-3 write summaries of the same frozen test documents, each with the converted
artefact, engine, prompt and decoding settings that would be served. ROUGE-1, -2, -L and -Lsum equal `rouge-score`'s
values (with its stemmer, one sentence a line). Each evaluation checks that on 20 of its own documents, chosen by
chance with its number as the seed (`evaluation/rouge_check.py`): where a value differs from `rouge-score`'s by more
than 1e-9 the evaluation fails, and the reason names the document, the metric and both values. That costs 1.3 s of one
processor, nearly all of it the import of `rouge-score`. Paired bootstrap over documents gives the interval,
approximate randomization gives p; a verdict of *improved* or *worse* needs both. *Not worse* means that a loss of the
margin or more is excluded, even where a smaller loss is certain; everything else is *inconclusive*, with how many
more documents would settle it. Slices (`evaluation/slices.py`: domain, length, language, any other field that the
test set froze) need 100 documents for a verdict and are corrected after Holm, of one metric. The margin is 1.0 for
ROUGE (points) and repeated trigrams (percentage points), 0.05 a summary for numbers and names that the source lacks;
it is kept with each result and stands on the page.

The overall verdict is ROUGE-2's, unless another ROUGE got worse, or ROUGE-2 on a slice. The sentence beside it
(`wording.verdict_in_words`, pure) names every judged measure whose interval excludes zero on the worse side: those
that got worse, those that did so within their margin, and those that the second test does not confirm; of slices
those that hold after the correction, apart from those of other measures, which decide nothing, and how many do not.
Only without any of these does it say that nothing else got worse.

References come with the documents, or from people: `reviews/examples/references.py` takes final corrections of test
documents. Of an item that nobody disputes these are its reviewers' texts, of an adjudicated one the adjudicator's
alone; what was left as the model wrote it, sent back, a gold item, a calibration round or imported is none. A test
set keeps with each reference where it came from, by how many people, how it became final, who wrote it, and which
release's text it began as (`EvaluationExample.all_references`; its digest covers them, and a trigger keeps them). A
document may have several: each ROUGE is then the best one over them, as `rouge-score`'s `score_multi` has it, lengths
are measured against the reference closest in length, and the signature says so. A correction favours the release that
wrote what was corrected, so the page of the test set and the sentence of every comparison on it say of how many
documents that is so. People who wrote references have a hand in every release that is measured against them: they do
not decide on it. Test documents train nothing, so no correction is used for both.

The same process runs the behavioural cases that the release has not been run on (`models_app/cases`): the model is
loaded, and what they find is of the artefact, prompt and decoding that would be served. Of a release whose evaluation
was there before the cases were, `cases_job` runs them.

A test set whose references are mostly in another script than a–z is scored with words of any script
(`EvaluationSet.words`, `evaluation/rouge.py`), since rouge-score's own words would give it zero. That is another metric
with another signature.

What scores an evaluation is its *signature* (`evaluation/signature.py`): the metric, its options, and the versions of
stemmer, sentence splitter and measures. The last two are numbers that a person raises; tests pin what each version
gives. The signature is fixed on the run when it starts, every score carries it, and a foreign key over run and
signature keeps scores of two signatures out of one run. A release may have one evaluation on a test set for each
signature: comparing two releases again evaluates with today's signature what was scored with another, and what was
there stays. A run that was half scored by another version is not gone on with; it is refused with what to do.

People can judge, too. *Start human evaluation* on a comparison puts its outputs into a pairwise queue: a sample by
seed of the test documents. Where both releases wrote the same, nobody is asked and the document counts as a tie.
Reviewers see both, blind, on sides drawn by chance for each assignment (not by a hash, which could be computed), and
say which is better and how much. People with a hand in the release after (`releases/hands.py`: they composed or
requested it, wrote its prompt, registered its model, started its training, asked for its comparison, ran its
evaluation, or froze its data or test set) are offered none of its pairs (`reviews/queues/judges.py`). What they chose
before is left out where votes are counted, like the votes of accounts that they opened while the work went on.
Reviewers whose only part is a correction that it learnt from, or a reference that it is measured against, do choose:
they judge blind, and most teams have no others. `reviews/desk/choices.py` keeps the choice in terms of before and
after and, for a test document, appends a vote in the same transaction (`HumanVote`,
`models_app/evaluation/people.py`): a correction is another vote, and the last one of a person and document holds.
Choices on documents of training and validation are no votes.

Documents are the unit, each for the side that most of its judges preferred. Since the figures are read while people
choose, they are judged by an e-process instead of a test for one fixed number: for *w* documents won and *l* lost,
*e* = B(10 + *w*, 10 + *l*) / B(10, 10) · 2^(*w* + *l*), and a preference is established when *e* reaches 20 (Ville's
inequality: with no preference that happens in at most 5 % of studies, however often one looks). The interval holds
the shares that a test of this kind does not reject. Documents without a side and identical texts are left out of it
and told beside it; so is how often the left side was preferred. `python benchmarks/preference_calibration.py` (20,000
studies of 400 votes, a look after every one):

| true share for after | found | votes in the median | a sign test at each look | at the end only |
|---|---|---|---|---|
| 50 % (none) | 2.6 % | | 34.1 % | 4.1 % |
| 60 % | 89.2 % | 163 | 99.2 % | 97.5 % |
| 65 % | 100.0 % | 87 | 100.0 % | 100.0 % |
| 70 % | 100.0 % | 53 | 100.0 % | 100.0 % |

How far the candidate is behind at most is read from all documents, ties among them (`net_interval`); the gate in
`gates/preference.py` asks for it. `docs/evaluation.md` has it in plain words, with the table of
`benchmarks/gate_calibration.py`.

The guarantee is for one judge a document. With several, whose majority may turn while votes come, it does not follow
from theory; with two, three or five judges, independent or agreeing in half of the cases, in rounds or in any order,
between 3.4 and 4.6 % of 1,000 studies without a preference found one.

What people had said when a release was submitted is part of the evidence: the counts and the digest of all votes up
to the last one then. *e*, interval and sentence follow from the counts and are no part of it, so that other words
make nothing void; how it was said then stands in the audit trail. When it is approved, the same votes are counted
again: later ones neither change the evidence nor void a decision, and rewritten ones are found.
"""
