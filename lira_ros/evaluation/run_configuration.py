"""What can be set of a run without ROS, and the pipeline that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.util import Finalize

from lira_ros.configuration import section
from lira_ros.datasets.sequence import Sequence, SequenceError
from lira_ros.evaluation.runner import ground_truth
from lira_ros.pipeline.pipeline import Pipeline, PipelineConfiguration
from lira_ros.reasoning.backends import ReasonerConfiguration, back_ends_of, create_reasoner
from lira_ros.reasoning.contracts import Reasoner
from lira_ros.reasoning.language.parser import InstructionError
from lira_ros.reasoning.relevance import LanguageConfiguration, Relevance, create_relevance


@dataclass(frozen=True)
class RunConfiguration(PipelineConfiguration):
    """What can be set of a run without ROS; the names are those of the ROS parameters."""

    reasoner: ReasonerConfiguration = section(ReasonerConfiguration)
    language: LanguageConfiguration = section(LanguageConfiguration)


@lru_cache(maxsize=1)
def _relevance(configuration: LanguageConfiguration) -> Relevance:
    # The sentence encoder takes a second to load: a process that evaluates many runs loads it once.
    return create_relevance(configuration)


def make_pipeline(
    configuration: RunConfiguration, sequence: Sequence
) -> tuple[Callable[[Reasoner], Pipeline], Reasoner]:
    """Return what makes the pipeline around a reasoner, and the reasoner, for run_sequence()."""
    relevance = _relevance(configuration.language)
    reasoner = create_reasoner(configuration.reasoner, relevance, ground_truth(sequence))
    return lambda asked: Pipeline(configuration, asked, relevance), reasoner


class KeptReasoner:
    """The back end of one process, kept loaded from one recording to the next: a large model takes a minute to load.

    Back ends tell the keyframes of two recordings apart. One that answers from the annotation of a recording is made
    anew for each. Not thread-safe: runs of a process come one after the other.
    """

    def __init__(self) -> None:
        self._key: tuple[ReasonerConfiguration, LanguageConfiguration] | None = None
        self._reasoner: Reasoner | None = None
        # At the end of this process, in a worker as well.
        Finalize(None, self.close, exitpriority=0)

    @contextmanager
    def lend(
        self, configuration: RunConfiguration, sequence: Sequence
    ) -> Iterator[tuple[Callable[[Reasoner], Pipeline], Reasoner]]:
        """Give what make_pipeline() returns for the length of a run; after one that breaks down the next loads anew."""
        if "oracle" in back_ends_of(configuration.reasoner):
            pipeline, reasoner = make_pipeline(configuration, sequence)
            try:
                yield pipeline, reasoner
            finally:
                reasoner.close()
            return
        relevance = _relevance(configuration.language)
        key = (configuration.reasoner, configuration.language)
        if self._reasoner is None or key != self._key:
            # First let go of the old one: the memory of a GPU holds one.
            self.close()
            self._key, self._reasoner = key, create_reasoner(configuration.reasoner, relevance)
        try:
            yield lambda asked: Pipeline(configuration, asked, relevance), self._reasoner
        except (SequenceError, InstructionError):
            raise  # the recording is at fault
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the back end that is kept, if any."""
        reasoner, self._reasoner = self._reasoner, None
        if reasoner is not None:
            reasoner.close()


KEPT_REASONER = KeptReasoner()
