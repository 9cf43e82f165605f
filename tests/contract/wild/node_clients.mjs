// Node clients with their defaults, fed to `node --input-type=module` in a folder with the packages of node-clients.
// OPENAI_API_KEY and OPENAI_BASE_URL in the environment are all that they are told. Prints a JSON object a line: `client`, and
// `said`, which is the picture as an address or in base64, or `failure`, which is a stack trace.
import { openai } from '@ai-sdk/openai';
import { DallEAPIWrapper } from '@langchain/openai';
import { generateImage as generateImageOfTanStack } from '@tanstack/ai';
import { openaiImage } from '@tanstack/ai-openai';
import { generateImage } from 'ai';
import OpenAI from 'openai';

const clients = {
  'openai-node': async (prompt) => (await new OpenAI().images.generate({ prompt })).data[0].b64_json,
  'langchain-js': (prompt) => new DallEAPIWrapper().invoke(prompt),
  'ai-sdk': async (prompt) => (await generateImage({ model: openai.image('gpt-image-1'), prompt })).image.base64,
  'tanstack-ai': async (prompt) =>
    (await generateImageOfTanStack({ adapter: openaiImage('gpt-image-2'), prompt })).images[0].b64Json,
};

for (const [client, run] of Object.entries(clients)) {
  const told = await run(`A lighthouse, drawn for ${client}`).then(
    (said) => ({ said }),
    (error) => ({ failure: error.stack }),
  );
  console.log(JSON.stringify({ client, ...told }));
}
