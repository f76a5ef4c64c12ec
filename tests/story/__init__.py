"""The story: a team's downloads, played from outside against the real product and a real S3 server.

Each scene is a function in ``scenes_of_*.py``; later faults of this kind are added there. ``world``
starts all that a scene needs, ``stage`` is what it plays on, ``doors`` stand before the S3 server,
``clients`` follow redirects as real ones do, ``versions`` puts a version into every byte, ``books``
compares counters, log and truth, ``play`` plays and prints. ``make story`` plays the long scenes
too.
"""
