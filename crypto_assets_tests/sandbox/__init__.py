"""Tests of the sandbox: the wire formats, the generated and the recorded market, faults."""
