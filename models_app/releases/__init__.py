"""What is composed, submitted, approved, goes live and is rolled back, and who may do it.

Knows nothing of slots: `serving` keeps up what is to be live.

From a draft to live
--------------------
`submit_release` (`composing.py`) binds a release to the comparison that speaks for it and has its environment's gates
judged in a job; `judging.py` moves it to what they came to: *blocked*, *needs evidence* or *awaiting approval*. An
approver approves, rejects or asks for changes (`approving.py`), by the password or a code, and types the verdict where
it is not an improvement. Too late is `expiring.py`; what is approved in a freeze window waits for its end
(`freezes.py`). `emergency.py` puts what cannot wait live with one approver and opens an incident, which somebody else
reviews before the next. `approvers.py` says where a policy asks for more approvers than there are. Whatever is
submitted again, or whose policy is another one meanwhile, loses its approvals: they are bound to a
digest of the evidence, of which the gate run is a part. Moves are declared beside the table (`Release.MOVES`), and the
database refuses all others, and each that lacks gates or approvals.

Who may decide
--------------
`releases/hands.py` says who had a hand in a release: who composed, requested, trained, registered or evaluated it,
asked for its comparison, froze its test set or data, wrote its prompt, or wrote or curated its training data, through
all that its model was made from. They do not decide on it, nor does anybody whose account they opened after the work
began, or who opened one of theirs (`releases/accounts.py`). `releases/standing.py` says whether a release stands: on
evidence that is what it was, and on enough approvals of people who may still give them. It is asked at the last
approval and by `go_live`, which sends a release that does not stand back to approval. No API token and no command can
approve; the page asks for the password again.

Weights are recognised whatever file they come in (`ml/fingerprints.py`, `training/recognising.py`): each registration
compares them with those of every version, and what was made from one gets it as its parent. Versions that were
registered before weights had fingerprints get theirs then, once, from their files; where these are gone, nothing is
registered until they are restored.

`roll_back` asks nobody. It ends what warms up and withdraws drafts of the same content, passes over releases whose
files are gone, and waits five seconds for a lock at most; `releases/obstacles.py` names the session that holds it,
and an operator ends that.

A token is made by the person in whose name it acts, for nobody else (`foundation/tokens.py`, and a check constraint).
A service account has an owner and tokens and is no user, so `actor`, `reviewer` and `requested_by` are always people,
and whatever counts hands needs to know nothing of it.
"""
