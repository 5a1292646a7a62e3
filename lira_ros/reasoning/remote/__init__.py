"""The remote back end: any OpenAI-compatible server."""
