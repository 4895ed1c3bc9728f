"""The demo model: how its pictures are drawn, how it is trained, measured and exported.

Run from `examples/`: `python -m demo_model.train`, `.evaluate`, `.export` and `.pictures`.
"""
