// node-postgres: client, pool, named statements, cursors, COPY both ways.
//
// Special: a name is the application's own choice and is parsed once a connection; a query with values and
// no name is Parse, Bind, Describe, Execute, Sync of the unnamed statement; a cursor is a portal C_1 … that
// is read by Execute and Flush, outside of a transaction too, with its Close and Sync only at the end.
'use strict';
const assert = require('node:assert');
const { once } = require('node:events');
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const { Client, Pool } = require('pg');
const copy = require('pg-copy-streams');
const Cursor = require('pg-cursor');

const CLIENTS = 16;
const TEXTS = 7;
const numbers = (count) => [...Array(count).keys()];

// What the name means differs from client to client; the answer tells which text ran.
function named(client, name, number, value) {
  return client
    .query({ name, text: `select ${number} * 1000 + $1::int as n`, values: [value] })
    .then(({ rows }) => assert.deepStrictEqual(rows, [{ n: number * 1000 + value }]));
}

async function queries(client) {
  const { rows } = await client.query('select $1::int + 1 as n, $2::text as t', [41, 'hé']);
  assert.deepStrictEqual(rows, [{ n: 42, t: 'hé' }]);
  for (const [sql, code] of [['selec', '42601'], ['select no', '42703'], ['select 1/0', '22012']]) {
    await assert.rejects(client.query(sql), { code });
    await assert.rejects(client.query(sql + ' where $1', [true]), /./);
  }
  const several = await Promise.all(numbers(200).map((i) => client.query('select $1::int as i', [i])));
  several.forEach((answer, i) => assert.strictEqual(answer.rows[0].i, i));
}

async function transaction(client) {
  await client.query('begin');
  await client.query('create temp table t (i int) on commit drop');
  await client.query('savepoint s');
  await assert.rejects(client.query('select 1/0'), { code: '22012' });
  await client.query('rollback to s');
  const lines = Readable.from((function* () { for (let i = 0; i < 10000; i++) yield `${i}\n`; })());
  await pipeline(lines, client.query(copy.from('copy t from stdin')));
  let bytes = 0;
  const out = client.query(copy.to('copy t to stdout'));
  out.on('data', (chunk) => { bytes += chunk.length; });
  await once(out, 'end');
  assert.strictEqual(bytes, 48890);
  assert.strictEqual((await client.query('select count(*)::int as n from t')).rows[0].n, 10000);
  await client.query('rollback');
}

async function statements(client) {
  for (const turn of numbers(5)) {
    for (const number of numbers(TEXTS)) await named(client, `q${number}`, number, turn);
    await client.query('begin');
    for (const number of numbers(TEXTS)) await named(client, `q${number}`, number, turn);
    await client.query(turn % 2 ? 'rollback' : 'commit');
    await Promise.all(numbers(50).map((i) => named(client, `q${i % TEXTS}`, i % TEXTS, i)));
  }
  const broken = { name: 'broken', text: 'select 1 / $1::int as n', values: [0] };
  for (const _ of numbers(3)) {
    await assert.rejects(client.query(broken), { code: '22012' });
    await assert.rejects(client.query({ name: 'typo', text: 'selec' }), { code: '42601' });
    const { rows } = await client.query({ ...broken, values: [1] });
    assert.deepStrictEqual(rows, [{ n: 1 }]);
  }
}

async function cursors(client) {
  for (const turn of numbers(3)) {
    const cursor = client.query(new Cursor('select i from generate_series(1, $1::int) i', [25 + turn]));
    assert.strictEqual((await cursor.read(10)).length, 10);
    assert.strictEqual((await cursor.read(10)).length, 10);
    if (turn) assert.strictEqual((await cursor.read(10)).length, 5 + turn);
    await cursor.close();
    await named(client, 'q1', 1, turn);
  }
}

async function schemaChanges(client, other) {
  await client.query('drop table if exists node_t');
  await client.query('create table node_t (i int)');
  await client.query('insert into node_t values (1)');
  for (const column of numbers(3)) {
    for (const each of [client, other, client, other]) {
      // A cached plan is healed by nobody: the application gives its next text another name.
      const { fields } = await each.query({ name: `all${column}`, text: 'select * from node_t' });
      assert.strictEqual(fields.length, column + 1);
    }
    await client.query(`alter table node_t add column c${column} text`);
    const again = { name: `all${column}`, text: 'select * from node_t' };
    for (const each of [client, other]) {
      await each.query(again).catch((error) => assert.match(error.message, /cached plan must not/));
    }
  }
}

async function settings(client, number) {
  await client.query(`set my.tenant = 'tenant ${number}'`);
  await client.query("select set_config('TimeZone', $1, false)", [`Etc/GMT-${number % 12 + 1}`]);
  const text = "select current_setting('my.tenant') as tenant, current_setting('TimeZone') as zone";
  for (const name of ['own', undefined, 'own', undefined]) {
    const { rows } = await client.query({ name, text });
    assert.deepStrictEqual(rows, [{ tenant: `tenant ${number}`, zone: `Etc/GMT-${number % 12 + 1}` }]);
  }
}

async function oneOfMany(client, number) {
  await settings(client, number);
  for (const turn of numbers(20)) {
    for (const at of numbers(TEXTS)) await named(client, `q${at}`, (number + at) % TEXTS, turn);
    await client.query('begin');
    await named(client, `q${turn % TEXTS}`, (number + turn) % TEXTS, turn);
    await client.query(turn % 3 ? 'commit' : 'rollback');
  }
  await Promise.all(numbers(100).map((i) => named(client, `q${i % TEXTS}`, (number + i) % TEXTS, i)));
  await settings(client, number + 1);
}

async function connected() {
  const client = new Client();
  await client.connect();
  return client;
}

async function main() {
  const [client, other] = [await connected(), await connected()];
  for (const step of [queries, transaction, statements, cursors]) {
    await step(client);
    console.log(step.name);
  }
  await schemaChanges(client, other);
  console.log('schemaChanges');
  await Promise.all([client.end(), other.end()]);

  const many = await Promise.all(numbers(CLIENTS).map(connected));
  await Promise.all(many.map(oneOfMany));
  await Promise.all(many.map((each) => each.end()));
  console.log('oneOfMany');

  const pool = new Pool({ max: CLIENTS });
  await Promise.all(numbers(400).map((i) => named(pool, `pooled${i % TEXTS}`, i % TEXTS, i)));
  await pool.end();
  console.log('ok');
}

setTimeout(() => { console.error('timed out'); process.exit(1); }, 30000).unref();
main().catch((error) => { console.error(error); process.exit(1); });
