"""psycopg at the console: simple, unnamed and named statements, text and binary, in transactions."""

import sys

import psycopg

QUERIES, COMMANDS = int(sys.argv[1]), sys.argv[2:]


def stats(cursor, prepare):
    rows = cursor.execute("show stats", prepare=prepare).fetchall()
    names = [column.name for column in cursor.description]
    counts = {row[0]: row[names.index("total_query_count")] for row in rows}
    assert counts["postgres"] == QUERIES, counts


with psycopg.connect() as conn:
    for binary in (False, True):
        for prepare in (False, True):
            with conn.cursor(binary=binary) as cursor:
                stats(cursor, prepare)
                for command in COMMANDS:
                    for row in cursor.execute(command, prepare=prepare):
                        assert len(row) == len(cursor.description), command
            conn.commit()
    try:
        conn.execute("show nonsense")
    except psycopg.errors.SyntaxError:
        conn.rollback()
    else:
        raise AssertionError("nonsense was understood")
    conn.autocommit = True
    conn.execute("pause")
    assert conn.execute("show is_paused").fetchone() == (True,)
    conn.execute("resume")
    with conn.pipeline():
        cursors = [conn.execute("show version") for _ in range(3)]
    assert all("odyssey" in cursor.fetchone()[0] for cursor in cursors)
print("ok")
