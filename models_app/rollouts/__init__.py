"""How an approved release comes to have all of the traffic: a share first, looked at again and again, then more, or
none at all.

Knows nothing of slots and requests on their way: `serving` finds those, by the weights of the route.

`stepping.py` begins a rollout when the model of an approved release answers, and takes one turn after another: it
counts (`counting.py`), looks whether the canary is worse than what is live (`looks.py`), decides (`deciding.py`) and
moves the weight of the route. The policy says in which steps (`gates/rollout.py`). Where nothing is live beside it,
hardly anybody asks, or an emergency was declared, a release has all of the traffic at once. Its approvals and its
evidence are asked for again before each step. `releases/deploying.py` ends a rollout with what it stands beside;
`releases/fuse.py` keeps an environment from starting anything after too many rollbacks in a day.
"""
