"""Logs in as it is told: a connection string a line in, a line of JSON out. The first line is the
version of its libpq, which is newer than the system's."""

import json
import sys

import psycopg

print(psycopg.pq.version(), flush=True)
for line in sys.stdin:
    try:
        with psycopg.connect(line.strip(), connect_timeout=10) as connection:
            row = connection.execute("select current_user").fetchone()
            answer = {"user": row[0], "error": None}
    except psycopg.Error as error:
        answer = {"user": None, "error": str(error)}
    print(json.dumps(answer), flush=True)
