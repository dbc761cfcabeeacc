// pgx at the console: prepared statements from its cache, and the simple protocol.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// rows reads a whole answer by names.
func rows(ctx context.Context, conn *pgx.Conn, command string, args ...interface{}) []map[string]interface{} {
	answer, err := conn.Query(ctx, command, args...)
	check(err)
	defer answer.Close()
	var all []map[string]interface{}
	for answer.Next() {
		values, err := answer.Values()
		check(err)
		row := map[string]interface{}{}
		for at, field := range answer.FieldDescriptions() {
			row[string(field.Name)] = values[at]
		}
		all = append(all, row)
	}
	check(answer.Err())
	return all
}

func main() {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, "")
	check(err)
	defer conn.Close(ctx)
	for _, command := range os.Args[2:] {
		rows(ctx, conn, command)
		rows(ctx, conn, command)
		rows(ctx, conn, command, pgx.QuerySimpleProtocol(true))
	}
	queries, err := strconv.ParseInt(os.Args[1], 10, 64)
	check(err)
	for _, row := range rows(ctx, conn, "show stats") {
		if row["database"] == "postgres" && row["total_query_count"] != queries {
			panic(fmt.Sprint(row))
		}
	}
	_, err = conn.Exec(ctx, "show nonsense")
	var told *pgconn.PgError
	if !errors.As(err, &told) || told.Code != "42601" {
		panic(err)
	}
	_, err = conn.Exec(ctx, "pause")
	check(err)
	if rows(ctx, conn, "show is_paused")[0]["is_paused"] != true {
		panic("it is not paused")
	}
	_, err = conn.Exec(ctx, "resume")
	check(err)
	fmt.Println("ok")
}
