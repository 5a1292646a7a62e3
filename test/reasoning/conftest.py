"""Puts this folder on the import path, so that the folders below share box_room and tiny_models."""
