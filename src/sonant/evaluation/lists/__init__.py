"""Lists of excerpts: paths and places in a corpus, never audio."""
