"""Behavioural cases: fixed articles, and what the summary of each has to satisfy.

Knows nothing of what is live, of comparisons, or of who may decide.

A case is an article with up to twenty assertions, each of one of the three kinds of Ribeiro, Wu, Guestrin and Singh
(*Beyond Accuracy: Behavioral Testing of NLP Models with CheckList*, ACL 2020):

- a *minimum functionality test* (MFT) looks at the summary: it contains a text, lacks one, keeps a number, has at most
  so many words, keeps the article's language, is an answer and no refusal, is close to a golden answer;
- an *invariance test* (INV) changes the article in a way that must not matter (typos, upper case, shuffled paragraphs,
  a renamed person) and asks that the two summaries are close to each other;
- a *directional expectation test* (DIR) changes the article in a way that must show: after a person is renamed, the
  summary has the new name and not the old one.

`changes` makes the changed articles, `distances` says how far two texts are apart, `matching` what stands in a text,
`refusals` what is no summary, `assertions` what is asserted and whether it holds. All of them are pure, and give the
same for the same input for ever: seeds are part of the assertion.

An assertion has three outcomes. *Undecided* is for what cannot be told, such as the language of two words; it never
counts as passed. A summary without a word fails every assertion: who writes nothing keeps no promise. A case passes
where all its assertions do, and fails where one does.

Cases belong to a set. Whatever changes it (cases added, edited, retired, imported) makes the set's next version with a
reason, and a case that is edited gets a new row (`CaseVersion`); nothing is rewritten. A version of the set has of
each case the newest row up to it, unless that retires the case.

A run (`CaseRun`) is a release on one version of a set, scored by one version of the assertions. Every evaluation runs
the newest version of every set that has cases, in the process that has the release's model loaded, so that artefact,
prompt and decoding are those that would be served. Results are written case by case: what a killed evaluation leaves
is kept, and the next one goes on from there.
"""
