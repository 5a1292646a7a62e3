"""The detector back end: an open-vocabulary detector for plain names."""
