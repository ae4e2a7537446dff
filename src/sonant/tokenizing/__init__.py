"""Corpora into codes: many recordings, on all cores or a cluster, resumable."""
