// lib/pq under database/sql: two Syncs for a query with arguments.
//
// Special: Parse, Describe and Sync of the unnamed statement, and only when that is answered Bind, Execute and
// Sync, so that between the two a transaction pool may have given the server to somebody else; with
// binary_parameters=yes it is one Sync; Prepare numbers its statements 1, 2 … on each connection and closes
// them by Close and Sync; CopyIn is a simple query; a ping is an empty simple query.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
)

const (
	clients = 16
	texts   = 7
)

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...interface{}) *sql.Row
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
	var refusal *pq.Error
	if !errors.As(err, &refusal) || string(refusal.Code) != code {
		panic(fmt.Sprintf("got %v, want %s", err, code))
	}
}

func open(options string) *sql.DB {
	db, err := sql.Open("postgres", options)
	check(err)
	db.SetMaxOpenConns(clients)
	db.SetMaxIdleConns(clients)
	return db
}

// text is a statement which no other number has, so that an answer tells which one ran.
func text(number int) string {
	return fmt.Sprintf("select %d * 1000 + $1::int", number)
}

func ask(ctx context.Context, from querier, number, value int) {
	var answer int
	check(from.QueryRowContext(ctx, text(number), value).Scan(&answer))
	same(answer, number*1000+value)
}

func queries(ctx context.Context, conn *sql.Conn) {
	for turn := 0; turn < 4; turn++ {
		var sum int
		var word string
		row := conn.QueryRowContext(ctx, "select $1::int + 1, $2::text", 41, "hé")
		check(row.Scan(&sum, &word))
		same(sum, 42)
		same(word, "hé")
		_, err := conn.ExecContext(ctx, "select 1 / $1::int", 0)
		refused(err, "22012")
		_, err = conn.ExecContext(ctx, "selec $1", 0)
		refused(err, "42601")
		_, err = conn.ExecContext(ctx, "select no")
		refused(err, "42703")
		check(conn.PingContext(ctx))
	}
}

func transactions(ctx context.Context, conn *sql.Conn) {
	for turn := 0; turn < 4; turn++ {
		tx, err := conn.BeginTx(ctx, nil)
		check(err)
		_, err = tx.ExecContext(ctx, "create temp table t (i int) on commit drop")
		check(err)
		ask(ctx, tx, turn, turn)
		copying, err := tx.PrepareContext(ctx, pq.CopyIn("t", "i"))
		check(err)
		for i := 0; i < 5000; i++ {
			_, err = copying.ExecContext(ctx, i)
			check(err)
		}
		_, err = copying.ExecContext(ctx)
		check(err)
		check(copying.Close())
		var count int
		check(tx.QueryRowContext(ctx, "select count(*) from t where i >= $1", 0).Scan(&count))
		same(count, 5000)
		if turn%2 == 0 {
			check(tx.Commit())
		} else {
			check(tx.Rollback())
		}
	}
}

func prepared(ctx context.Context, conn *sql.Conn, first int) {
	for turn := 0; turn < 3; turn++ {
		held := []*sql.Stmt{}
		for at := 0; at < texts; at++ {
			statement, err := conn.PrepareContext(ctx, text((first+at)%texts))
			check(err)
			held = append(held, statement)
		}
		for value := 0; value < 3; value++ {
			for at, statement := range held {
				var answer int
				check(statement.QueryRowContext(ctx, value).Scan(&answer))
				same(answer, (first+at)%texts*1000+value)
			}
			ask(ctx, conn, value, turn)
		}
		for _, statement := range held {
			check(statement.Close())
		}
	}
}

func timeouts(ctx context.Context, db *sql.DB) {
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(short, "select pg_sleep(60)")
	same(err != nil, true)
	ask(ctx, db, 1, 1)
}

func schemaChanges(ctx context.Context, db *sql.DB) {
	exec := func(sql string) {
		_, err := db.ExecContext(ctx, sql)
		check(err)
	}
	exec("drop table if exists lib_pq_t")
	exec("create table lib_pq_t (i int)")
	for column := 1; column <= 3; column++ {
		for turn := 0; turn < 2; turn++ {
			rows, err := db.QueryContext(ctx, "select * from lib_pq_t where i >= $1", 0)
			check(err)
			names, err := rows.Columns()
			check(err)
			same(len(names), column)
			check(rows.Close())
		}
		exec(fmt.Sprintf("alter table lib_pq_t add column c%d text", column))
	}
}

func settings(ctx context.Context, conn *sql.Conn, number int) {
	tenant, zone := fmt.Sprintf("tenant %d", number), fmt.Sprintf("Etc/GMT-%d", number%12+1)
	_, err := conn.ExecContext(ctx, "set my.tenant = '"+tenant+"'")
	check(err)
	_, err = conn.ExecContext(ctx, "select set_config('TimeZone', $1, false)", zone)
	check(err)
	for turn := 0; turn < 5; turn++ {
		var own, place string
		query := "select current_setting('my.tenant'), current_setting('TimeZone') where $1 = $1"
		check(conn.QueryRowContext(ctx, query, turn).Scan(&own, &place))
		same(own, tenant)
		same(place, zone)
	}
}

func oneOfMany(ctx context.Context, db *sql.DB, number int) {
	conn, err := db.Conn(ctx)
	check(err)
	for turn := 0; turn < 20; turn++ {
		for at := 0; at < texts; at++ {
			ask(ctx, conn, (number+at)%texts, turn)
		}
		tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
		check(err)
		ask(ctx, tx, (number+turn)%texts, turn)
		check(tx.Commit())
	}
	prepared(ctx, conn, number)
	settings(ctx, conn, number)
	settings(ctx, conn, number+1)
	check(conn.Close())
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

func all(ctx context.Context, options string) {
	db := open(options)
	conn, err := db.Conn(ctx)
	check(err)
	queries(ctx, conn)
	fmt.Println("queries")
	transactions(ctx, conn)
	fmt.Println("transactions")
	prepared(ctx, conn, 0)
	fmt.Println("prepared")
	check(conn.Close())
	timeouts(ctx, db)
	fmt.Println("timeouts")
	schemaChanges(ctx, db)
	fmt.Println("schemaChanges")
	each(clients, func(number int) { oneOfMany(ctx, db, number) })
	fmt.Println("oneOfMany")
	each(10*clients, func(number int) { ask(ctx, db, number%texts, number) })
	check(db.Close())
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	// Its own default is to require TLS; the environment says what is right here.
	mode := "sslmode=" + strings.ToLower(os.Getenv("PGSSLMODE"))
	all(ctx, mode)
	all(ctx, mode+" binary_parameters=yes")
	_, _ = os.Stdout.WriteString("ok\n")
}
