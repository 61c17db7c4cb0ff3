"""A local server that speaks the providers' wire formats, for the offline demo, tests and fault injection.

The platform itself imports nothing from here to do its work. Rows from the sandbox say so in ``source``.
"""
