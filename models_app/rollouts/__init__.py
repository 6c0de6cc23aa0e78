"""How an approved release comes to have all of the traffic: a share first, looked at again and again, then more, or
none at all.

Knows the counts of requests of both releases and what the environment's policy asks for. It decides, writes down why,
and moves the weights of the route; who may approve a release it does not know, and how requests find their slot
`serving` knows.
"""
