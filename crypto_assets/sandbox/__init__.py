"""A local server in the providers' wire formats: offline demo, tests, fault injection.

What does not belong here: anything the platform itself imports to do its work. Rows from here say so in ``source``.
"""
