"""Every model of the catalogue, built with seeded random weights and asked for an answer.

outcomes   what became of an entry: one JSON line
shrinking  a model's configuration for small pictures
trial      one entry: load it as a worker does, detect in a picture, check the answer
nursery    a process an entry, forked from one that has imported torch and mmdet
sample     the few entries that cover every part that models are made of
report     the outcomes as `docs/zoo.md`
"""
