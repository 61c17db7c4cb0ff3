"""What this package uses of Dagster that Dagster does not promise to keep, and nothing else.

``core`` is dagster itself, ``postgres`` is dagster-postgres, ``kubernetes`` is dagster-k8s: files of their own, because the clients
of the last two are slow to import. ``known_states`` and ``run_history`` read and cut back Dagster's tables. Each name has its reason beside it and a test of its own in
``crypto_assets_tests/dagster_internals``, which fails when Dagster moves the name or changes what is relied on. The tests
passed with dagster 1.13.27, dagster-postgres and dagster-k8s 0.29.27; ``setup.py`` begins there, since 0.29.0 lacks a name.
A private import or attribute of Dagster anywhere else fails ``crypto_assets_tests/test_architecture.py``.
"""
