import { subscribe } from 'node:diagnostics_channel';

// Prints when each connection and request of a run began and ended, in ms since the process began, on standard error:
//   node --import ./bench/timeline.js bin/imgcopy.js copy SRC DST

const lines = [];
const note = (what) => lines.push(`${performance.now().toFixed(0).padStart(6)}  ${what}`);

const name = ({ method, origin, path }) => `${method} ${new URL(origin).hostname}${path.replace(/\?.*/, '')}`;
subscribe('net.client.socket', () => note('TCP begins'));
subscribe('undici:client:beforeConnect', () => note('undici asks for a connection'));
subscribe('undici:client:connected', () => note('connection handed to undici'));
subscribe('undici:client:sendHeaders', ({ request }) => note(`sent      ${name(request)}`));
subscribe('undici:request:headers', ({ request, response }) =>
  note(`answered  ${name(request)} ${response.statusCode}`),
);
process.on('exit', () => {
  note('ends');
  process.stderr.write(`${lines.join('\n')}\n`);
});
