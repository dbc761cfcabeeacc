// pgx in its default mode: every text is prepared once a connection and kept in a cache.
//
// Special: names are lrupsc_N_M, prepared by Parse, Describe and Sync, then Bind, Describe, Execute and Sync;
// what falls out of the cache, or was refused with `cached plan must not change result type`, goes by
// `deallocate lrupsc_N_M` as a simple query, though it was prepared by the protocol; a batch prepares its new
// texts one by one, a Sync each, and then is one pipeline with one Sync; CopyFrom describes the table by a
// nameless statement; begin and commit are simple queries.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	clients = 16
	texts   = 7
)

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...interface{}) pgx.Row
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func same(got, want interface{}) {
	if got != want {
		panic(fmt.Sprintf("got %v, want %v", got, want))
	}
}

func refused(err error, code string) {
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.Code != code {
		panic(fmt.Sprintf("got %v, want %s", err, code))
	}
}

// text is a statement which no other number has, so that an answer tells which one ran.
func text(number int) string {
	return fmt.Sprintf("select %d * 1000 + $1::int", number)
}

func ask(ctx context.Context, from querier, number, value int) {
	var answer int
	check(from.QueryRow(ctx, text(number), value).Scan(&answer))
	same(answer, number*1000+value)
}

func queries(ctx context.Context, conn *pgx.Conn) {
	for turn := 0; turn < 4; turn++ {
		var sum int
		var word string
		row := conn.QueryRow(ctx, "select $1::int + 1, $2::text", 41, "hé")
		check(row.Scan(&sum, &word))
		same(sum, 42)
		same(word, "hé")
		_, err := conn.Exec(ctx, "select 1 / $1::int", 0)
		refused(err, "22012")
		_, err = conn.Exec(ctx, "selec $1", 0)
		refused(err, "42601")
		_, err = conn.Exec(ctx, "select no")
		refused(err, "42703")
	}
	_, err := conn.Exec(ctx, "select 1; select 2")
	check(err)
}

func transactions(ctx context.Context, conn *pgx.Conn) {
	for turn := 0; turn < 4; turn++ {
		tx, err := conn.Begin(ctx)
		check(err)
		_, err = tx.Exec(ctx, "create temp table t (i int) on commit drop")
		check(err)
		ask(ctx, tx, turn, turn)
		nested, err := tx.Begin(ctx)
		check(err)
		_, err = nested.Exec(ctx, "select 1 / $1::int", 0)
		refused(err, "22012")
		check(nested.Rollback(ctx))
		rows := [][]interface{}{}
		for i := 0; i < 5000; i++ {
			rows = append(rows, []interface{}{i})
		}
		count, err := tx.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"i"}, pgx.CopyFromRows(rows))
		check(err)
		same(count, int64(5000))
		ask(ctx, tx, turn, turn)
		if turn%2 == 0 {
			check(tx.Commit(ctx))
		} else {
			check(tx.Rollback(ctx))
		}
	}
}

func batches(ctx context.Context, conn *pgx.Conn, first int) {
	for turn := 0; turn < 4; turn++ {
		batch := &pgx.Batch{}
		for i := 0; i < 30; i++ {
			batch.Queue(text((first+i)%texts), i)
		}
		answers := conn.SendBatch(ctx, batch)
		for i := 0; i < 30; i++ {
			var answer int
			check(answers.QueryRow().Scan(&answer))
			same(answer, (first+i)%texts*1000+i)
		}
		check(answers.Close())

		batch = &pgx.Batch{}
		batch.Queue(text(1), turn)
		batch.Queue("select 1 / $1::int", 0)
		batch.Queue(text(2), turn)
		answers = conn.SendBatch(ctx, batch)
		var answer int
		check(answers.QueryRow().Scan(&answer))
		_, err := answers.Exec()
		refused(err, "22012")
		refused(answers.Close(), "22012")
		ask(ctx, conn, 2, turn)
	}
}

func prepared(ctx context.Context, conn *pgx.Conn) {
	for turn := 0; turn < 3; turn++ {
		for number := 0; number < texts; number++ {
			_, err := conn.Prepare(ctx, fmt.Sprintf("own%d", number), text(number))
			check(err)
		}
		for number := 0; number < texts; number++ {
			var answer int
			check(conn.QueryRow(ctx, fmt.Sprintf("own%d", number), turn).Scan(&answer))
			same(answer, number*1000+turn)
		}
		for number := 0; number < texts; number++ {
			check(conn.Deallocate(ctx, fmt.Sprintf("own%d", number)))
		}
	}
}

// smallCache: each use of a third statement deallocates one of the two that are cached.
func smallCache(ctx context.Context) {
	conn, err := pgx.Connect(ctx, "statement_cache_capacity=2")
	check(err)
	defer conn.Close(ctx)
	for turn := 0; turn < 4; turn++ {
		for number := 0; number < texts; number++ {
			ask(ctx, conn, number, turn)
			ask(ctx, conn, number, turn+1)
		}
	}
}

func timeouts(ctx context.Context) {
	conn, err := pgx.Connect(ctx, "")
	check(err)
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err = conn.Exec(short, "select pg_sleep(60)")
	same(errors.Is(err, context.DeadlineExceeded), true)
	same(conn.IsClosed(), true)
}

// columns retries once, as an application has to: pgx forgets the statement after the first error.
func columns(ctx context.Context, conn *pgx.Conn) int {
	for {
		rows, err := conn.Query(ctx, "select * from pgx_t")
		if err == nil {
			count := len(rows.FieldDescriptions())
			rows.Close()
			err = rows.Err()
			if err == nil {
				return count
			}
		}
		if !strings.Contains(err.Error(), "cached plan must not change result type") {
			panic(err)
		}
	}
}

func schemaChanges(ctx context.Context, conn *pgx.Conn) {
	other, err := pgx.Connect(ctx, "")
	check(err)
	defer other.Close(ctx)
	exec := func(sql string) {
		_, err := conn.Exec(ctx, sql)
		check(err)
	}
	exec("drop table if exists pgx_t")
	exec("create table pgx_t (i int)")
	exec("insert into pgx_t values (1)")
	for column := 1; column <= 3; column++ {
		for _, each := range []*pgx.Conn{conn, other, conn, other} {
			same(columns(ctx, each), column)
		}
		exec(fmt.Sprintf("alter table pgx_t add column c%d text", column))
	}
	same(columns(ctx, other), 4)
	same(columns(ctx, conn), 4)
}

func settings(ctx context.Context, conn *pgx.Conn, number int) {
	tenant, zone := fmt.Sprintf("tenant %d", number), fmt.Sprintf("Etc/GMT-%d", number%12+1)
	_, err := conn.Exec(ctx, "set my.tenant = '"+tenant+"'")
	check(err)
	_, err = conn.Exec(ctx, "select set_config('TimeZone', $1, false)", zone)
	check(err)
	for turn := 0; turn < 5; turn++ {
		var own, place string
		sql := "select current_setting('my.tenant'), current_setting('TimeZone')"
		check(conn.QueryRow(ctx, sql).Scan(&own, &place))
		same(own, tenant)
		same(place, zone)
		same(conn.PgConn().ParameterStatus("TimeZone"), zone)
	}
}

func oneOfMany(ctx context.Context, number int) {
	conn, err := pgx.Connect(ctx, "")
	check(err)
	defer conn.Close(ctx)
	for turn := 0; turn < 20; turn++ {
		// Everybody begins with another text: lrupsc_1_0 means another one for each.
		for at := 0; at < texts; at++ {
			ask(ctx, conn, (number+at)%texts, turn)
		}
		tx, err := conn.Begin(ctx)
		check(err)
		ask(ctx, tx, (number+turn)%texts, turn)
		check(tx.Commit(ctx))
	}
	batches(ctx, conn, number)
	settings(ctx, conn, number)
	settings(ctx, conn, number+1)
}

// each runs `one` for that many clients at a time; the first that panics ends the program.
func each(count int, one func(number int)) {
	var all sync.WaitGroup
	for i := 0; i < count; i++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			one(number)
		}(i)
	}
	all.Wait()
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, "")
	check(err)
	queries(ctx, conn)
	fmt.Println("queries")
	transactions(ctx, conn)
	fmt.Println("transactions")
	batches(ctx, conn, 0)
	fmt.Println("batches")
	prepared(ctx, conn)
	fmt.Println("prepared")
	smallCache(ctx)
	fmt.Println("smallCache")
	timeouts(ctx)
	fmt.Println("timeouts")
	schemaChanges(ctx, conn)
	fmt.Println("schemaChanges")
	check(conn.Close(ctx))
	each(clients, func(number int) { oneOfMany(ctx, number) })
	fmt.Println("oneOfMany")
	pool, err := pgxpool.Connect(ctx, fmt.Sprintf("pool_max_conns=%d", clients))
	check(err)
	each(10*clients, func(number int) { ask(ctx, pool, number%texts, number) })
	pool.Close()
	_, _ = os.Stdout.WriteString("ok\n")
}
