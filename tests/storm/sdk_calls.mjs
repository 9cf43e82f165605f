// The same as sdk_calls.py, with the stock OpenAI SDK for Node. Given to `node --input-type=module -e`; the jobs come on stdin.
import OpenAI from 'openai';

let text = '';
for await (const piece of process.stdin) text += piece;
const given = JSON.parse(text);
const client = new OpenAI({ apiKey: given.key, baseURL: 'http://127.0.0.1:9' });
const magics = [Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.from('ffd8ff', 'hex')];
const startMs = performance.now();
const pause = (ms) => new Promise((done) => setTimeout(done, Math.max(0, ms)));

async function call(job) {
  await pause(startMs + job.at_s * 1000 - performance.now());
  const begunMs = performance.now();
  const one = client.withOptions({ baseURL: job.base_url, timeout: job.timeout_s * 1000 });
  let failure = null;
  try {
    const asked = { model: 'gpt-image-1', prompt: job.prompt, output_format: job.format };
    const picture = Buffer.from((await one.images.generate(asked)).data[0].b64_json, 'base64');
    if (!magics.some((magic) => picture.subarray(0, magic.length).equals(magic))) failure = 'not a picture';
  } catch (error) {
    failure = `${error.constructor.name}: ${error.code ?? error.message}`.slice(0, 120);
  }
  const seconds = Number(((performance.now() - begunMs) / 1000).toFixed(3));
  console.log(JSON.stringify({ marker: job.marker, seconds, failure }));
}

await Promise.all(given.jobs.map(call));
