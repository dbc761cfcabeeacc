"""psycopg 3 through the pooler. It prepares nothing: statements across transactions are not carried yet."""

import threading

import psycopg


def connect(**options):
    return psycopg.connect(prepare_threshold=None, **options)


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
    for sql, code in [("selec", "42601"), ("select no", "42703"), ("select 1/0", "22012")]:
        try:
            conn.execute(sql)
            raise AssertionError(sql)
        except psycopg.Error as refused:
            assert refused.sqlstate == code, refused
    assert conn.execute("select 1").fetchone() == (1,)
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
        assert cursor.execute("select count(*) from p").fetchone() == (1000,)
    conn.rollback()
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


def cancel(conn):
    timer = threading.Timer(0.5, conn.cancel)
    timer.start()
    try:
        conn.execute("select pg_sleep(60)")
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled:
        conn.rollback()
    timer.join()


with connect() as connection:
    for step in (parameters_and_transactions, errors, copies, pipelines, cancel):
        step(connection)
        print(step.__name__)
print("ok")
