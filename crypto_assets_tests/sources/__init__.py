"""Tests of the sources: real sockets on 127.0.0.1, recorded and hand-written answers."""
