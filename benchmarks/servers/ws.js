// The npm package ws, broadcasting as its README does. Usage: node ws.js PORT
"use strict";

const { WebSocket, WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });

server.on("connection", (socket) => {
  socket.on("error", console.error);

  socket.on("message", (data, isBinary) => {
    if (!data.includes('"broadcast":true')) {
      socket.send(data, { binary: isBinary });
      return;
    }
    server.clients.forEach((client) => {
      if (client.readyState === WebSocket.OPEN) {
        client.send(data, { binary: isBinary });
      }
    });
  });
});
