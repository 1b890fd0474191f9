"""What Langfuse's SDK asks its server beside sending spans."""

from pathlib import Path

from tests.unit.server.doubles import rig


async def test_a_key_is_told_its_project_and_the_address_made_of_it_leads_to_the_trace(
    tmp_path: Path,
) -> None:
    served = rig(tmp_path)
    async with served.client(served.key("ingest", "shop")) as client:
        (project,) = (await client.get("/api/public/projects")).json()["data"]
    assert (project["id"], project["name"]) == ("shop", "shop")
    assert project["organization"].keys() == {"id", "name"} and project["metadata"] == {}
    trace = "ab" * 16
    async with served.client(served.key("viewer", "shop")) as client:
        answer = await client.get(f"/project/shop/traces/{trace}")
        odd = await client.get("/project/a%26b%3Dc/traces/x%3Fy")
    assert answer.headers["location"] == f"/traces/{trace}?project=shop"
    assert odd.headers["location"] == "/traces/x%3Fy?project=a%26b%3Dc"
