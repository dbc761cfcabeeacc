"""psycopg 3, which prepares each statement at its second use (prepare_threshold=1), its pipeline mode,
and libpq's own PQprepare under it.

Special: a statement is prepared under _pg3_N in a Sync of its own and run in the next; BEGIN and COMMIT are
simple queries, in a pipeline nameless Parses; whenever a command tag is ROLLBACK, ALTER or DROP it sends
`DEALLOCATE ALL` and begins anew at its next number; what falls out of its cache is closed by the protocol, or
by `DEALLOCATE _pg3_N` where libpq is older than 17; execute in a pipeline looks at answers when they come.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import _connection_base, pq

CLIENTS = 16
TEXTS = 7


def connect(**options):
    conn = psycopg.connect(**options)
    conn.prepare_threshold = 1
    return conn


def text(number):
    """A statement which no other number has, so that an answer tells which one ran."""
    return f"select {number} * 1000 + %s::int, %s::text"


def ask(conn, number, value):
    assert conn.execute(text(number), (value, "é")).fetchone() == (number * 1000 + value, "é")


def refuses(code, run, *arguments):
    try:
        run(*arguments)
    except psycopg.Error as refused:
        assert refused.sqlstate == code, refused
    else:
        raise AssertionError(f"no {code} from {arguments}")


def parameters_and_transactions(conn):
    row = conn.execute("select %s::int + 1, %s::text, %b::bytea", (41, "hé", b"\0\1")).fetchone()
    assert row == (42, "hé", b"\0\1"), row
    conn.commit()
    with conn.transaction():
        conn.execute("create temp table t (i int, v text) on commit drop")
        conn.cursor().executemany("insert into t values (%s, %s)", [(i, str(i)) for i in range(500)])
        try:
            with conn.transaction():
                conn.execute("select 1/0")
            raise AssertionError("no error")
        except psycopg.errors.DivisionByZero:
            pass
        assert conn.execute("select count(*) from t").fetchone() == (500,)
        with conn.cursor(name="server_side") as cursor:
            cursor.itersize = 50
            cursor.execute("select i from t order by i")
            assert [i for (i,) in cursor] == list(range(500))


def errors(conn):
    conn.autocommit = True
    for _ in range(4):
        for sql, code in [("selec", "42601"), ("select no", "42703"), ("select 1/0", "22012")]:
            refuses(code, conn.execute, sql)
            refuses("22012", conn.execute, "select 1 / %s::int", (0,))
        assert conn.execute("select 6 / %s::int", (3,)).fetchone() == (2,)
    conn.autocommit = False


def copies(conn):
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute("create temp table c (i int, v text) on commit drop")
        with cursor.copy("copy c from stdin") as copy:
            for i in range(20000):
                copy.write_row((i, "x" * 50))
        with cursor.copy("copy c (i) to stdout") as copy:
            assert sum(1 for _ in copy.rows()) == 20000
        try:
            with conn.transaction(), cursor.copy("copy c from stdin") as copy:
                copy.write(b"1\tone\n")
                raise KeyError("given up")
        except KeyError:
            pass
        assert cursor.execute("select count(*) from c").fetchone() == (20000,)


def pipelines(conn):
    with conn.pipeline() as pipeline, conn.cursor() as cursor:
        answers = [conn.execute("select %s::int", (i,)) for i in range(300)]
        pipeline.sync()
        assert [a.fetchone()[0] for a in answers] == list(range(300))
        cursor.execute("create temp table p (i int)")
        cursor.executemany("insert into p values (%s)", [(i,) for i in range(1000)])
        # By a cursor of its own: psycopg gives one that has more to hear the first result that came.
        assert conn.execute("select count(*) from p").fetchone() == (1000,)
    conn.rollback()
    for _ in range(3):
        try:
            with conn.pipeline() as pipeline:
                conn.execute("select 1")
                conn.execute("select 1/0")
                conn.execute("select 2")
                pipeline.sync()
            raise AssertionError("no error")
        except psycopg.errors.DivisionByZero:
            conn.rollback()
        assert conn.execute("select 'after'").fetchone() == ("after",)
        conn.commit()


def pipeline_of_autocommits(conn, first=0):
    """Several Syncs in flight, each a transaction of its own; errors end one of them only."""
    conn.autocommit = True
    for turn in range(4):
        with conn.pipeline() as pipeline:
            answers = []
            for i in range(first, first + 12):
                answers.append((i % TEXTS, conn.execute(text(i % TEXTS), (turn, "p"))))
                if i % 4 == 3:
                    pipeline.sync()
            for number, answer in answers:
                assert answer.fetchone() == (number * 1000 + turn, "p")
        answers = []
        try:
            with conn.pipeline() as pipeline:
                answers.append(conn.execute(text(1), (turn, "before")))
                pipeline.sync()
                for broken in ("select 1 / %s::int", text(2), text(3)):
                    conn.execute(broken, (0,) if "/" in broken else (turn, "skipped"))
                pipeline.sync()
            raise AssertionError("no error")
        except psycopg.errors.DivisionByZero:
            pass
        assert answers[0].fetchone() == (1000 + turn, "before")
        ask(conn, 2, turn)
    conn.autocommit = False


def evictions(conn, first=0):
    """A cache of two statements, so that each use of a third takes one away."""
    conn.execute("deallocate all")  # psycopg forgets too: a full cache would not shrink
    conn.prepared_max = 2
    for _ in range(3):
        for i in range(first, first + TEXTS):
            for value in range(3):
                ask(conn, i % TEXTS, value)
        conn.commit()
    assert len(conn._prepared._names) == 3, conn._prepared._names
    conn.prepared_max = 100


def evictions_by_sql(conn):
    """As with a libpq before 17, which has no PQclosePrepared."""
    _connection_base._HAS_SEND_CLOSE = False
    evictions(conn)
    _connection_base._HAS_SEND_CLOSE = True


def rollback_forgets(conn):
    for value in range(4):
        for number in range(TEXTS):
            ask(conn, number, value)
            ask(conn, number, value + 1)
        conn.rollback()


def deallocations(conn):
    conn.autocommit = True
    for sql in ("deallocate all", "discard all", "deallocate all; select 1", "discard plans"):
        for number in range(3):
            for value in range(3):
                ask(conn, number, value)
        conn.execute(sql)
    conn.execute("prepare mine (int) as select $1 * 2")
    conn.execute("begin")
    assert conn.execute("execute mine (21)").fetchone() == (42,)
    conn.execute("commit")
    conn.execute("deallocate mine")
    refuses("26000", conn.execute, "execute mine (21)")
    conn.autocommit = False


def schema_changes(conn, other):
    """psycopg does not heal a cached plan: the application says DEALLOCATE ALL, and then it is right."""
    for each in (conn, other):
        each.autocommit = True
    conn.execute("drop table if exists psycopg_t")
    conn.execute("create table psycopg_t (i int)")
    conn.execute("insert into psycopg_t values (1)")
    for column in range(3):
        for each in (conn, other, conn, other):
            assert len(each.execute("select * from psycopg_t").fetchone()) == column + 1
            assert len(each.execute("select * from psycopg_t").fetchone()) == column + 1
        conn.execute(f"alter table psycopg_t add column c{column} text")
        for each in (conn, other):
            try:
                assert len(each.execute("select * from psycopg_t").fetchone()) == column + 2
            except psycopg.errors.FeatureNotSupported as refused:
                assert "cached plan must not change result type" in str(refused), refused
                each.execute("deallocate all")
    for each in (conn, other):
        each.autocommit = False


def libpq(conn):
    """PQprepare, PQdescribePrepared, PQexecPrepared and PQclosePrepared, a Sync each."""
    raw = conn.pgconn
    for turn in range(3):
        for name in (b"", b"first", b"second"):
            sql = b"select '" + name + b"', $1::int + " + str(turn).encode()
            done = raw.prepare(name, sql)
            assert done.status == pq.ExecStatus.COMMAND_OK, done.error_message
            about = raw.describe_prepared(name)
            assert (about.nparams, about.nfields) == (1, 2), about.error_message
            for value in range(3):
                row = raw.exec_prepared(name, [str(value).encode()])
                assert row.status == pq.ExecStatus.TUPLES_OK, row.error_message
                assert (row.get_value(0, 0), int(row.get_value(0, 1))) == (name, value + turn)
        again = raw.prepare(b"first", b"select 1")
        assert again.error_field(pq.DiagnosticField.SQLSTATE) == b"42P05", again.status
        for name in (b"first", b"second", b"never"):
            assert raw.close_prepared(name).status == pq.ExecStatus.COMMAND_OK
        gone = raw.exec_prepared(b"first", [b"1"])
        assert gone.error_field(pq.DiagnosticField.SQLSTATE) == b"26000", gone.status
        assert raw.describe_prepared(b"first").status == pq.ExecStatus.FATAL_ERROR


def cancel(conn):
    timer = threading.Timer(0.5, conn.cancel)
    timer.start()
    try:
        conn.execute("select pg_sleep(60)")
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled:
        conn.rollback()
    timer.join()


def settings(conn, number):
    """What this client set is what it has, in each of its transactions."""
    zone = f"Etc/GMT-{number % 12 + 1}"
    conn.execute(f"set my.tenant = 'tenant {number}'")
    conn.execute("select set_config('TimeZone', %s, false)", (zone,))
    conn.execute(f"set search_path to psycopg_{number}, public")
    conn.commit()
    for _ in range(5):
        row = conn.execute(
            "select current_setting('my.tenant'), current_setting('TimeZone'), current_setting('search_path')"
        ).fetchone()
        assert row == (f"tenant {number}", zone, f"psycopg_{number}, public"), row
        assert conn.info.parameter_status("TimeZone") == zone
        conn.commit()


def one_of_many(number, start):
    with connect() as conn:
        start.wait()
        for turn in range(20):
            # Everybody begins with another text: _pg3_0 means another one for each.
            ask(conn, (number + turn) % TEXTS, turn)
            conn.commit()
        conn.autocommit = True
        for turn in range(40):
            ask(conn, (number + turn) % TEXTS, number)
        conn.autocommit = False
        settings(conn, number)
        start.wait()
        pipeline_of_autocommits(conn, number)
        evictions(conn, number)
        rollback_forgets(conn)
        settings(conn, number)


with connect() as connection:
    for step in (
        parameters_and_transactions,
        errors,
        copies,
        pipelines,
        pipeline_of_autocommits,
        evictions,
        evictions_by_sql,
        rollback_forgets,
        deallocations,
        libpq,
        cancel,
    ):
        step(connection)
        print(step.__name__, flush=True)
    with connect() as second:
        schema_changes(connection, second)
        print("schema_changes", flush=True)
with ThreadPoolExecutor(CLIENTS) as threads:
    barrier = threading.Barrier(CLIENTS, timeout=30)
    for _ in threads.map(one_of_many, range(CLIENTS), [barrier] * CLIENTS):
        pass
print("ok")
