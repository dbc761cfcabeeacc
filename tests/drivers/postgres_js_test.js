// postgres.js (package `postgres`): it prepares every text under a name of its own and pipelines by itself.
//
// Special: pipelines of many queries, a Sync each; a new text with parameters is Parse and Describe and Flush,
// its Bind waits for the answer; COMMIT, ROLLBACK and SAVEPOINT are prepared too; array types are looked up at
// connect; an error whose ROUTINE is FetchPreparedStatement or RevalidateCachedQuery is tried once more with a
// new Parse, so a lost statement would go unnoticed.
'use strict';
const assert = require('node:assert');
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const postgres = require('postgres');

const CLIENTS = 16;
const TEXTS = 7;
const numbers = (count) => [...Array(count).keys()];
const ask = async (sql, number, value) => {
  const rows = await sql.unsafe(`select ${number} * 1000 + $1::int as n`, [value], { prepare: true });
  assert.deepStrictEqual([...rows], [{ n: number * 1000 + value }]);
};

async function queries(sql) {
  const [row] = await sql`select ${41}::int + 1 as n, ${'hé'}::text as t, ${[1, 2]}::int[] as a`;
  assert.deepStrictEqual({ ...row }, { n: 42, t: 'hé', a: [1, 2] });
  for (const _ of numbers(3)) {
    await assert.rejects(sql`selec`, { code: '42601' });
    await assert.rejects(sql`select 1 / ${0}::int`, { code: '22012' });
    const several = await Promise.all(numbers(100).map((i) => sql`select ${i}::int as i`));
    several.forEach(([answer], i) => assert.strictEqual(answer.i, i));
  }
}

async function transactions(sql) {
  for (const turn of numbers(3)) {
    await sql.begin(async (own) => {
      await own`create temp table t (i int) on commit drop`;
      await own`insert into t select generate_series(1, ${10 + turn}::int)`;
      await own.savepoint((inner) => inner`select 1 / ${0}::int`).catch((e) => assert.equal(e.code, '22012'));
      await pipeline(Readable.from(['1\n', '2\n']), await own`copy t from stdin`.writable());
      const [{ n }] = await own`select count(*)::int as n from t`;
      assert.strictEqual(n, 12 + turn);
    });
    await assert.rejects(sql.begin((own) => own`select 1 / ${0}::int`), { code: '22012' });
  }
}

async function cursors(sql) {
  for (const turn of numbers(3)) {
    let seen = 0;
    const some = sql`select i from generate_series(1, ${25 + turn}::int) i`;
    await some.cursor(10, (rows) => { seen += rows.length; });
    assert.strictEqual(seen, 25 + turn);
    for await (const rows of sql`select i from generate_series(1, 100) i`.cursor(10)) {
      assert.strictEqual(rows.length, 10);
      if (turn) break; // gives the rest up
    }
    await ask(sql, 1, turn);
  }
}

async function schemaChanges(sql, other) {
  await sql`drop table if exists postgres_js_t`;
  await sql`create table postgres_js_t (i int)`;
  await sql`insert into postgres_js_t values (1)`;
  for (const column of numbers(3)) {
    for (const each of [sql, other, sql, other]) {
      const answer = await each`select * from postgres_js_t`;
      assert.strictEqual(answer.columns.length, column + 1);
    }
    await sql.unsafe(`alter table postgres_js_t add column c${column} text`);
    for (const each of [sql, other]) {
      // It tries once more by itself, seeing the ROUTINE of the server's error (RevalidateCachedQuery).
      assert.strictEqual((await each`select * from postgres_js_t`).columns.length, column + 2);
    }
  }
}

async function oneOfMany(number) {
  const sql = postgres({ max: 1, onnotice: () => {} });
  await sql.unsafe(`set my.tenant = 'tenant ${number}'`);
  for (const turn of numbers(15)) {
    await Promise.all(numbers(TEXTS).map((at) => ask(sql, (number + at) % TEXTS, turn)));
    await sql.begin(async (own) => {
      const [{ tenant }] = await own`select current_setting('my.tenant') as tenant`;
      assert.strictEqual(tenant, `tenant ${number}`);
      await ask(own, (number + turn) % TEXTS, turn);
    });
  }
  await sql.end();
}

async function main() {
  const [sql, other] = [1, 2].map(() => postgres({ max: 1, onnotice: () => {} }));
  for (const step of [queries, transactions, cursors, schemaChanges]) {
    await step(sql, other);
    console.log(step.name);
  }
  await Promise.all([sql.end(), other.end()]);
  await Promise.all(numbers(CLIENTS).map(oneOfMany));
  console.log('oneOfMany');
  const pool = postgres({ max: CLIENTS });
  await Promise.all(numbers(400).map((i) => ask(pool, i % TEXTS, i)));
  await pool.end();
  console.log('ok');
}

setTimeout(() => { console.error('timed out'); process.exit(1); }, 30000).unref();
main().catch((error) => { console.error(error); process.exit(1); });
