"""Webhooks: other programs are told of events, signed, tried again for a day, and every try is kept.

The audit trail is the outbox: an event is written in the transaction of its change, and numbers grow in the order in
which events are committed. So each endpoint remembers up to which number it was looked at (`deliveries.py` makes what
is to be told from there), and a change costs nothing more for being told. One job at a time sends (`job.py`), a few
endpoints beside each other and never two deliveries to one; an endpoint that fails is left alone for a while, and the
job ends as soon as others wait for its place in the queue.

`catalogue.py` has what is told, `targets.py` where one may send, `posting.py` how. Nothing but numbers, states and
links leaves the house.

Knows nothing of what the events are about: it reads the trail, and names pages by their address.
"""
