"""The lira command."""

from lira_ros.library_threads import use_one_thread

use_one_thread()
