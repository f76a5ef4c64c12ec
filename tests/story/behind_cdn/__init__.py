"""The product behind a CDN's cache: the designs of ``docs/cdn.md``, with ``tests.cdn`` as CDN.

Three clients, of two regions and of none, ask for the same URL; each has to get its own answer,
whatever was asked before. In reading order: ``designs`` are the distributions; ``visitors`` ask
them, and say where their bytes came from; ``stand`` runs the product behind one of them, with its
buckets; ``answers`` says which answers are right; ``test_*`` are the scenes. In one of them the
cache keeps what it must not: there the same check fails.
"""
