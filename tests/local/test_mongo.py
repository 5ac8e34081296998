"""The private MongoDB: a replica set of one whose acknowledged writes survive a crash."""

from pathlib import Path

import pymongo

from deploy.local import ports
from deploy.local.mongo import Mongo


def test_acknowledged_documents_survive_kill_9(tmp_path: Path) -> None:
    with Mongo(tmp_path / "mongo", ports.free_ports(1)[0]) as server:
        with pymongo.MongoClient(server.url) as client:
            client.app.documents.insert_many([{"_id": number} for number in range(100)])
        server.kill()
        server.start().wait_until_ready()
        with pymongo.MongoClient(server.url) as client:
            assert client.app.documents.count_documents({}) == 100


def test_transactions_and_change_streams_work(mongo: Mongo) -> None:
    with pymongo.MongoClient(mongo.url) as client:
        documents = client.local_test.documents
        documents.drop()
        documents.insert_one({"_id": "before"})
        with documents.watch() as changes:
            with client.start_session() as session, session.start_transaction():
                documents.insert_one({"_id": "together"}, session=session)
            assert changes.next()["documentKey"] == {"_id": "together"}
        client.drop_database("local_test")
