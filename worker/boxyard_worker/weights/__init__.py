"""The weights on this machine: pulled once by the operator, kept by hash, found by a model's name.

Names and addresses of the catalogue enter, safetensors files and their records leave. Only
commands fetch anything; a worker that serves reads the cache and nothing else.

    settings   where the cache is, which mirrors, what a download may take
    cache      records and files: list, find, add, remove
    sources    where a file may be had, in the order in which it is asked for
    download   one file from the first address that gives it whole
    transfer   the rest of it from one address; `part` is what is here, `answer` what is said
    pull       a name → download → convert → cache
    lock       one process at a time
    progress   a bar for people
    commands   `boxyard-worker pull` and `boxyard-worker weights`

Nothing is imported here: the commands' names must be known where their extra is missing.
"""
