"""Who says what about an item or a prompt version, and who sees it under which name.

Knows nothing of how a page shows it.

Who reads which conversation
----------------------------
`reviews/discussion/visibility.py` decides who sees a thread and under which name, `comments.py` writes; every page,
fragment and notification asks the first.

- not blind to peers; reviewers and managers: everything, with names
- blind, item not done; people who work on it, managers too: the threads they began themselves
- blind, item not done; managers who do not review it: everything, with names; once they have read what somebody else
  began, no assignment at it can be theirs (`Skip.saw_others`), by page or by program
- blind, item done; its reviewers: everything; other reviewers are “a reviewer”, and whom a comment names is hidden

Whom one may name with `@` never depends on who reviews the item, or the list would tell.
`notifications/notices.notify` tells one person in the page: an unread notification about the same thing is renewed,
and each text is made for its reader. Anything may call it inside its own transaction.
"""
