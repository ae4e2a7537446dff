"""How good is a codec, at what rate, against what: metrics, baseline codecs, reports, listening tests."""
