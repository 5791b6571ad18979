// One WebSocket client, driven line by line: JSON commands on stdin, JSON reports on stdout.
//
// Usage: node client.mjs LIBRARY URL HEADERS   with LIBRARY "ws", "undici" or "node" and HEADERS a JSON object.
// Commands: {"send": text}  {"sendBase64": bytes}  {"close": [code, reason]}
// Reports:  {"open": extensions}  {"message": text}  {"binary": base64}  {"close": [code, reason]}  {"error": text}

import { createInterface } from 'node:readline';

const [library, url, headerText] = process.argv.slice(2);
const headers = JSON.parse(headerText);

function report(what) {
  process.stdout.write(JSON.stringify(what) + '\n');
}

async function open() {
  if (library === 'node') {
    // a browser's constructor takes no headers; without any, this is called as in a browser
    return Object.keys(headers).length ? new WebSocket(url, { headers }) : new WebSocket(url);
  }
  if (library === 'undici') {
    const undici = await import('undici');
    return new undici.WebSocket(url, { headers });
  }
  const { default: Socket } = await import('ws');
  return new Socket(url, { headers });
}

const socket = await open();
socket.binaryType = 'arraybuffer';
socket.addEventListener('open', () => report({ open: socket.extensions }));
socket.addEventListener('error', (event) => report({ error: String(event.message || event.error || 'error') }));
socket.addEventListener('message', (event) => {
  if (typeof event.data === 'string') report({ message: event.data });
  else report({ binary: Buffer.from(event.data).toString('base64') });
});
socket.addEventListener('close', (event) => {
  report({ close: [event.code, event.reason] });
  process.stdin.destroy();
});

createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  if ('send' in command) socket.send(command.send);
  else if ('sendBase64' in command) socket.send(Buffer.from(command.sendBase64, 'base64'));
  else if ('close' in command) socket.close(...command.close);
});
