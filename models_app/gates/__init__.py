"""What a release has to pass before anybody may approve it: gates, the environment's policy, and what was waived.

Knows nothing of release states nor of who had a hand in a release: `releases` asks here and decides.

How a release is judged
-----------------------
A gate is one question: are the digests what they were, is the primary metric not worse, are the summaries safe. Its
module declares its section of the policy (a frozen dataclass whose fields say what they need, `texts/needs.py`), reads
facts from the database, and decides with a pure function that gives rows (`results.Result`): verdict, estimate,
interval, n, method, threshold, and what can be looked at. `catalogue.GATES` lists the gates in the order in which they
are judged and shown.

A row is PASS, FAIL, INCONCLUSIVE or ERROR. Nothing passes for want of data: what cannot be told yet is INCONCLUSIVE,
what should be there and is not is ERROR, and so is a gate that breaks or says nothing. A run is as bad as its worst
row (`results.worst`). FAIL and ERROR block a release, INCONCLUSIVE asks for more evidence or a waiver
(`running.outcome`).

The policy (`policy.Policy`) belongs to the environment, not to the release, and is versioned: a change is a new row
with a reason (`policies.change_policy`), the newest row holds. Who changed it does not approve what it judges
(`policies.editors`, asked by `releases/hands.py`). A policy that no release could pass, or that names an unknown metric
or setting, is refused at its field. Its margins and its primary metric are also those of comparisons (`policy.terms`).

A run (`running.start`, job `judge_release`) keeps the rows of each gate in one transaction as it ends, so that a job
that is killed goes on with the next gate. A run that ended is never changed: judging again makes another one. Its
digest covers what was judged, the policy as it was applied, and every row; `running.problem` reads them again.

A waiver (`waivers`, `releases/waiving.py`) covers one finding, by its digest: with the same figures in a later run it
still holds, with others it does not. Gates that the code calls waivable may be waived where the policy allows it;
integrity, leakage, personal data and safety never, and neither is an ERROR, since nobody knows what it would be.
"""
