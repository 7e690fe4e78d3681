"""A real S3 server, moto's, with one bucket, in a process of its own."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.processes import running

BUCKET = "experiments"
SECRET = "aSecretOfTheBucket"
SERVER = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


class Bucket(NamedTuple):
    """A running S3 server with one bucket; `uri` names a folder in the bucket, `endpoint` the server."""

    uri: str
    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it, under the names that people use for MinIO."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "person",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "eu-west-1",
        }

    def keys(self) -> set[str]:
        """Return the names of all objects in the bucket."""
        import boto3

        environment = self.environment
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=SECRET,
            region_name=environment["AWS_DEFAULT_REGION"],
        )
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {item["Key"] for page in pages for item in page.get("Contents", [])}


@contextmanager
def running_bucket() -> Iterator[Bucket]:
    """Run the server for the length of a block."""
    with running([sys.executable, "-c", SERVER], stdin=-1, stdout=-1) as server:
        assert server.stdin is not None and server.stdout is not None
        endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
        with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")):
            pass
        yield Bucket(f"s3://{BUCKET}/mlflow", endpoint)
        server.stdin.close()
