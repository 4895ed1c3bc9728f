"""The decoder: a picture's bytes become pixels where they can do no harm.

    header   read by the parent, before anything is made of the picture
    child    a process of its own that decodes and resizes

The child has none of the worker's secrets, and its memory and time end: a picture that wants more
of either, or that crashes it, costs this process and nothing else. Bytes and pixels cross in
anonymous files; what is said about them is JSON, so that nothing a child says is trusted. It
imports numpy, OpenCV and the resize alone, and nothing is imported here.
"""

READY = b"{}"
"""What the child sends first; anything else, in text, is why it cannot start."""
