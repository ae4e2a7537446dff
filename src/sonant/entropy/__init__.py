"""Codes to bytes and back: plain packing, language models, arithmetic and range coding."""
