// node-postgres at the console: simple and named statements, and a cursor.
'use strict';
const assert = require('node:assert');
const { Client } = require('pg');
const Cursor = require('pg-cursor');

const [queries, ...commands] = process.argv.slice(2);

async function main() {
  const client = new Client();
  await client.connect();
  for (const text of commands) {
    await client.query(text);
    await client.query({ name: text, text });
  }
  const { rows } = await client.query({ name: 'counts', text: 'show stats' });
  // An int8 is a string here.
  assert.strictEqual(rows.find((row) => row.database === 'postgres').total_query_count, queries);
  const cursor = client.query(new Cursor('show lists'));
  assert.strictEqual((await cursor.read(4)).length, 4);
  await cursor.close();
  await assert.rejects(client.query('show nonsense'), { code: '42601' });
  await client.query('pause');
  assert.deepStrictEqual((await client.query('show is_paused')).rows, [{ is_paused: true }]);
  await client.query('resume');
  await client.end();
  console.log('ok');
}

main();
