"""The hands: `detect` runs one model, `deliver` tells callers, `sweep` tidies.

Claims come in from the ledger; results, deliveries and heartbeats go back into it.
"""
