"""`make soak`: the whole line on real servers, broken at random by a seed, and its books at the end.

`plan` draws the faults, `faults` injects them, `line` is what they are injected into, `watch` measures, `books` counts
every frame at the end, and `report` writes down what was found. `docs/reliability.md` explains the results.
"""
