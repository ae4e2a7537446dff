"""Speed, latency, memory and start-up of a codec on this machine; `sonant bench`."""
