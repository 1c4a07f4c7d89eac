"""Files whose bytes are in a bucket."""

import asyncio
from hashlib import sha256
from typing import Any

import pytest

from tests.deployments import LAPTOP, Deployment
from tests.http.answers import outcome, work_done
from tests.http.conftest import StartApp
from tests.http.uploading import upload
from tests.running_app import RunningApp
from tests.s3_servers import ACCESS_KEY_ID, SECRET_ACCESS_KEY, RcloneServer, S3Server

CONTENT = bytes(range(256)) * 50_000
"""Three parts of a multipart upload."""


@pytest.fixture
def deployment() -> Deployment:
    """One deployment will do: its storage is replaced, and nothing here depends on the rest."""
    return LAPTOP


def in_bucket(server: S3Server, bucket: str) -> dict[str, Any]:
    """The settings that keep bytes there."""
    return {
        "storage_backend": "s3",
        "s3_endpoint_url": server.url,
        "s3_bucket": bucket,
        "s3_access_key_id": ACCESS_KEY_ID,
        "s3_secret_access_key": SECRET_ACCESS_KEY,
    }


@pytest.mark.parametrize("name", ["moto", "rclone"])
async def test_a_file_comes_back_whole_and_in_ranges_and_goes_with_its_bytes(
    request: pytest.FixtureRequest, start_app: StartApp, name: str
) -> None:
    server: S3Server = request.getfixturevalue(name)
    bucket = server.new_bucket()
    app = await start_app(**in_bucket(server, bucket))
    _, ada = await app.user()
    files = [await upload(app, ada, CONTENT, f"{number}.bin") for number in range(2)]
    assert server.names_in(bucket) == {f"blobs/{sha256(CONTENT).hexdigest()}"}

    where = f"/files/{files[0]['id']}/content"
    assert (await app.http.get(where, headers=ada)).content == CONTENT
    for asked, expected in (("0-9", CONTENT[:10]), ("-5", CONTENT[-5:]), ("9000000-", CONTENT[9_000_000:])):
        ranged = await app.http.get(where, headers={**ada, "Range": f"bytes={asked}"})
        assert (ranged.status_code, ranged.content) == (206, expected)

    for file, left in zip(files, (1, 0), strict=True):
        assert (await app.http.delete(f"/files/{file['id']}", headers=ada)).status_code == 204
        await work_done(app)
        assert len(server.names_in(bucket)) == left


async def test_files_are_served_from_a_bucket_once_their_bytes_were_copied_as_the_readme_says(
    start_app: StartApp, moto: S3Server
) -> None:
    before = await start_app()
    _, ada = await before.user()
    file = await upload(before, ada, CONTENT)
    bucket = moto.new_bucket()
    for path in (before.data / "files").glob("??/??/*"):
        moto.client.upload_file(str(path), bucket, f"blobs/{path.name}")
    after = await start_app(**in_bucket(moto, bucket), with_worker=False)

    assert (await after.http.get(f"/files/{file['id']}/content", headers=ada)).content == CONTENT
    assert (await after.http.get("/files/download/" + file["filename"], headers=ada)).content == CONTENT


async def test_what_is_refused_leaves_nothing_in_the_bucket(start_app: StartApp, moto: S3Server) -> None:
    bucket = moto.new_bucket()
    app = await start_app(**in_bucket(moto, bucket), max_upload_bytes=len(CONTENT) - 1, storage_quota_bytes=200)
    _, ada = await app.user()
    for size, code in ((len(CONTENT), "file_too_large"), (201, "quota_exceeded")):
        files = {"file": ("a.bin", CONTENT[:size], "text/plain")}
        assert outcome(await app.http.post("/files/upload", files=files, headers=ada)) == (413, code)
    await asyncio.gather(*app.container.blobs()._undoing)
    assert moto.names_in(bucket) == set()


async def test_while_the_service_is_away_an_upload_can_be_tried_again_later(start_app: StartApp) -> None:
    with RcloneServer() as server:
        app: RunningApp = await start_app(**in_bucket(server, server.new_bucket()))
        _, ada = await app.user()
        file = await upload(app, ada)
        server.kill()
        files = {"file": ("a.txt", b"tea", "text/plain")}
        for response in (
            await app.http.post("/files/upload", files=files, headers=ada),
            await app.http.get(f"/files/{file['id']}/content", headers=ada),
        ):
            assert outcome(response) == (503, "unavailable")
            assert "Retry-After" in response.headers
        assert len((await app.http.get("/files/", headers=ada)).json()["items"]) == 1
