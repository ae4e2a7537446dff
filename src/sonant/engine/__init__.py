"""Runs a codec's networks without PyTorch: ONNX graphs built from the weights, in ONNX Runtime."""
