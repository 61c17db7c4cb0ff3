"""Every table declared once: what a row is, its columns, when it is known, how it is written, and when it is late.

What does not belong here: how rows are fetched or computed.
"""
