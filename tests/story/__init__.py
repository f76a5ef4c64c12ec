"""The story: a team's downloads, played from outside against the real product and a real S3 server.

Each scene is a function in ``scenes_of_*.py``; later faults of this kind are added there.
``make story`` plays the long scenes too. In reading order: ``world`` starts what the scenes share;
``stage`` is one scene's site, buckets and clients; ``doors`` are small proxies in front of the S3
server that count, delay or refuse requests; ``clients`` follow redirects as real ones do;
``networks`` gives them addresses; ``versions`` encodes a version in every byte; ``books`` compares
counters and log with what the clients got; ``play`` plays scenes and prints the results.
``behind_cdn`` has tests of its own: the product behind a CDN's cache.
"""
