"""A consumer with Django that acts exactly once: id and act are written in one transaction."""
