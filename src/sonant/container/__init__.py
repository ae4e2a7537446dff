"""The .ecdc file: version 0 as the official tool writes it, version 1 with chunks that stand alone."""
