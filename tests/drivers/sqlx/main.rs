//! sqlx, which prepares every text and keeps it in a cache.
//!
//! Special: Parse, Describe and Sync of sqlx_s_N, then Bind, Execute, Close of the unnamed portal
//! and Sync; what falls out of its cache is closed with a Sync of its own; a ping, and the test of
//! a pooled connection, is a Sync and nothing else; a type it does not know is looked up by
//! prepared statements in between; DateStyle, TimeZone, client_encoding and extra_float_digits come
//! with the startup packet.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Error, Executor, PgPool, Row};
use std::time::Duration;
use tokio::task::JoinSet;

const CLIENTS: usize = 16;
const TEXTS: usize = 7;

type Done = Result<(), Error>;

/// What the PG* variables say.
fn options() -> PgConnectOptions {
    PgConnectOptions::new()
}

fn refused<T>(result: Result<T, Error>, code: &str) {
    match result {
        Err(Error::Database(refusal)) => assert_eq!(refusal.code().as_deref(), Some(code)),
        Err(other) => panic!("{other}, not {code}"),
        Ok(_) => panic!("no {code}"),
    }
}

/// A statement which no other number has, so that an answer tells which one ran.
async fn ask(conn: &mut PgConnection, number: usize, value: i32) -> Done {
    let text = AssertSqlSafe(format!("select {number} * 1000 + $1::int"));
    let answer: i32 = sqlx::query_scalar(text).bind(value).fetch_one(conn).await?;
    assert_eq!(answer, number as i32 * 1000 + value);
    Ok(())
}

async fn queries(conn: &mut PgConnection) -> Done {
    for _ in 0..4 {
        let ask = sqlx::query("select $1::int + 1, $2::text, $3::int[]").bind(41).bind("hé");
        let row = ask.bind(vec![1, 2]).fetch_one(&mut *conn).await?;
        assert_eq!((row.get::<i32, _>(0), row.get::<String, _>(1)), (42, "hé".to_owned()));
        assert_eq!(row.get::<Vec<i32>, _>(2), [1, 2]);
        let zero = sqlx::query("select 1 / $1::int").bind(0).execute(&mut *conn);
        refused(zero.await, "22012");
        refused(sqlx::query("selec $1").bind(0).execute(&mut *conn).await, "42601");
        refused(conn.execute("select no").await, "42703");
        conn.execute("select 1; select 2").await?;
        conn.ping().await?;
        let passing = sqlx::query("select $1::int").bind(1).persistent(false);
        passing.execute(&mut *conn).await?;
    }
    Ok(())
}

async fn transactions(conn: &mut PgConnection) -> Done {
    for turn in 0..4 {
        let mut tx = conn.begin().await?;
        tx.execute("create temp table t (i int) on commit drop").await?;
        ask(&mut tx, turn, 1).await?;
        let mut nested = tx.begin().await?;
        refused(sqlx::query("select 1 / $1::int").bind(0).execute(&mut *nested).await, "22012");
        nested.rollback().await?;
        let mut copy = tx.copy_in_raw("copy t from stdin").await?;
        copy.send(b"1\n2\n3\n".as_slice()).await?;
        assert_eq!(copy.finish().await?, 3);
        let rows = sqlx::query("select i from t where i > $1").bind(1).fetch_all(&mut *tx).await?;
        assert_eq!(rows.len(), 2);
        match turn % 3 {
            0 => tx.commit().await?,
            1 => tx.rollback().await?,
            _ => drop(tx), // its ROLLBACK goes in front of the next query
        }
    }
    ask(conn, 1, 1).await
}

/// An enum and an array of it: two look-ups by prepared statements before the Parse.
async fn types(conn: &mut PgConnection) -> Done {
    conn.execute("drop type if exists sqlx_mood").await?;
    conn.execute("create type sqlx_mood as enum ('glad', 'sad')").await?;
    for _ in 0..3 {
        let row = sqlx::query("select array['sad'::sqlx_mood], 'glad'::sqlx_mood");
        let row = row.fetch_one(&mut *conn).await?;
        assert_eq!(row.try_get_raw(0).map(|_| row.len())?, 2);
    }
    Ok(())
}

/// Each use of a third statement closes one of the two that are cached.
async fn small_cache() -> Done {
    let mut conn = PgConnection::connect_with(&options().statement_cache_capacity(2)).await?;
    for turn in 0..4 {
        for number in 0..TEXTS {
            ask(&mut conn, number, turn).await?;
            ask(&mut conn, number, turn + 1).await?;
        }
    }
    conn.clear_cached_statements().await?;
    ask(&mut conn, 1, 1).await?;
    conn.close().await
}

/// sqlx does not heal a cached plan: the application clears the cache, and then it is right.
async fn schema_changes(conn: &mut PgConnection) -> Done {
    let mut other = PgConnection::connect_with(&options()).await?;
    conn.execute("drop table if exists sqlx_t").await?;
    conn.execute("create table sqlx_t (i int)").await?;
    conn.execute("insert into sqlx_t values (1)").await?;
    for column in 0..3 {
        for each in [&mut *conn, &mut other] {
            for _ in 0..2 {
                let rows = sqlx::query("select * from sqlx_t").fetch_one(&mut *each).await?;
                assert_eq!(rows.len(), column + 1);
            }
        }
        let add = format!("alter table sqlx_t add column c{column} text");
        conn.execute(AssertSqlSafe(add)).await?;
        for each in [&mut *conn, &mut other] {
            if let Err(error) = sqlx::query("select * from sqlx_t").fetch_one(&mut *each).await {
                assert!(error.to_string().contains("cached plan must not change"), "{error}");
            }
            each.clear_cached_statements().await?;
        }
    }
    other.close().await
}

async fn settings(conn: &mut PgConnection, number: usize) -> Done {
    let (tenant, zone) = (format!("tenant {number}"), format!("Etc/GMT-{}", number % 12 + 1));
    conn.execute(AssertSqlSafe(format!("set my.tenant = '{tenant}'"))).await?;
    let set = sqlx::query("select set_config('TimeZone', $1, false)").bind(&zone);
    set.execute(&mut *conn).await?;
    for _ in 0..5 {
        let own = "select current_setting('my.tenant'), current_setting('TimeZone'), \
                   current_setting('extra_float_digits')";
        let row = sqlx::query(own).fetch_one(&mut *conn).await?;
        let got: Vec<String> = (0..3).map(|column| row.get(column)).collect();
        assert_eq!(got, [tenant.as_str(), &zone, "2"]);
    }
    Ok(())
}

async fn one_of_many(number: usize) -> Done {
    let mut conn = PgConnection::connect_with(&options()).await?;
    for turn in 0..20 {
        // Everybody begins with another text: sqlx_s_1 means another one for each.
        for at in 0..TEXTS {
            ask(&mut conn, (number + at) % TEXTS, turn).await?;
        }
        let mut tx = conn.begin().await?;
        ask(&mut tx, (number + turn as usize) % TEXTS, turn).await?;
        tx.commit().await?;
    }
    settings(&mut conn, number).await?;
    settings(&mut conn, number + 1).await?;
    conn.close().await
}

async fn pooled(pool: PgPool, number: usize) -> Done {
    for turn in 0..10 {
        let mut conn = pool.acquire().await?;
        ask(&mut conn, (number + turn) % TEXTS, turn as i32).await?;
    }
    Ok(())
}

async fn all() -> Done {
    let mut conn = PgConnection::connect_with(&options()).await?;
    queries(&mut conn).await?;
    println!("queries");
    transactions(&mut conn).await?;
    println!("transactions");
    types(&mut conn).await?;
    println!("types");
    small_cache().await?;
    println!("small_cache");
    schema_changes(&mut conn).await?;
    println!("schema_changes");
    conn.close().await?;
    let mut many: JoinSet<Done> = (0..CLIENTS).map(one_of_many).collect();
    while let Some(one) = many.join_next().await {
        one.expect("no panic")?;
    }
    println!("one_of_many");
    let pool = PgPoolOptions::new().max_connections(CLIENTS as u32).connect_with(options());
    let pool = pool.await?;
    let mut many: JoinSet<Done> = (0..2 * CLIENTS).map(|i| pooled(pool.clone(), i)).collect();
    while let Some(one) = many.join_next().await {
        one.expect("no panic")?;
    }
    pool.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Done {
    let ended = tokio::time::timeout(Duration::from_secs(60), all());
    ended.await.expect("within a minute")?;
    println!("ok");
    Ok(())
}
