"""docs/how-to, carried out: ``page.py`` reads it, ``test_extending.py`` applies it to a copy of the repository.

``made.py`` runs there. It is no test of this repository, which has none of what the pages make.
"""
