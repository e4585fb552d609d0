"""The client: submits, keeps futures, and speaks to the scheduler over one link.

client.py        what users call
conversation.py  the one lock, what is submitted and what came of it, beginning and end
turns.py         who reads a socket; attendant.py: the thread beside those who wait, losing and finding a peer;
                 receiver.py and object_link.py are the two kinds of it
book.py          which sequence numbers wait for an outcome, as runs
outcomes.py      how elements ended, opened when asked for
futures.py       light futures; map_futures.py: a map's, made when asked for
executor.py      the client as a concurrent.futures.Executor
functions.py     functions, serialised once; watching.py: what makes a serialised one stale
serializer/      users' own serializers, which nothing else on the way knows of
blocks.py        a map's elements as blocks
objects.py       large values and references, over object_link.py; ahead.py fetches results that are next
"""
