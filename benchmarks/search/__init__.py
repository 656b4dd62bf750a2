"""The retrieval benchmark's parts: made pools, the engines, and the checks between them.

tmall_like     a pool and queries with the sizes and the skew of the Tmall log
hard_shapes    pools on which a search that skips rows gains least
engines        one file each; `serve` runs one in a process of its own
field          a process per engine for one pool, checked against ours
report         the page and the goals
"""
