"""Two machines and a bad link between them, made of namespaces of this machine; needs root, leaves nothing behind."""
