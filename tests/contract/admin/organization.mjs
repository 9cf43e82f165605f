// The administration API through the OpenAI Node SDK. Fed to `node --input-type=module`; IMAGEGATE_CONTRACT names the JSON
// file that says where everything is. Prints a JSON object a line: `name` and `failure`, which is null or a stack trace.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import OpenAI from 'openai';

const where = JSON.parse(fs.readFileSync(process.env.IMAGEGATE_CONTRACT, 'utf8'));
const checks = [];
const check = (name, run) => checks.push({ name, run });
const client = (key = 'owner') =>
  new OpenAI({ adminAPIKey: where[key], apiKey: null, baseURL: `${where.url}/v1`, maxRetries: 0 });
const organization = (key) => client(key).admin.organization;
const generate = (apiKey) =>
  new OpenAI({ apiKey, baseURL: `${where.url}/v1`, maxRetries: 0 }).images.generate({
    model: 'seedream-3.0',
    prompt: 'a lighthouse',
  });
const all = async (list) => {
  const found = [];
  for await (const each of list) found.push(each);
  return found;
};
const raises = (status, code, call) =>
  assert.rejects(call, (error) => {
    assert.deepEqual([error.status, error.code], [status, code]);
    return true;
  });

check('admin_api_keys', async () => {
  const keys = organization().adminAPIKeys;
  const made = await keys.create({ name: 'third', expires_in_seconds: 3600 });
  assert.match(made.value, /^sk-ig-admin-/);
  assert.equal((await keys.retrieve(made.id)).name, 'third');
  assert.ok((await all(keys.list({ limit: 1 }))).some((each) => each.id === made.id));
  assert.equal((await keys.delete(made.id)).deleted, true);
  await raises(404, 'not_found', () => keys.retrieve(made.id));
});

check('an_api_key_and_a_reader_are_told_apart', async () => {
  await raises(401, 'invalid_api_key', () => organization('api_key').users.list());
  await raises(403, 'permission_denied', () => organization('reader').projects.create({ name: 'no' }));
});

check('users', async () => {
  const [eve] = await all(organization().users.list({ emails: ['eve@example.com'] }));
  assert.equal((await organization().users.update(eve.id, { role: 'owner' })).role, 'owner');
  assert.equal((await organization().users.retrieve(eve.id)).name, 'eve');
  assert.equal((await organization().users.delete(eve.id)).deleted, true);
});

check('projects_and_their_users', async () => {
  const { projects } = organization();
  const project = await projects.create({ name: 'node' });
  assert.equal((await projects.update(project.id, { name: 'node 2' })).name, 'node 2');
  const user = await projects.users.create(project.id, { role: 'member', email: 'lin@example.com' });
  const at = { project_id: project.id };
  assert.equal((await projects.users.update(user.id, { ...at, role: 'owner' })).role, 'owner');
  assert.equal((await all(projects.users.list(project.id))).length, 1);
  assert.equal((await projects.users.delete(user.id, at)).deleted, true);
  assert.equal((await projects.archive(project.id)).status, 'archived');
  assert.ok((await all(projects.list({ include_archived: true, limit: 1 }))).some((each) => each.id === project.id));
});

check('service_accounts_and_their_keys', async () => {
  const { projects } = organization();
  const project = await projects.create({ name: 'node machines' });
  const at = { project_id: project.id };
  const account = await projects.serviceAccounts.create(project.id, { name: 'ci' });
  assert.equal((await generate(account.api_key.value)).data.length, 1);
  assert.equal((await projects.serviceAccounts.retrieve(account.id, at)).role, 'member');
  const [key] = await all(projects.apiKeys.list(project.id));
  assert.equal(key.owner.service_account.name, 'ci');
  assert.equal((await projects.apiKeys.retrieve(key.id, at)).id, key.id);
  assert.equal((await projects.apiKeys.delete(key.id, at)).deleted, true);
  assert.equal((await projects.serviceAccounts.delete(account.id, at)).deleted, true);
});

check('audit_logs', async () => {
  const project = await organization().projects.create({ name: 'node watched' });
  const query = { event_types: ['project.created', 'project.updated'], project_ids: [project.id], effective_at: { gte: 1 } };
  const found = await all(organization().auditLogs.list(query));
  assert.deepEqual(found.map((each) => each.type), ['project.created']);
  assert.equal(found[0].actor.type, 'api_key');
});

for (const { name, run } of checks) {
  let failure = null;
  try {
    await run();
  } catch (error) {
    failure = error.stack ?? String(error);
  }
  console.log(JSON.stringify({ name, failure }));
}
