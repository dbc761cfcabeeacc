"""asyncpg at the console: named statements, binary values, one statement read in parts."""

import asyncio
import sys

import asyncpg

QUERIES, COMMANDS = int(sys.argv[1]), sys.argv[2:]


async def main():
    conn = await asyncpg.connect()
    for command in COMMANDS:
        await conn.fetch(command)
        await conn.execute(command)
    counts = {row["database"]: row["total_query_count"] for row in await conn.fetch("show stats")}
    assert counts["postgres"] == QUERIES, counts
    async with conn.transaction():
        parts = [row["list"] async for row in conn.cursor("show lists", prefetch=4)]
    assert "used_clients" in parts, parts
    try:
        await conn.fetch("show nonsense")
    except asyncpg.PostgresSyntaxError:
        pass
    else:
        raise AssertionError("nonsense was understood")
    await conn.execute("pause")
    assert await conn.fetchval("show is_paused") is True
    await conn.execute("resume")
    await conn.close()


asyncio.run(main())
print("ok")
