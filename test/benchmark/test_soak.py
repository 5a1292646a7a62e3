import pytest


@pytest.fixture
def soak(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmark"))
    import soak

    return soak


def flat(soak, **changes):
    """Return the figures of a run of 100 s in which nothing grows."""
    samples = [soak.Sample(float(second), 300.0 + second % 7, 16, 20) for second in range(101)]
    latencies = [(float(second), 0.1 + 0.01 * (second % 5)) for second in range(101)]
    figures = soak.Figures(seconds=100.0, samples={"mapping_node": samples}, latencies={"image to mapped": latencies})
    for name, value in changes.items():
        setattr(figures, name, value)
    return figures


def test_a_flat_run_is_good(soak):
    assert soak.problems(flat(soak)) == []


@pytest.mark.parametrize(
    ("growth", "said"),
    [
        ((0.5, 0.0, 0.0), "mapping_node: memory grew from 340 to 365 MiB after the warm-up"),
        ((0.0, 0.02, 0.0), "mapping_node: threads grew from 17 to 18 threads after the warm-up"),
        ((0.0, 0.0, 0.1), "mapping_node: open files grew from 23 to 28 files after the warm-up"),
    ],
)
def test_what_grows_after_the_warm_up_is_named(soak, growth, said):
    memory, threads, files = growth
    samples = [
        soak.Sample(float(s), 321.5 + memory * s, int(16.3 + threads * s), int(20 + files * s)) for s in range(101)
    ]
    assert soak.problems(flat(soak, samples={"mapping_node": samples})) == [said]


def test_growth_before_the_end_of_the_warm_up_is_none(soak):
    samples = [soak.Sample(float(second), 100.0 + 8.0 * min(second, 25), 16, 20) for second in range(101)]
    assert soak.problems(flat(soak, samples={"mapping_node": samples})) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("latencies", {"a stage": [(s, 0.1 if s < 75 else 1.0) for s in range(101)]}, "a stage: p95 rose from"),
        ("unanswered", ["soak-3"], "instruction soak-3 was never answered"),
        ("refused", ["'x': no"], "an instruction was refused: 'x': no"),
        ("failures", {"fusion_node: candidates failed": 2}, "fusion_node: candidates failed 2 times"),
        ("exit_codes", {"fusion_node": -9}, "fusion_node ended with code -9"),
        ("left_behind", ["/dev/shm/fastrtps_1"], "left behind: /dev/shm/fastrtps_1"),
        ("samples", {"mapping_node": []}, "mapping_node: no sample of memory"),
    ],
)
def test_everything_that_is_not_as_it_should_be_is_said(soak, name, value, said):
    assert any(sentence.startswith(said) for sentence in soak.problems(flat(soak, **{name: value})))


def test_a_short_soak_ends_clean_whatever_is_asked_meanwhile(soak, tmp_path):
    walk = ["--room", "0", "--width", "160", "--walk", "3", "--minutes", "0.3", "--speed", "3", "--every", "1.5"]
    figures = soak.soak(soak.arguments([*walk, "--suite", "--out", str(tmp_path)]))
    assert figures.loops >= 3  # time went back that often
    assert min(figures.replaced, figures.cancelled) >= 1
    assert figures.answered + len(figures.unanswered) == figures.submitted  # a busy machine may not answer all in time
    assert figures.submitted >= 8
    assert figures.refused == []
    assert figures.failures == {}
    assert figures.exit_codes == {"suite": 0, "replay_node": 0}
    assert figures.left_behind == []
    for samples in figures.samples.values():
        assert samples[-1].threads <= samples[len(samples) // 2].threads
        assert samples[-1].files <= samples[len(samples) // 2].files + 1
