"""Training of the codec: data, losses, discriminators, the loop. Needs the extra `train`."""
