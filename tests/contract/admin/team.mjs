// A team from nothing, with the OpenAI Node SDK and nothing else. BASE_URL (with /v1), ADMIN_KEY and CURRENCY stand in the
// environment. Prints what it saw, as JSON.
import OpenAI from 'openai';

const { ADMIN_KEY, BASE_URL: baseURL, CURRENCY: currency } = process.env;
const model = 'seedream-3.0';
const denied = 'gpt-image-1';

// Whoever runs the gateway has an admin API key.
const { organization } = new OpenAI({ adminAPIKey: ADMIN_KEY, apiKey: null, baseURL, maxRetries: 0 }).admin;
const { projects } = organization;

// The team: a project, and a service account in it, whose key is shown this once.
const project = await projects.create({ name: 'posters' });
const robot = await projects.serviceAccounts.create(project.id, { name: 'poster robot' });

// What it may do: one model, three images a minute, 5.00 a month. Somebody is told at 4.00.
await projects.modelPermissions.update(project.id, { mode: 'allow_list', model_ids: [model] });
const rate = await projects.rateLimits.updateRateLimit(`rl-${model}`, {
  project_id: project.id,
  max_images_per_1_minute: 3,
  max_requests_per_1_minute: 10,
});
const spend = await projects.spendLimit.update(project.id, { threshold_amount: 500, currency, interval: 'month' });
const alert = await projects.spendAlerts.create(project.id, {
  threshold_amount: 400,
  currency,
  interval: 'month',
  notification_channel: { type: 'email', recipients: ['finance@example.com'] },
});

// The team at work.
const team = new OpenAI({ apiKey: robot.api_key.value, baseURL, maxRetries: 0 });
const image = await team.images.generate({ model, prompt: 'A poster of a lighthouse', n: 2 });
const refusal = async (of, n) => {
  try {
    await team.images.generate({ model: of, prompt: 'A poster of a lighthouse', n });
  } catch (error) {
    return error.code;
  }
  return 'none';
};
const refused = { 'another model': await refusal(denied, 1), 'two more images': await refusal(model, 2) };

// What it used, and what that cost.
const start_time = Math.floor(Date.now() / 1000) - 3600;
const project_ids = [project.id];
const used = await organization.usage.images({
  start_time,
  project_ids,
  group_by: ['project_id', 'user_id', 'model', 'source'],
});
const costs = await organization.usage.costs({ start_time, project_ids, group_by: ['project_id', 'line_item'] });
const left = await projects.spendLimit.retrieve(project.id);
const results = (page) => page.data.flatMap((bucket) => bucket.results);

console.log(
  JSON.stringify({
    project: project.id,
    robot: robot.id,
    'rate limit': [rate.model, rate.max_images_per_1_minute, rate.max_requests_per_1_minute],
    'spend limit': [spend.threshold_amount, spend.currency, spend.interval],
    left_micros: left.left_micros,
    alert: [alert.threshold_amount, alert.notification_channel.recipients],
    images: image.data.length,
    refused,
    used: results(used).map((each) => [
      each.project_id,
      each.user_id,
      each.model,
      each.source,
      each.images,
      each.num_model_requests,
    ]),
    costs: results(costs).map((each) => [each.project_id, each.line_item, each.amount.value, each.amount.currency]),
  }),
);
