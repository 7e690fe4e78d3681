"""Exported models: the detector as an ONNX file or a program of torch, checked against the detector it came from."""
