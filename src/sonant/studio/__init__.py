"""A page to code recordings with every bitrate of a model, to listen and to compare."""
