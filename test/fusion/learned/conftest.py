import sys
from pathlib import Path

# The scene of boxes is shared with the tests of the fusion.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
