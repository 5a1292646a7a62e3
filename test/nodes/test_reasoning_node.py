"""The reasoning node over DDS: instructions come and go, keyframes are answered, and nothing that is wrong ends it."""

import threading

import pytest
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from wall_scene import SESSION, answer, keyframe_message, view

from lira_msgs.msg import CandidateArray, InstructionArray, InstructionStatus, InstructionStatusArray
from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.srv import CancelInstruction, ListInstructions, SubmitInstruction
from lira_ros.nodes import reasoning_node
from lira_ros.reasoning.asking import Questioner
from lira_ros.reasoning.contracts import Reasoner, ReasoningError, ServerUnavailable
from lira_ros.reasoning.relevance import Relevance
from lira_ros.ros import qos, search_status
from lira_ros.ros.conversions.candidate import candidates_from_message
from lira_ros.ros.conversions.image import color_from_image
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns
from lira_ros.ros.diagnostics import to_status

CODE = SubmitInstruction.Response


class FakeReasoner(Reasoner):
    """Answers with what stands before the wall; may be told to fail or to wait."""

    name = "fake/1"

    def __init__(self):
        self.asked = []
        self.errors = {}  # keyframe id -> exceptions still to be raised
        self.may_answer = threading.Event()
        self.may_answer.set()

    def propose(self, keyframe, instruction):
        assert self.may_answer.wait(20)
        self.asked.append((keyframe.id, instruction.id))
        waiting = self.errors.get(keyframe.id)
        if waiting:
            raise waiting.pop(0)
        return answer(keyframe.id, instruction.id)


@pytest.fixture
def reasoner():
    reasoner = FakeReasoner()
    yield reasoner
    reasoner.may_answer.set()


@pytest.fixture
def reasoning(spinner, peer, wait_for, monkeypatch, reasoner):
    """Return a function that starts a reasoning node whose back end is the fake reasoner."""
    monkeypatch.setattr(reasoning_node, "create_relevance", lambda configuration: Relevance(None))
    monkeypatch.setattr(reasoning_node, "create_reasoner", lambda *arguments: reasoner)

    def start(active=True, **values):
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        node = spinner.add(reasoning_node.ReasoningNode(parameter_overrides=overrides))
        if active:
            wait_for(lambda: node.state == "active", 30, "the start of the reasoning node")
        return node

    return start


@pytest.fixture
def keyframes(peer, wait_for):
    """Return a function that sends keyframes to the reasoning node."""
    publisher = peer.create_publisher(KeyframeMessage, "keyframes", qos.keyframes())

    def send(*numbers, session=SESSION, change=lambda message: None):
        wait_for(publisher.get_subscription_count, what="the subscription to keyframes")
        for number in numbers:
            message = keyframe_message(number, session)
            change(message)
            publisher.publish(message)

    return send


@pytest.fixture
def submit(peer, call_service):
    def call(text, instruction_id="", replace=False):
        request = SubmitInstruction.Request(text=text, id=instruction_id, replace=replace)
        return call_service(peer, SubmitInstruction, "submit_instruction", request)

    return call


@pytest.fixture
def listed(peer, call_service):
    return lambda: call_service(peer, ListInstructions, "list_instructions")


@pytest.fixture
def cancel(peer, call_service):
    return lambda name: call_service(peer, CancelInstruction, "cancel_instruction", CancelInstruction.Request(id=name))


def problem(node, text):
    return [item for item in node.statistics.problems().values() if text in item.text]


def test_instructions_are_submitted_replaced_listed_and_cancelled(reasoning, collect, submit, listed, cancel, wait_for):
    reasoning()
    active = collect(InstructionArray, "instructions", qos.latched())
    first = submit("Find the red mug.")
    assert (first.accepted, first.code, first.id) == (True, CODE.OK, "find-1")
    assert first.understood == "red mug"
    assert submit("Find the sofa.", "seat").id == "seat"
    wait_for(lambda: active and [item.id for item in active[-1].instructions] == ["find-1", "seat"])
    assert active[-1].instructions[0].text == "Find the red mug."

    taken = submit("Find the bed.", "seat")
    assert (taken.accepted, taken.code, taken.id) == (False, CODE.ID_IN_USE, "")
    assert "'seat' is already in use" in taken.message
    assert submit("Find the bed.", "seat", replace=True).accepted
    answered = listed()
    assert (answered.success, answered.code) == (True, ListInstructions.Response.OK)
    assert [item.text for item in answered.instructions] == ["Find the red mug.", "Find the bed."]
    assert [item.state for item in answered.statuses] == [InstructionStatus.PENDING] * 2
    assert all(item.reason for item in answered.statuses)

    unknown = cancel("chair")
    assert (unknown.success, unknown.code) == (False, CancelInstruction.Response.UNKNOWN_ID)
    assert "'chair'" in unknown.message
    assert "find-1, seat" in unknown.message
    assert list(cancel("find-1").cancelled) == ["find-1"]
    wait_for(lambda: [item.id for item in active[-1].instructions] == ["seat"], what="the list without find-1")
    assert submit("Find a chair.").accepted
    assert sorted(cancel("").cancelled) == ["find-2", "seat"]
    assert list(listed().instructions) == []


REFUSED = {
    "empty": ("", "", CODE.EMPTY_TEXT, "empty"),
    "only signs": (" ?!... ", "", CODE.EMPTY_TEXT, "empty"),
    "10,000 characters": ("find " * 2000, "", CODE.TEXT_TOO_LONG, "10000 characters; at most 2000"),
    "another language": ("Finde bitte die rote Tasse neben dem Fenster", "", CODE.NOT_UNDERSTOOD, ""),
    "another alphabet": ("Найди красную кружку", "", CODE.NOT_UNDERSTOOD, "English letters"),
    "no letters of any alphabet": ("请找到红色的杯子", "", CODE.NOT_UNDERSTOOD, "English letters"),
    "an id with a slash": ("Find the sofa.", "a/b", CODE.ID_INVALID, "'a/b'"),
    "an id of 65 characters": ("Find the sofa.", "a" * 65, CODE.ID_INVALID, "1 to 64 letters"),
}


def test_what_cannot_be_accepted_is_answered_with_a_code_and_a_sentence(reasoning, submit, listed):
    node = reasoning()
    for name, (text, instruction_id, code, words) in REFUSED.items():
        reply = submit(text, instruction_id)
        assert (reply.accepted, reply.code, reply.id) == (False, code, ""), name
        assert words in reply.message, name
        assert 0 < len(reply.message) < 400, name
        assert problem(node, f"/submit_instruction: {reply.message}"), name
    assert node.statistics.problems()["/submit_instruction refused"].count == len(REFUSED)
    assert list(listed().instructions) == []
    assert submit("Find the sofa.").accepted


def test_fifty_instructions_at_once(reasoning, peer, keyframes, submit, listed, cancel, reasoner, wait_for):
    node = reasoning(instructions__max_instructions=50)
    keyframes(1, 2)
    wait_for(lambda: node._scheduler.keyframe_count == 2, what="the keyframes")
    client = peer.create_client(SubmitInstruction, "submit_instruction")
    assert client.wait_for_service(10)
    colors = ("red", "blue", "green", "white", "black")
    requests = [SubmitInstruction.Request(text=f"Find the {colors[i % 5]} mug.", id=f"i{i}") for i in range(50)]
    futures = [client.call_async(request) for request in requests]
    wait_for(lambda: all(future.done() for future in futures), 30, "the answers to 50 instructions")
    assert [future.result().code for future in futures] == [CODE.OK] * 50
    too_many = submit("Find the sofa.")
    assert too_many.code == CODE.TOO_MANY_INSTRUCTIONS
    assert "50 instructions are active" in too_many.message
    assert submit("Find the sofa.", "i7", replace=True).accepted  # replacing needs no room
    assert len(listed().instructions) == 50
    wait_for(lambda: set(reasoner.asked) >= {(k, f"i{i}") for k in (1, 2) for i in range(50)}, 30, "100 answers")
    assert len(cancel("").cancelled) == 50


def test_services_before_configuration(reasoning, submit, listed, cancel):
    node = reasoning(active=False, autostart=False)
    for response in (submit("Find the sofa."), listed(), cancel("")):
        assert response.code == CODE.NOT_CONFIGURED
        assert "reasoning_node is unconfigured" in response.message
    assert node.statistics.counter("/submit_instruction refused") == 1


def test_a_late_instruction_is_answered_for_what_was_seen_the_newest_first(
    reasoning, keyframes, submit, collect, reasoner, wait_for
):
    node = reasoning()
    candidates = collect(CandidateArray, "candidates", qos.candidates())
    overlays = collect(Image, "reasoning/overlay", qos.image_output())
    wait_for(lambda: node._overlay.get_subscription_count() == 1)
    keyframes(1, 2, 3)
    wait_for(lambda: node._scheduler.keyframe_count == 3, what="the keyframes")
    assert reasoner.asked == []
    assert submit("Find the red mug.", "mug").accepted
    wait_for(lambda: len(candidates) == 3, what="three answers")
    # The newest, then what shows most that the newest does not.
    assert reasoner.asked == [(3, "mug"), (1, "mug"), (2, "mug")]
    message = candidates[0]
    assert (message.session, message.keyframe_id, message.instruction_id) == (SESSION, 3, "mug")
    assert message.header.frame_id == "map"
    assert stamp_to_ns(message.header.stamp) == view(3)[0].frame.stamp_ns
    received, sent = candidates_from_message(message, "candidates"), answer(3)
    assert [item.label for item in received.candidates] == [item.label for item in sent.candidates]
    assert all((a.mask == b.mask).all() for a, b in zip(received.candidates, sent.candidates, strict=True))
    wait_for(lambda: overlays, what="an image with masks")
    assert color_from_image(overlays[0], "overlay").shape[1] >= 80
    keyframes(4)
    wait_for(lambda: len(candidates) == 4, what="the answer to the newest keyframe")
    keyframes(4)  # a message that comes twice is one keyframe
    submit("Find the sofa.", "seat")
    wait_for(lambda: len(candidates) == 8, what="the answers for the second instruction")
    assert sorted(reasoner.asked[4:]) == [(k, "seat") for k in (1, 2, 3, 4)]


def elsewhere(message):
    message.pose.position.x += 20.0


def test_the_newest_keyframe_does_not_wait_for_old_ones(reasoning, keyframes, submit, reasoner, wait_for):
    node = reasoning()
    keyframes(*range(1, 11))
    wait_for(lambda: node._scheduler.keyframe_count == 10, what="the keyframes")
    reasoner.may_answer.clear()
    submit("Find the red mug.", "mug")
    wait_for(lambda: node._questioner.in_flight == 1, what="the first question")
    keyframes(11, change=elsewhere)
    keyframes(12)
    wait_for(lambda: node._scheduler.keyframe_count == 12, what="keyframes while the reasoner thinks")
    reasoner.may_answer.set()
    wait_for(lambda: len(reasoner.asked) == 12, what="twelve answers")
    assert reasoner.asked[0] == (10, "mug")
    assert reasoner.asked[1] == (11, "mug")  # 12 shows little that 10 did not


def test_a_new_session_clears_what_was_seen(reasoning, keyframes, submit, collect, reasoner, wait_for):
    node = reasoning()
    candidates = collect(CandidateArray, "candidates", qos.candidates())
    keyframes(1, 2, 3)
    wait_for(lambda: node._scheduler.keyframe_count == 3, what="the keyframes")
    keyframes(1, session=SESSION + 1)
    wait_for(lambda: node._scheduler.keyframe_count == 1, what="the keyframe of the new session")
    keyframes(4)  # of the session that has ended: it was on its way
    wait_for(lambda: problem(node, f"/keyframes: keyframe 4: expected mapping session {SESSION + 1}, got {SESSION}"))
    submit("Find the red mug.", "mug")
    wait_for(lambda: candidates, what="the answer")
    assert reasoner.asked == [(1, "mug")]
    assert candidates[0].session == SESSION + 1


def test_a_clock_that_goes_back_loses_no_keyframe(reasoning, peer, keyframes, wait_for):
    """The mapping begins another session then; keyframes of it that are queued already are kept."""
    node = reasoning(use_sim_time=True)
    clock = peer.create_publisher(Clock, "/clock", 10)
    wait_for(clock.get_subscription_count, what="the subscription to /clock")
    clock.publish(Clock(clock=stamp_from_ns(1_700_000_020_000_000_000)))
    wait_for(lambda: node.get_clock().now().nanoseconds >= 1_700_000_020_000_000_000, what="the clock")
    keyframes(1, session=SESSION + 1)
    clock.publish(Clock(clock=stamp_from_ns(1_700_000_000_000_000_000)))
    wait_for(lambda: problem(node, "the clock went back by 20.0 s"), what="the jump")
    wait_for(lambda: node._scheduler.keyframe_count == 1, what="the keyframe")


def test_a_reasoner_that_fails_is_asked_once_more(reasoning, keyframes, submit, collect, reasoner, listed, wait_for):
    node = reasoning()
    statuses = collect(InstructionStatusArray, "reasoning_status", qos.latched())
    reasoner.errors = {
        1: [ReasoningError("the model is out of memory")],
        2: [ReasoningError("the model is out of memory")] * 2,
        3: [ZeroDivisionError("a mistake in the back end")] * 2,
    }
    submit("Find the red mug.", "mug")
    keyframes(2)
    wait_for(lambda: statuses and statuses[-1].statuses[0].state == InstructionStatus.FAILED, what="the failure")
    assert statuses[-1].statuses[0].reason == "2 failures, 1 keyframe given up, the last: the model is out of memory"
    assert listed().statuses[0].state == InstructionStatus.FAILED
    assert problem(node, "fake/1: keyframe 2 for mug is given up: the model is out of memory")
    keyframes(1)
    wait_for(lambda: statuses[-1].statuses[0].keyframes_answered == 1, what="the answer to the second try")
    assert statuses[-1].statuses[0].state == InstructionStatus.SEARCHING
    assert reasoner.asked == [(2, "mug")] * 2 + [(1, "mug")] * 2
    keyframes(3)
    wait_for(lambda: problem(node, "keyframe 3 for mug is given up: ZeroDivisionError"), what="the mistake")
    keyframes(4)
    wait_for(lambda: statuses[-1].statuses[0].keyframes_answered == 2, what="the answer after the mistake")
    assert "5 failures, 2 keyframes given up, the last: a mistake in the back end" in statuses[-1].statuses[0].reason
    assert node.statistics.problems()["reasoner failed"].count == 5


EVIL = "\x1b]0;owned\x07\u202e\n[ERROR] [0.0] [mapping_node]: forged %s {0.__class__}"


def test_what_a_back_end_raises_forges_no_log_and_moves_no_cursor(
    reasoning, keyframes, submit, collect, reasoner, wait_for, capfd
):
    logged = []
    node = reasoning()
    statuses = collect(InstructionStatusArray, "reasoning_status", qos.latched())
    reasoner.errors = {1: [ReasoningError(EVIL), KeyError(EVIL)]}
    reasoner.diagnose = lambda: {"server": EVIL}
    submit("Find the red mug.", "mug")
    keyframes(1)
    wait_for(lambda: statuses and statuses[-1].statuses[0].state == InstructionStatus.FAILED, what="the failure")
    assert "forged %s {0.__class__}" in statuses[-1].statuses[0].reason
    shown = [item.text for item in node.statistics.problems().values()]
    status = to_status("node", "active", node.statistics, [], "", node.diagnose())
    shown += [statuses[-1].statuses[0].reason, status.message, *(pair.value for pair in status.values)]
    assert all(text.isprintable() for text in shown)
    wait_for(lambda: "KeyError" in (logged.append(capfd.readouterr().err) or "".join(logged)), what="the trace")
    lines = "".join(logged).split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("[ERROR] [0.0]") for line in lines)


def test_a_model_that_hangs_is_named_and_left_behind(
    reasoning, keyframes, submit, collect, reasoner, listed, wait_for, monkeypatch
):
    """Its closing hangs as well: the node ends, and another model begins, without it."""
    hanging = threading.Event()
    reasoner.propose = lambda keyframe, instruction: hanging.wait(60)
    reasoner.close = lambda: hanging.wait(60)
    monkeypatch.setattr(search_status, "SLOW_S", 0.05)
    monkeypatch.setattr(reasoning_node, "SLOW_S", 0.05)
    monkeypatch.setattr(reasoning_node, "SLOW_PERIOD_S", 0.05)
    monkeypatch.setattr(Questioner.close, "__defaults__", (0.1,))
    node = reasoning()
    statuses = collect(InstructionStatusArray, "reasoning_status", qos.latched())
    submit("Find the red mug.", "mug")
    keyframes(1)
    wait_for(lambda: node._questioner.in_flight == 1, what="the question")
    submit("Find the sofa.", "seat")
    wait_for(lambda: statuses and all("has been thinking for" in item.reason for item in statuses[-1].statuses))
    assert "The oldest question has waited for" in listed().statuses[1].reason
    assert "thinking" in node.diagnose()["trouble of seat"]
    assert float(node.diagnose()["oldest question s"]) > 0
    node.trigger_deactivate(), node.trigger_cleanup()
    assert node._questioner is None
    reasoner.propose = lambda keyframe, instruction: answer(keyframe.id, instruction.id)
    reasoner.close = lambda: None
    node.trigger_configure(), node.trigger_activate()
    candidates = collect(CandidateArray, "candidates", qos.candidates())
    submit("Find the red mug.", "mug")
    keyframes(1)
    wait_for(lambda: candidates, what="the answer of the model that was made anew")
    hanging.set()


def without_intrinsics(message):
    message.camera.k, message.camera.p = [0.0] * 9, [0.0] * 12


def test_a_reasoner_that_thinks_keeps_nobody_waiting(reasoning, keyframes, submit, listed, cancel, reasoner, wait_for):
    """The model hangs all the time: nothing that is done here may wait for it."""
    node = reasoning()
    reasoner.may_answer.clear()
    submit("Find the red mug.", "mug")
    keyframes(1)
    wait_for(lambda: node._questioner.in_flight == 1, what="the question")
    keyframes(2, 3)
    wait_for(lambda: node._scheduler.keyframe_count == 3, what="the keyframes")
    assert submit("Find the sofa.", "seat").accepted
    assert [item.keyframes_pending for item in listed().statuses] == [3, 3]
    assert list(cancel("seat").cancelled) == ["seat"]
    values = node.diagnose()
    assert (values["questions in flight"], values["questions pending"]) == (1, 3)
    assert not reasoner.asked


def test_the_answer_to_a_cancelled_instruction_is_dropped(
    reasoning, keyframes, submit, cancel, collect, reasoner, wait_for
):
    node = reasoning()
    candidates = collect(CandidateArray, "candidates", qos.candidates())
    reasoner.may_answer.clear()
    submit("Find the red mug.", "mug")
    keyframes(1)
    wait_for(lambda: node._questioner.in_flight == 1, what="the question")
    cancel("mug")
    submit("Find the sofa.", "seat")
    reasoner.may_answer.set()
    wait_for(lambda: candidates, what="the answer for the other instruction")
    assert [message.instruction_id for message in candidates] == ["seat"]
    assert node.statistics.counter("answers that came too late") == 1


def test_the_answer_from_a_session_that_has_ended_is_dropped(reasoning, keyframes, submit, collect, reasoner, wait_for):
    node = reasoning()
    candidates = collect(CandidateArray, "candidates", qos.candidates())
    reasoner.may_answer.clear()
    submit("Find the red mug.", "mug")
    keyframes(1)
    wait_for(lambda: node._questioner.in_flight == 1, what="the question")
    keyframes(1, session=SESSION + 1)
    wait_for(lambda: node._sessions.current == SESSION + 1, what="the new session")
    reasoner.may_answer.set()
    wait_for(lambda: candidates, what="the answer of the new session")
    assert [(message.session, message.keyframe_id) for message in candidates] == [(SESSION + 1, 1)]
    assert node.statistics.counter("answers that came too late") == 1


def test_a_batch_and_several_calls_at_once(reasoning, keyframes, submit, collect, reasoner, wait_for):
    calls = []

    def propose_batch(tasks):
        calls.append([(task.keyframe.id, task.instruction.id) for task in tasks])
        return Reasoner.propose_batch(reasoner, tasks)

    reasoner.propose_batch, reasoner.batch_size, reasoner.parallel_calls = propose_batch, 4, 2
    node = reasoning()
    candidates = collect(CandidateArray, "candidates", qos.candidates())
    keyframes(1, 2, 3)
    wait_for(lambda: node._scheduler.keyframe_count == 3, what="the keyframes")
    reasoner.may_answer.clear()
    submit("Find the red mug.", "mug")
    wait_for(lambda: len(calls) == 1, what="the first call")
    submit("Find the sofa.", "seat")
    wait_for(lambda: len(calls) == 2, what="a second call beside it")
    assert sorted(calls[0]) == [(1, "mug"), (2, "mug"), (3, "mug")]
    assert sorted(calls[1]) == [(1, "seat"), (2, "seat"), (3, "seat")]
    keyframes(4)
    wait_for(lambda: node._scheduler.keyframe_count == 4, what="keyframe 4")
    assert len(calls) == 2  # nobody is asked twice at once about one instruction
    reasoner.may_answer.set()
    wait_for(lambda: len(candidates) == 8, what="eight answers")


def test_a_server_that_is_away_costs_no_attempt(reasoning, keyframes, submit, collect, reasoner, listed, wait_for):
    node = reasoning()
    candidates = collect(CandidateArray, "candidates", qos.candidates())
    reasoner.errors = {1: [ServerUnavailable("the server sleeps", 0.0)] * 3}
    submit("Find the red mug.", "mug")
    keyframes(1)
    wait_for(lambda: candidates, what="the answer after three refusals")
    assert node.statistics.problems()["reasoner unavailable"].count == 3
    assert listed().statuses[0].state == InstructionStatus.SEARCHING


def test_what_the_back_end_says_of_itself_is_in_the_diagnostics_and_it_is_closed(reasoning, reasoner):
    closed = []
    reasoner.diagnose = lambda: {"circuit": "open"}
    reasoner.close = lambda: closed.append(True)
    node = reasoning()
    assert node.diagnose()["fake/1 circuit"] == "open"
    node.shut_down()
    assert closed == [True]


def test_only_the_compact_back_end_is_warmed_up(reasoning, monkeypatch):
    warmed = []
    monkeypatch.setattr(reasoning_node, "warm_up_reasoning", warmed.append)
    reasoning(reasoner__backend="oracle")
    assert not warmed
    reasoning(reasoner__backend="hybrid", reasoner__hybrid__fast="compact")
    assert len(warmed) == 1


BAD_KEYFRAMES = {
    "NaN in the pose": (lambda m: setattr(m.pose.position, "x", float("nan")), "/keyframes: keyframe 2 pose"),
    "no rotation": (lambda m: setattr(m.pose.orientation, "w", 7.0), "/keyframes: keyframe 2 pose"),
    "broken colour": (lambda m: setattr(m.color, "data", m.color.data[:20]), "/keyframes: keyframe 2 color"),
    "broken depth": (lambda m: setattr(m.depth, "data", m.depth.data[:20]), "/keyframes: keyframe 2 depth"),
    "zero intrinsics": (without_intrinsics, "/keyframes: keyframe 2 camera"),
    "other camera size": (lambda m: setattr(m.camera, "width", 40), "/keyframes: keyframe 2"),
    "id zero": (lambda m: setattr(m, "id", 0), "/keyframes: keyframe 0"),
    "no direction": (lambda m: setattr(m.up, "z", 0.0), "/keyframes: keyframe 2"),
    "no frame": (lambda m: setattr(m.header, "frame_id", ""), "/keyframes: keyframe 2: expected the map frame"),
    "another frame": (lambda m: setattr(m.header, "frame_id", "odom"), "expected frame 'map', got 'odom'"),
}


def test_bad_keyframes_are_named_and_forgotten(reasoning, keyframes, submit, collect, reasoner, wait_for):
    node = reasoning()
    keyframes(1)
    wait_for(lambda: node._scheduler.keyframe_count == 1, what="the keyframe")
    for count, (name, (change, expected)) in enumerate(BAD_KEYFRAMES.items(), 1):
        # Of another session: a broken message must not end the session.
        session = SESSION if name == "another frame" else SESSION + 5
        keyframes(2, session=session, change=change)
        wait_for(lambda expected=expected: problem(node, expected), what=f"{name}: {expected}")
        wait_for(lambda count=count: node.statistics.problems()["keyframes refused"].count == count, what=name)
        assert node._scheduler.keyframe_count == 1
    submit("Find the red mug.", "mug")
    wait_for(lambda: reasoner.asked == [(1, "mug")], what="the answer to the good keyframe")


def test_a_back_end_that_is_not_there_is_said_at_the_start(spinner, wait_for, monkeypatch):
    monkeypatch.setattr(reasoning_node, "create_relevance", lambda configuration: Relevance(None))
    for values, expected in (
        ({"reasoner.backend": "crystal ball"}, "reasoner.backend: 'crystal ball' is not known; there are compact"),
        ({"reasoner.backend": "oracle"}, "reasoner.backend oracle: needs a recording with annotated objects"),
        ({"recording": "/does/not/exist"}, "/does/not/exist: no such file or folder"),
    ):
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = spinner.add(reasoning_node.ReasoningNode(parameter_overrides=overrides))
        wait_for(lambda node=node: node._error, 30, "the error")
        assert expected in node._error
        assert node.state == "unconfigured"
