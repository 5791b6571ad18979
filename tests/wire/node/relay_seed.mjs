// A client of the channel relay as its own documentation describes it: a token in the query, {data} out, and messages
// that are told apart by their type.
// Usage: node relay_seed.mjs URL TOKEN MESSAGE
// It sends MESSAGE when it is connected, says what it gets, and leaves when its own message has come back.

import ws from 'ws';

const [url, token, text] = process.argv.slice(2);

const socket = new ws(url + '?token=' + token);

socket.on('open', function () {
  socket.send(JSON.stringify({ data: { message: text, name: 'Node' } }));
});

socket.on('close', function (code, reason) {
  console.log('closed: ' + code + ' ' + reason);
});

socket.on('message', function (body) {
  const response = JSON.parse(body);

  switch (response.type) {
    case 'sended':
      console.log('sended: ' + response.ok);
      break;
    case 'connected':
      console.log('connected: ' + response.users.map((user) => user.id + ' ' + user.name).join(', '));
      break;
    case 'connectOther':
    case 'disconnectOther':
      console.log(response.type + ': ' + response.data.user.id + ' ' + response.data.user.name);
      break;
    case 'message':
      console.log('message of ' + response.sender.id + ' ' + response.sender.name + ': ' + JSON.stringify(response.data));
      if (response.data.message === text) socket.close(1000);
      break;
    default:
      console.log('unknown: ' + body);
  }
});
