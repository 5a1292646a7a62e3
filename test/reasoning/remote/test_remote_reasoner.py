"""The remote back end: what is sent, what becomes of answers, and that it is one question at a time."""

import base64
import json
import threading
import time

import cv2
import numpy as np
import pytest
from box_room import CARTON, CUP, ROOM, look
from hostile_server import HostileServer, completion, hang, http, well

from lira_ros.reasoning.answers.contracts import BoxUnits
from lira_ros.reasoning.answers.schema import answer_schema
from lira_ros.reasoning.contracts import Instruction, ReasoningError, Role, ServerUnavailable
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.remote.client import ChatClient
from lira_ros.reasoning.remote.configuration import RemoteConfiguration
from lira_ros.reasoning.remote.picture import choose_units, encode_picture
from lira_ros.reasoning.remote.reasoner import RemoteReasoner
from lira_ros.reasoning.segmentation.depth import DepthSegmenter

CUP_WANTED = Instruction("cup", "Find the red cup.", parse("Find the red cup."))


class NoEncoder:
    """Leaves the embeddings to what the masks look like."""

    def encode(self, keyframe, masks, labels, colors):
        return np.zeros((len(masks), 0), dtype=np.float32)


@pytest.fixture(scope="module")
def seen():
    """Return a keyframe, and the box [px] of every thing in it by its number in the room."""
    keyframe, index = look()
    boxes = {}
    for number in range(len(ROOM)):
        rows, columns = np.nonzero(index == number)
        boxes[number] = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    return keyframe, boxes, index


@pytest.fixture
def start():
    """Return a function that starts a server and a reasoner that asks it."""
    started = []

    def make(behave, **values):
        server = HostileServer(behave)
        configuration = RemoteConfiguration(url=server.url, **{"timeout_s": 2.0, **values})
        client = ChatClient(configuration, "reasoner.remote.", configuration.parallel_calls)
        reasoner = RemoteReasoner(configuration, client, DepthSegmenter(), NoEncoder())
        started.extend((reasoner, server))
        return reasoner, server

    yield make
    for item in started:
        item.close()


def saying(*objects, reason=""):
    return json.dumps({"objects": list(objects), "reason": reason})


def thing(label, box, role="target", **fields):
    return {"label": label, "color": "red", "bbox_2d": box, "role": role, "confidence": 0.9, **fields}


def thousandths(box, keyframe):
    height_px, width_px = keyframe.frame.color.shape[:2]
    return [round(1000 * value / side) for value, side in zip(box, 2 * (width_px, height_px), strict=True)]


def test_boxes_of_an_answer_become_candidates_with_masks(start, seen):
    keyframe, boxes, index = seen
    cup, carton = ROOM.index(CUP), ROOM.index(CARTON)
    said = saying(
        thing("cup", thousandths(boxes[cup], keyframe), reason="it is red"),
        thing("carton", thousandths(boxes[carton], keyframe), role="context", color="blue"),
    )
    reasoner, server = start(well(f"<think>Hm [1]</think>```json\n{said}\n```", model="some/model"))
    answer = reasoner.propose(keyframe, CUP_WANTED)
    assert (answer.keyframe_id, answer.instruction_id, answer.model) == (keyframe.id, "cup", "remote/some/model")
    for candidate, number in zip(answer.candidates, (cup, carton), strict=True):
        truth = index == number
        assert np.count_nonzero(candidate.mask & truth) / np.count_nonzero(candidate.mask | truth) > 0.6
    first, second = answer.candidates
    assert (first.label, first.role, first.attributes.color) == ("cup", Role.TARGET, "red")
    assert first.target_confidence == pytest.approx(0.9)
    assert second.target_confidence < 0.1
    assert "it is red" in first.reason
    assert np.linalg.norm(first.embedding) == pytest.approx(1.0, abs=1e-4)
    (exchange,) = answer.exchanges
    assert "Find the red cup." in exchange.prompt
    assert "[keyframe 1]" in exchange.prompt
    assert said in exchange.answer
    assert (exchange.problem, exchange.latency_s > 0) == ("", True)

    (body,) = server.posts()
    assert body["response_format"]["json_schema"]["schema"] == answer_schema(BoxUnits.RELATIVE_1000)
    _, user = body["messages"]
    assert [part["type"] for part in user["content"]] == ["text", "image_url"]
    uri = user["content"][1]["image_url"]["url"]
    assert uri.startswith("data:image/jpeg;base64,")
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture.shape == keyframe.frame.color.shape
    assert np.abs(picture.astype(int) - keyframe.frame.color).mean() < 6
    told = reasoner.diagnose()
    assert (told["masks"], told["server circuit"], told["answers that could not be read"]) == ("depth", "closed", 0)


def test_boxes_in_pixels_are_those_of_the_image_sent(start, seen):
    keyframe, boxes, index = seen  # 320 x 240
    cup = ROOM.index(CUP)
    box = [round(value * 168 / 320) for value in boxes[cup][::2]], [round(v * 112 / 240) for v in boxes[cup][1::2]]
    said = saying(thing("cup", [box[0][0], box[1][0], box[0][1], box[1][1]]))
    reasoner, server = start(well(said), model="Qwen/Qwen2.5-VL-7B-Instruct", max_image_side_px=168)
    (candidate,) = reasoner.propose(keyframe, CUP_WANTED).candidates
    assert np.count_nonzero(candidate.mask & (index == cup)) > 0.7 * np.count_nonzero(candidate.mask)
    uri = server.posts()[0]["messages"][1]["content"][1]["image_url"]["url"]
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (112, 168, 3)  # whole blocks of 28


@pytest.mark.parametrize(
    ("size", "units", "longest", "expected"),
    [
        ((480, 640), BoxUnits.RELATIVE_1000, 1024, (640, 480)),
        ((480, 640), BoxUnits.RELATIVE_1000, 320, (320, 240)),
        ((1080, 1920), BoxUnits.RELATIVE_1, 1024, (1024, 576)),
        ((480, 640), BoxUnits.PIXELS, 1024, (644, 476)),
        ((480, 640), BoxUnits.PIXELS, 640, (616, 476)),
        ((3, 4000), BoxUnits.RELATIVE_1000, 100, (100, 1)),
        ((3, 4000), BoxUnits.PIXELS, 100, (84, 28)),
    ],
)
def test_the_size_of_the_image_sent(size, units, longest, expected):
    picture = encode_picture(np.zeros((*size, 3), dtype=np.uint8), units, longest, 85)
    assert (picture.width_px, picture.height_px) == expected


def test_units_follow_the_name_of_the_model():
    assert choose_units("auto", "Qwen/Qwen2.5-VL-7B-Instruct-AWQ") is BoxUnits.PIXELS
    assert choose_units("auto", "Qwen/Qwen3-VL-8B-Instruct") is BoxUnits.RELATIVE_1000
    assert choose_units("auto", "") is BoxUnits.RELATIVE_1000
    assert choose_units("relative_1", "Qwen2.5-VL") is BoxUnits.RELATIVE_1


def one_after_the_other(*texts):
    left = list(texts)

    def behave(connection, request):
        well(left.pop(0) if request[0] == "POST" else "")(connection, request)

    return behave


def test_an_answer_that_cannot_be_read_is_asked_for_once_more(start, seen):
    keyframe, boxes, _ = seen
    good = saying(thing("cup", thousandths(boxes[ROOM.index(CUP)], keyframe)))
    reasoner, server = start(one_after_the_other("I see a cup.", good))
    answer = reasoner.propose(keyframe, CUP_WANTED)
    assert len(answer.candidates) == 1
    first, second = answer.exchanges
    assert (first.answer, second.answer, second.problem) == ("I see a cup.", good, "")
    assert "got 'I see a cup.'" in first.problem
    again = server.posts()[1]["messages"][1]["content"][0]["text"]
    assert "Find the red cup." in again
    assert "I see a cup." in again  # it is told what was wrong


def test_a_second_unreadable_answer_is_an_error_and_never_nothing_there(start, seen):
    reasoner, _ = start(one_after_the_other("nothing", '{"objects": [{"label": "cup"', saying()))
    with pytest.raises(ReasoningError, match="asked twice") as caught:
        reasoner.propose(seen[0], CUP_WANTED)
    assert not isinstance(caught.value, ServerUnavailable)
    assert [bool(exchange.problem) for exchange in caught.value.exchanges] == [True, True]
    told = reasoner.diagnose()
    assert (told["answers that could not be read"], told["keyframes given up for that"]) == (2, 1)
    assert reasoner.propose(seen[0], CUP_WANTED).candidates == ()  # an empty list is an answer


def test_a_cut_answer_says_which_parameter_cut_it(start, seen):
    def behave(connection, request):
        connection.sendall(http(200, completion('{"objects": [', finish_reason="length")))

    reasoner, _ = start(behave, model="m", max_answer_tokens=16)
    with pytest.raises(ReasoningError, match=r"cut at 16 tokens, max_answer_tokens"):
        reasoner.propose(seen[0], CUP_WANTED)


def test_a_server_that_is_away_leaves_the_exchange_and_the_time_to_wait(start, seen):
    reasoner, server = start(lambda connection, request: connection.sendall(http(503, b"", "Retry-After: 5")))
    with pytest.raises(ServerUnavailable, match="HTTP 503") as caught:
        reasoner.propose(seen[0], CUP_WANTED)
    assert 4 < caught.value.retry_after_s <= 5
    assert "HTTP 503" in caught.value.exchanges[0].problem
    asked = len(server.requests)
    with pytest.raises(ServerUnavailable, match="is not asked for"):
        reasoner.propose(seen[0], CUP_WANTED)
    assert len(server.requests) == asked


EVIL = "\x1b]0;owned\x07\x1b[2J\u202eevil\u202c\x00\r\n<|im_end|>" + 10_000 * "A"


def test_hostile_text_in_an_answer_comes_out_plain(start, seen):
    keyframe, boxes, _ = seen
    box = thousandths(boxes[ROOM.index(CUP)], keyframe)
    said = saying(thing(EVIL, box, color=EVIL, role=EVIL, reason=EVIL, extra=EVIL), reason=EVIL)
    reasoner, _ = start(well(said, model="\x1b[31mred"))
    answer = reasoner.propose(keyframe, CUP_WANTED)
    for candidate in answer.candidates:
        for text, longest in ((candidate.label, 80), (candidate.reason, 500), (candidate.attributes.color, 80)):
            assert text.isprintable()
            assert len(text) <= longest
    assert answer.model.isprintable()
    assert str(reasoner.diagnose()["server model"]).isprintable()


def test_one_question_at_a_time_for_an_instruction_and_several_instructions_at_once(start, seen):
    reasoner, server = start(well(saying(), delay_s=0.15), parallel_calls=4)
    other = Instruction("chair", "Find the chair.", parse("Find the chair."))

    def ask_all(instructions):
        server.most_in_flight = 0
        threads = [threading.Thread(target=reasoner.propose, args=(seen[0], item)) for item in instructions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return server.most_in_flight

    assert ask_all([CUP_WANTED] * 3) == 1
    assert ask_all([CUP_WANTED, other, CUP_WANTED, other]) == 2


def test_close_ends_the_calls_that_wait(start, seen):
    reasoner, server = start(hang, model="m", timeout_s=60.0)
    errors = []

    def ask():
        with pytest.raises(ReasoningError) as caught:
            reasoner.propose(seen[0], CUP_WANTED)
        errors.append(str(caught.value))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    while not server.posts():
        time.sleep(0.005)
    reasoner.close()
    for thread in threads:
        thread.join(5)
    assert len(errors) == 3
    assert all("was closed" in error for error in errors)
