"""What every benchmark leans on: contenders that take turns, results that are kept, goals.

answering     the side of a contender: its process answers requests, one JSON line each
contenders    our side of that conversation
turns         rounds in which every contender has one turn, in an order drawn anew each time
surroundings  the machine, the versions and the command, kept beside what was measured
results       benchmarks/results/<name>.json and the page that is made of it
goals         what was to be reached, beside what was measured
"""
