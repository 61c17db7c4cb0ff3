"""Subcommands of ``crypto-assets`` that have a file of their own; ``cli.py`` adds them.

A command reads its arguments, calls one function and prints; measuring and launching live in ``operate``.
"""
