"""Looks at the route table's file, and has the gate go by the new table once it is right."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from gateway.meters import TABLE_LOADED, TABLE_RELOADS
from gateway.routes import Mistakes

if TYPE_CHECKING:
    from gateway.configuration import TableFile
    from gateway.gate import Gate

log = logging.getLogger(__name__)
LOOK_EVERY_S = 0.4  # a change is taken when two looks in a row find the same


async def follow(gate: "Gate", file: "TableFile") -> None:
    """Every worker looks for itself: a stat costs less than any message between them."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if file.has_changed() and not gate.is_stopping:
            await reload(gate, file)


async def reload(gate: "Gate", file: "TableFile") -> None:
    """Take the new table, or say what is wrong with it and go on with the old one."""
    try:
        gate.adopt(await asyncio.to_thread(file.read))
    except Mistakes as mistakes:
        TABLE_RELOADS.labels("refused").inc()
        log.error("the route table is wrong, the one in use stays: %s", mistakes)
    except Exception as error:  # a mistake of ours must not end the watch, nor replace the table
        TABLE_RELOADS.labels("refused").inc()
        gate.report(error)
    else:
        TABLE_RELOADS.labels("taken").inc()
        TABLE_LOADED.set(time.time())
        log.info("a new route table is in use")
