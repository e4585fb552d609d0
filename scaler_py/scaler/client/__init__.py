"""The client: submits, keeps futures, and speaks to the scheduler over one link.

client.py        what users call
conversation.py  the one lock, who reads the socket, the receive thread, losing and finding the scheduler
book.py          which sequence numbers wait for an outcome, as runs
outcomes.py      how elements ended, opened when asked for
futures.py       light futures; map_futures.py: a map's, made when asked for
executor.py      the client as a concurrent.futures.Executor
functions.py     functions, serialised once; watching.py: what makes a serialised one stale
serializer/      users' own serializers, which nothing else on the way knows of
blocks.py        a map's elements as blocks
objects.py       large values and references, over object_link.py; ahead.py fetches results that are next
"""
