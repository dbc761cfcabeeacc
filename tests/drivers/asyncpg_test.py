"""asyncpg with its statement cache, which is its default, and the reset of its pool.

Special: Parse, Describe and Flush (no Sync) of __asyncpg_stmt_N__, and when that is answered Bind, Execute and
Sync, or after an error the Sync alone; N counts over the whole process, so the same text has another name on
each connection; a row or value is fetched by an Execute of one row, a cursor by Execute and Sync of its own
portal in a transaction; a release to the pool sends, in one string, `SELECT pg_advisory_unlock_all(); CLOSE
ALL; UNLISTEN *; RESET ALL;`; what falls out of the cache is closed by the protocol; `cached plan must not
change result type` outside of a transaction is tried once more; its client_encoding is 'utf-8', in quotes.
"""

import asyncio
import io

import asyncpg

CLIENTS = 16
TEXTS = 7


def text(number):
    """A statement which no other number has, so that an answer tells which one ran."""
    return f"select {number} * 1000 + $1::int"


async def ask(conn, number, value):
    assert await conn.fetchval(text(number), value) == number * 1000 + value


async def refuses(error, awaitable):
    try:
        await awaitable
    except error:
        return
    raise AssertionError(f"no {error}")


async def queries(conn):
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
    assert await conn.execute("select 1; select 2") == "SELECT 1"


async def errors(conn):
    for _ in range(4):
        await refuses(asyncpg.PostgresSyntaxError, conn.fetch("selec"))
        await refuses(asyncpg.UndefinedColumnError, conn.fetch("select no"))
        await refuses(asyncpg.DivisionByZeroError, conn.fetch("select 1 / $1::int", 0))
        assert await conn.fetchval("select 6 / $1::int", 3) == 2
        many = conn.executemany("select 1 / $1::int", [(1,), (0,), (1,)])
        await refuses(asyncpg.DivisionByZeroError, many)


async def prepared(conn):
    """Statements of the application's own, used in and between transactions."""
    held = [await conn.prepare(text(number)) for number in range(TEXTS)]
    for value in range(5):
        for number, statement in enumerate(held):
            assert await statement.fetchval(value) == number * 1000 + value
        async with conn.transaction():
            for number, statement in enumerate(held):
                assert await statement.fetchval(value) == number * 1000 + value
            series = await conn.prepare("select generate_series(1, $1::int)")
            cursor = await series.cursor(25)
            assert [len(await cursor.fetch(10)) for _ in range(4)] == [10, 10, 5, 0]
    await conn.execute("discard all")
    await conn.reload_schema_state()
    for value in range(3):
        await ask(conn, value, value)


async def types(conn):
    await conn.execute("drop type if exists asyncpg_mood")
    await conn.execute("create type asyncpg_mood as enum ('glad', 'sad')")
    jit = await conn.fetchval("show jit")
    for _ in range(3):
        assert await conn.fetchval("select $1::asyncpg_mood[]", ["sad", "glad"]) == ["sad", "glad"]
    assert await conn.fetchval("show jit") == jit


async def small_cache():
    """Each use of a third statement closes one of the two that are cached."""
    conn = await asyncpg.connect(statement_cache_size=2)
    for _ in range(3):
        for number in range(TEXTS):
            await ask(conn, number, 1)
            await ask(conn, number, 2)
    await conn.close()


async def timeout_cancels(conn):
    try:
        await conn.execute("select pg_sleep(60)", timeout=0.5)
        raise AssertionError("not cancelled")
    except asyncio.TimeoutError:
        pass
    async with conn.transaction():
        assert await conn.fetchval("select 1") == 1


async def schema_changes(pool):
    """Every connection has the statement; its result changes under it."""
    await pool.execute("drop table if exists asyncpg_t")
    await pool.execute("create table asyncpg_t (i int)")
    await pool.execute("insert into asyncpg_t values (1)")
    conns = [await pool.acquire() for _ in range(CLIENTS)]
    for column in range(3):
        for _ in range(2):
            rows = await asyncio.gather(*(c.fetchrow("select * from asyncpg_t") for c in conns))
            assert all(len(row) == column + 1 for row in rows), rows
        await conns[column].execute(f"alter table asyncpg_t add column c{column} text")
    rows = [await conn.fetchrow("select * from asyncpg_t") for conn in conns]
    assert all(len(row) == 4 for row in rows), rows
    for conn in conns:
        await pool.release(conn)


async def one_of_many(pool, number):
    for turn in range(10):
        async with pool.acquire() as conn:
            unset = await conn.fetchval("select current_setting('my.tenant', true)")
            assert unset in (None, ""), unset
            await conn.execute(f"set my.tenant = 'tenant {number}'")
            zone = f"Etc/GMT-{number % 12 + 1}"
            await conn.fetchval("select set_config('TimeZone', $1, false)", zone)
            for at in range(TEXTS):
                await ask(conn, (number + at) % TEXTS, turn)
                async with conn.transaction():
                    own = await conn.fetchval("select current_setting('my.tenant')")
                    assert own == f"tenant {number}", (number, own)
                    own = await conn.fetchval("select current_setting('TimeZone')")
                    assert own == zone, (number, own)
                    await ask(conn, (number * at) % TEXTS, turn)


async def main():
    conn = await asyncpg.connect()
    for step in (queries, errors, prepared, types, timeout_cancels):
        await step(conn)
        print(step.__name__, flush=True)
    await conn.close()
    await small_cache()
    print("small_cache", flush=True)
    pool = await asyncpg.create_pool(min_size=CLIENTS, max_size=CLIENTS)
    await schema_changes(pool)
    print("schema_changes", flush=True)
    await asyncio.gather(*(one_of_many(pool, number) for number in range(CLIENTS)))
    await pool.close()
    print("ok")


asyncio.run(asyncio.wait_for(main(), 60))
