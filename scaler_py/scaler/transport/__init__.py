"""Addresses, keys and connections: Unix sockets for local peers, pyzmq with CURVE for remote ones.

The loops of the core see connected stream sockets only; this package makes them. It imports zmq where a remote peer
is really spoken to, and nowhere else.
"""
