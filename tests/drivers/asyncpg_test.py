"""asyncpg through the pooler, its statement cache off as for every pooler without prepared statements."""

import asyncio
import io

import asyncpg


async def one(conn):
    async with conn.transaction():
        row = await conn.fetchrow("select $1::int + 1 as n, $2::text as t", 41, "hé")
        assert (row["n"], row["t"]) == (42, "hé"), row
        await conn.execute("create temp table t (i int, v text) on commit drop")
        await conn.executemany("insert into t values ($1, $2)", [(i, str(i)) for i in range(500)])
        try:
            async with conn.transaction():
                await conn.fetch("select 1/0")
            raise AssertionError("no error")
        except asyncpg.DivisionByZeroError:
            pass
        assert await conn.fetchval("select count(*) from t") == 500
        seen = [r["i"] async for r in conn.cursor("select i from t order by i", prefetch=50)]
        assert seen == list(range(500))
        await conn.copy_records_to_table("t", records=[(i, "c") for i in range(10000)])
        out = io.BytesIO()
        await conn.copy_from_query("select i from t", output=out)
        assert out.getvalue().count(b"\n") == 10500
    for sql, error in [
        ("selec", asyncpg.PostgresSyntaxError),
        ("select no", asyncpg.UndefinedColumnError),
    ]:
        try:
            await conn.fetch(sql)
            raise AssertionError(sql)
        except error:
            pass
    assert await conn.execute("select 1; select 2") == "SELECT 1"


async def timeout_cancels(conn):
    try:
        await conn.execute("select pg_sleep(60)", timeout=0.5)
        raise AssertionError("not cancelled")
    except asyncio.TimeoutError:
        pass
    async with conn.transaction():
        assert await conn.fetchval("select 1") == 1


async def main():
    conn = await asyncpg.connect(statement_cache_size=0)
    await one(conn)
    await timeout_cancels(conn)
    await conn.close()
    print("one connection")
    # No reset: "select pg_advisory_unlock_all(); …" is the pooler's work.
    pool = await asyncpg.create_pool(statement_cache_size=0, min_size=5, max_size=5)

    async def task(number):
        async with pool.acquire() as conn, conn.transaction():
            return await conn.fetchval("select $1::int", number)

    answers = await asyncio.gather(*(task(i) for i in range(200)))
    assert answers == list(range(200))
    await pool.close()
    print("ok")


asyncio.run(asyncio.wait_for(main(), 60))
