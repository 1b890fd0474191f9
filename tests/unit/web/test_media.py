import base64

import pytest

from tests.unit.web.test_conversation import span
from watchkeeper.model.span import LLM, Message, Part
from watchkeeper.web import media

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
TEXT = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "part",
    [
        Part("media", uri=f"data:image/png;base64,{TEXT}"),
        Part("media", raw={"type": "blob", "mime_type": "image/png", "content": TEXT}),
        Part("media", raw={"type": "image", "source": {"type": "base64", "data": TEXT}}),
        Part("media", raw={"inlineData": {"mimeType": "image/png", "data": TEXT}}),
        Part("media", raw={"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TEXT}"}}),
        Part("media", mime_type="text/html", raw={"content": base64.urlsafe_b64encode(PNG).decode()}),
    ],
)
def test_it_finds_a_picture_however_it_was_embedded(part: Part) -> None:
    assert media.picture(part) == ("image/png", PNG)
    assert media.kind(part) == "image/png"
    assert abs(media.size(part) - len(PNG)) <= 3


@pytest.mark.parametrize(
    "part",
    [
        Part("media", uri="https://example.com/a.png", mime_type="image/png"),
        Part(
            "media",
            mime_type="image/svg+xml",
            raw={"content": base64.b64encode(b"<svg onload=xss()>" * 4).decode()},
        ),
        Part("media", uri="data:text/html;base64," + base64.b64encode(b"<script>xss()</script>").decode()),
        Part("media", uri="data:image/png,notbase64"),
        Part(
            "media", mime_type="image/webp", raw={"content": base64.b64encode(b"RIFF" + bytes(40)).decode()}
        ),
        Part("media", mime_type="image/png", raw={"content": "no base64 at all, only words"}),
        Part("media", raw={"source": {"source": {"source": {"source": {"data": TEXT}}}}}),
        Part("media", raw=["nothing", 7]),
        Part("media"),
    ],
)
def test_what_is_no_raster_picture_is_not_shown_whatever_it_says_it_is(part: Part) -> None:
    assert media.picture(part) is None
    assert media.kind(part) == ""


def test_a_picture_that_was_cut_when_it_was_stored_keeps_its_beginning() -> None:
    found = media.picture(Part("media", uri=f"data:image/png;base64,{TEXT[:-3]}"))
    assert found is not None
    assert PNG.startswith(found[1])


def test_it_lists_the_media_of_a_call_in_the_order_they_are_shown() -> None:
    first, second = Part("media", uri="a"), Part("media", uri="b")
    call = LLM(
        input_messages=[Message("user", [Part("text", text="x"), first])],
        output_messages=[Message("assistant", [second])],
    )
    assert media.parts(span(1, kind="llm", llm=call)) == [first, second]
    assert media.parts(span(2)) == []
