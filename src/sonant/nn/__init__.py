"""The PyTorch networks. Everything is channels-last: `[batch, time, channels]`."""
