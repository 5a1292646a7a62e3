"""Show what the suite sees, understands and maps in the Rerun viewer: live, or as a file to look at later.

Rerun (rerun-sdk) is imported only when something is shown; without it an error says how to get it.
"""
