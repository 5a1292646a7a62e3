from lira_ros.pipeline import warm_up
from lira_ros.reasoning.compact.reasoner import CompactReasoner
from lira_ros.reasoning.relevance import Relevance


def test_the_scene_makes_the_reasoner_and_the_fusion_do_real_work(monkeypatch):
    counts = []

    class Watched(CompactReasoner):
        def propose(self, keyframe, instruction):
            answer = super().propose(keyframe, instruction)
            counts.append(len(answer.candidates))
            return answer

    monkeypatch.setattr(warm_up, "CompactReasoner", Watched)
    warm_up.warm_up_fusion(Relevance(None))
    assert len(counts) == 2
    assert all(counts), "without a candidate, half of the loops would be compiled on the first keyframe"
