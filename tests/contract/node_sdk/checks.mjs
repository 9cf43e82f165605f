// What a client of the OpenAI Node SDK relies on. Fed to `node --input-type=module`; IMAGEGATE_CONTRACT names the JSON
// file that says where everything is. Prints a JSON object a line: `profile`, `name` and `failure`, which is null or a stack trace.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import OpenAI, { toFile } from 'openai';

const where = JSON.parse(fs.readFileSync(process.env.IMAGEGATE_CONTRACT, 'utf8'));
const pictures = Object.fromEntries(
  Object.entries(where.pictures).map(([kind, base64]) => [kind, Buffer.from(base64, 'base64')]),
);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'imagegate-'));
const onDisk = path.join(folder, '猫.png');
fs.writeFileSync(onDisk, pictures.png);

const checks = [];
const check = (name, run, profiles = 'CN') => checks.push({ name, run, profiles });

class Bench {
  constructor(name, profile) {
    this.mark = `${name} node ${profile}.`;
    this.profile = profile;
    this.posts = 0;
  }

  client(key = 'good', options = {}) {
    const counting = (url, init) => {
      if (init.method.toUpperCase() === 'POST') this.posts += 1;
      return fetch(url, init);
    };
    const apiKey = where.keys[this.profile][key];
    return new OpenAI({ apiKey, baseURL: `${where.gateways[this.profile]}/v1`, fetch: counting, ...options });
  }

  prompt(hint) {
    return hint ? `${this.mark} [[sandbox ${hint}]]` : this.mark;
  }

  generate(fields = {}, hint = '', key = 'good') {
    return this.client(key).images.generate({ model: 'gpt-image-1', prompt: this.prompt(hint), ...fields });
  }

  edit(image, fields = {}) {
    return this.client().images.edit({ model: 'gpt-image-1', prompt: this.prompt(), image, ...fields });
  }

  async seen() {
    const query = new URLSearchParams({ profile: this.profile, prompt: this.mark });
    return (await fetch(`${where.spy}/seen?${query}`)).json();
  }

  async seenOnce() {
    const seen = await this.seen();
    assert.equal(seen.length, 1);
    return seen[0];
  }

  async refused(call) {
    const error = await call.then(
      () => assert.fail('no error'),
      (raised) => raised,
    );
    assert.ok(error instanceof OpenAI.APIError, error);
    return error;
  }
}

const assertPicture = (item) => assert.equal(Buffer.from(item.b64_json, 'base64').toString('latin1', 1, 4), 'PNG');

async function assertFiles(bench, expected) {
  const files = (await bench.seenOnce()).files.map((file) => [file.field, file.filename, file.sha256]);
  const sha256 = (kind) => createHash('sha256').update(pictures[kind]).digest('hex');
  assert.deepEqual(files, expected.map(([field, name, kind]) => [field, name, sha256(kind)]));
}

async function typesOf(stream) {
  const types = [];
  for await (const event of stream) {
    assertPicture(event);
    types.push(event.type);
  }
  return types;
}

// --- images -----------------------------------------------------------------------------------------------------------

check('a_generation_gives_a_whole_answer_with_base64', async (bench) => {
  const { data, response, request_id } = await bench.generate().withResponse();

  assertPicture(data.data[0]);
  assert.ok(Number.isInteger(data.created));
  assert.equal(data.usage.total_tokens, data.usage.input_tokens + data.usage.output_tokens);
  assert.equal(response.headers.get('x-imagegate-cost'), '1.00');
  assert.equal(request_id, response.headers.get('x-request-id'));
  assert.equal(data._request_id, request_id);
  assert.match(request_id, /^req_/);
});

check('extra_fields_reach_the_relay_exactly_as_sent', async (bench) => {
  await bench.generate({ model: 'flux-kontext-pro', seed: 7, aspect_ratio: '16:9', guidance_scale: 3.5 });

  const sent = JSON.parse((await bench.seenOnce()).body);
  assert.deepEqual([sent.seed, sent.aspect_ratio, sent.guidance_scale], [7, '16:9', 3.5]);
});

check('no_header_of_the_client_reaches_the_relay', async (bench) => {
  const client = bench.client('good', { organization: 'org-ours', project: 'proj-ours' });
  await client.images.generate({ prompt: bench.prompt() });

  const { headers } = await bench.seenOnce();
  const told = Object.entries(headers).flat().join(' ');
  assert.doesNotMatch(told, /stainless|org-ours|proj-ours|OpenAI\/JS/);
  assert.ok(!told.includes(where.keys[bench.profile].good));
});

check('an_edit_with_a_file', async (bench) => {
  const answer = await bench.edit(new File([pictures.png], '猫.png', { type: 'image/png' }));

  assertPicture(answer.data[0]);
  await assertFiles(bench, [['image', 'image-0.png', 'png']]);
});

check('an_edit_with_a_read_stream_which_has_no_content_length', async (bench) => {
  const answer = await bench.edit(fs.createReadStream(onDisk));

  assertPicture(answer.data[0]);
  await assertFiles(bench, [['image', 'image-0.png', 'png']]);
});

check('an_edit_with_two_read_streams_and_a_mask', async (bench) => {
  const images = [fs.createReadStream(onDisk), await toFile(pictures.jpeg)];
  await bench.edit(images, { mask: await toFile(pictures.mask, 'mask.png'), n: 2, size: '1024x1024' });

  await assertFiles(bench, [
    ['image[]', 'image-0.png', 'png'],
    ['image[]', 'image-1.jpg', 'jpeg'],
    ['mask', 'mask.png', 'mask'],
  ]);
});

check('an_edit_with_a_buffer_without_a_name', async (bench) => {
  await bench.edit(await toFile(pictures.webp));

  await assertFiles(bench, [['image', 'image-0.webp', 'webp']]);
});

check('an_edit_with_a_list_of_one', async (bench) => {
  await bench.edit([await toFile(pictures.png, 'a.png', { type: 'image/png' })]);

  await assertFiles(bench, [['image', 'image-0.png', 'png']]);
});

// --- streams ----------------------------------------------------------------------------------------------------------

check('a_streamed_generation_ends_with_its_completed_event', async (bench) => {
  const types = await typesOf(await bench.generate({ stream: true, partial_images: 1 }));

  const partials = bench.profile === 'N' ? ['image_generation.partial_image'] : [];
  assert.deepEqual(types, [...partials, 'image_generation.completed']);
});

check('a_streamed_edit_with_a_read_stream_ends_with_its_completed_event', async (bench) => {
  const types = await typesOf(await bench.edit(fs.createReadStream(onDisk), { stream: true }));

  assert.deepEqual(types, ['image_edit.completed']);
});

check(
  'a_stream_that_fails_on_its_way_raises',
  async (bench) => {
    const stream = await bench.generate({ stream: true, partial_images: 1 }, 'partials=1 sse=end');

    const error = await bench.refused(typesOf(stream));

    assert.equal(error.code, 'upstream_outcome_unknown');
    assert.equal(bench.posts, 1);
  },
  'N',
);

// --- models and errors ------------------------------------------------------------------------------------------------

check('the_models_are_those_with_a_price', async (bench) => {
  const ids = [];
  for await (const model of bench.client().models.list()) ids.push(model.id);

  assert.ok(ids.includes('gpt-image-1'));
  assert.ok(!ids.includes('imagen4'));
  assert.equal((await bench.client().models.retrieve('gpt-image-1')).object, 'model');
});

check('a_model_that_is_not_there_is_not_found', async (bench) => {
  const error = await bench.refused(bench.client().models.retrieve('ft:gpt-4o-mini:acemeco:suffix:abc123'));

  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.equal(error.code, 'model_not_found');
});

// name, class, status, code, type, param, hint, key, fields, how often the relay got it
const INVALID = 'invalid_request_error';
const UPSTREAM = 'upstream_error';
const ERRORS = [
  ['bad_request', 'BadRequestError', 400, 'invalid_value', INVALID, 'n', '', 'good', { n: 11 }, 0],
  ['no_price', 'BadRequestError', 400, 'model_not_priced', INVALID, 'model', '', 'good', { model: 'imagen4' }, 0],
  ['wrong_key', 'AuthenticationError', 401, 'invalid_api_key', INVALID, null, '', 'unknown', {}, 0],
  ['wrong_model', 'PermissionDeniedError', 403, 'model_not_allowed', INVALID, 'model', '', 'only_flux', {}, 0],
  ['no_model', 'NotFoundError', 404, 'model_not_found', INVALID, 'model', '', 'good', { model: 'dall-e-9' }, 0],
  ['spent', 'RateLimitError', 429, 'insufficient_quota', 'insufficient_quota', null, '', 'no_money', {}, 0],
  ['lost', 'APIError', 424, 'upstream_outcome_unknown', UPSTREAM, null, 'reset=before_headers', 'good', {}, 1],
  ['no_image', 'APIError', 424, 'upstream_bad_payload', UPSTREAM, null, 'body=not_image', 'good', {}, 1],
  ['our_key', 'InternalServerError', 502, 'upstream_misconfigured', UPSTREAM, null, 'error=banned', 'good', {}, 1],
  ['wallet', 'InternalServerError', 503, 'upstream_wallet_empty', UPSTREAM, null, 'error=wallet', 'good', {}, 1],
];
ERRORS.forEach(([name, kind, status, code, type, param, hint, key, fields, sent]) =>
  check(`error_${name}`, async (bench) => {
    const error = await bench.refused(bench.generate(fields, hint, key));

    assert.equal(error.constructor, OpenAI[kind]);
    assert.deepEqual([error.status, error.code, error.type, error.param], [status, code, type, param]);
    assert.match(error.requestID, /^req_/);
    assert.equal(bench.posts, 1);
    assert.equal((await bench.seen()).length, sent);
  }),
);

check('a_rate_limit_says_when_to_come_back', async (bench) => {
  const client = bench.client('none_at_once', { maxRetries: 0 });
  const error = await bench.refused(client.images.generate({ prompt: bench.prompt() }));

  assert.ok(error instanceof OpenAI.RateLimitError);
  assert.deepEqual([error.code, error.type], ['rate_limit_exceeded', 'in_flight']);
  const seconds = Number(error.headers.get('retry-after'));
  assert.ok(seconds >= 1 && seconds <= 60);
});

// --- all of them ------------------------------------------------------------------------------------------------------

for (const { name, run, profiles } of checks) {
  for (const profile of profiles) {
    const failure = await run(new Bench(name, profile)).then(
      () => null,
      (error) => error.stack,
    );
    console.log(JSON.stringify({ profile, name, failure }));
  }
}
fs.rmSync(folder, { recursive: true });
