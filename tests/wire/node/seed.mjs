// The example of the Users Socket API's own documentation, as it stands there but for the import and what is printed.
// Usage: node seed.mjs URL ORIGIN

import ws from 'ws';

const [socketUrl, origin] = process.argv.slice(2);

const wsClient = new ws(socketUrl, { headers: { origin: origin } });

wsClient.on('open', function () {
  wsClient.send(JSON.stringify({ eventType: 10, message: 'Hello world?' }));
});

wsClient.on('error', function (err) {
  console.log('error: ' + err.message);
});

wsClient.on('close', function (code, reason) {
  console.log('closed: ' + code + ' ' + reason);
});

wsClient.on('message', function (data) {
  // The server sent you an event
  const echoEvent = JSON.parse(data);

  // Do something based on the event type:
  if (echoEvent.eventType === 10) {
    console.log('We got an echo: ' + echoEvent.message);
    wsClient.close();
  }
});
