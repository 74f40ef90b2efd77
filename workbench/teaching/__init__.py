"""The arithmetic behind training and quantization in plain numpy, small enough to read: what notebook 09 calls."""
