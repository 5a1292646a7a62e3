"""The vlm back end: a local vision-language model that answers boxes as JSON."""
