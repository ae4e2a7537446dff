"""Reports of a run: Markdown, plots, and one HTML page with audio players."""
