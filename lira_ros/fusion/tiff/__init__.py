"""TIFF, the learned fusion module of LIRA, with its published layout; needs PyTorch."""
