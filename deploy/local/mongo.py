"""A private MongoDB: `mongod` where it is on the PATH, else SecantusDB, a separate process that speaks its protocol."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pymongo
import pymongo.errors

from deploy.local.server import HOST, NotReady, Server, base_env

REPLICA_SET = "gatehouse"
ALREADY_INITIALIZED = 23


class Mongo(Server):
    name = "mongo"

    def __init__(self, folder: Path, port: int, log: Path | None = None) -> None:
        super().__init__(folder, port, log)
        self.mongod = shutil.which("mongod")
        self.data = self.folder / ("mongod" if self.mongod else "secantus")

    @property
    def url(self) -> str:
        return f"mongodb://{HOST}:{self.port}/?replicaSet={REPLICA_SET if self.mongod else 'secantus'}"

    def prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)

    def program(self) -> list[str]:
        address = ["--port", str(self.port)]
        if self.mongod:
            return [
                self.mongod, *address, "--bind_ip", HOST, "--dbpath", str(self.data), "--replSet", REPLICA_SET,
                "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--quiet",
            ]  # fmt: skip
        return [
            sys.executable, "-m", "secantus", *address, "--host", HOST, "--storage-path", str(self.data),
            "--sync-on-commit", "--noop-heartbeat-seconds", "10", "--cache-size", "128M", "--log-level", "WARNING",
        ]  # fmt: skip

    def env(self) -> dict[str, str]:
        return base_env(self.folder)

    def probe(self) -> None:
        """Ready means: it accepts writes. A new `mongod` is made a replica set of one on the way."""
        try:
            client: pymongo.MongoClient[dict[str, Any]]
            with pymongo.MongoClient(HOST, self.port, directConnection=True, serverSelectionTimeoutMS=2000) as client:
                hello: dict[str, Any] = client.admin.command("hello")
                if hello.get("isreplicaset"):
                    self._make_replica_set(client)
                if not hello.get("isWritablePrimary"):
                    raise NotReady("no primary yet")
        except pymongo.errors.PyMongoError as error:
            raise NotReady(str(error)) from None

    def _make_replica_set(self, client: "pymongo.MongoClient[dict[str, Any]]") -> None:
        """Of one member: this server. One that was made on another port is told its new address."""
        member = {"_id": 0, "host": f"{HOST}:{self.port}"}
        try:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        except pymongo.errors.OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise
            config = client.admin.command("replSetGetConfig")["config"]
            config.update(version=config["version"] + 1, members=[{**config["members"][0], **member}])
            client.admin.command("replSetReconfig", config, force=True)
