// node-postgres through the pooler: client, pool, parameters, transaction, error, COPY both ways.
'use strict';
const assert = require('node:assert');
const { once } = require('node:events');
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const { Client, Pool } = require('pg');
const copy = require('pg-copy-streams');

async function queries(client) {
  const { rows } = await client.query('select $1::int + 1 as n, $2::text as t', [41, 'hé']);
  assert.deepStrictEqual(rows, [{ n: 42, t: 'hé' }]);
  for (const [sql, code] of [['selec', '42601'], ['select no', '42703'], ['select 1/0', '22012']]) {
    await assert.rejects(client.query(sql), { code });
    await assert.rejects(client.query(sql + ' where $1', [true]), /./);
  }
  const several = await Promise.all([...Array(200).keys()].map((i) => client.query('select $1::int as i', [i])));
  several.forEach((answer, i) => assert.strictEqual(answer.rows[0].i, i));
}

async function transaction(client) {
  await client.query('begin');
  await client.query('create temp table t (i int)');
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

async function main() {
  const client = new Client();
  await client.connect();
  await queries(client);
  await transaction(client);
  await client.end();
  console.log('one connection');
  const pool = new Pool({ max: 5 });
  const answers = await Promise.all([...Array(200).keys()].map((i) => pool.query('select $1::int as i', [i])));
  answers.forEach((answer, i) => assert.strictEqual(answer.rows[0].i, i));
  await pool.end();
  console.log('ok');
}

setTimeout(() => { console.error('timed out'); process.exit(1); }, 60000).unref();
main().catch((error) => { console.error(error); process.exit(1); });
