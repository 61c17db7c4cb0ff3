"""A day or a week with faults, under a clock that runs ahead: ``python -m crypto_assets_tests.simulation [--week] [TICKS]``.

96 ticks are a day, 672 a week (``plans.py``). Everything is real and under one simulated clock (``clock.py``):
webserver, daemon, code server and run processes as in production (``composed.py``), the embedded Postgres, and a sandbox
that answers 503 to each tenth call. The clock steps from one schedule's minute to the next as soon as all that was due
is done (``day.py``). On the way providers and the model fall silent for a while, Postgres is stopped as by a power cut
in the middle of a run, runs and the daemon are ended by ``kill -9``, and in the week all processes are replaced by those
of another version. Alerts go to a webhook that refuses some of them. What came of it is judged from the tables and from
what the webhook got (``verdict.py``).
"""
