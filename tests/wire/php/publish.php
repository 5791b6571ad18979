<?php
// Publishes on Redis as a Laravel application does, without an extension: PUBLISH CHANNEL JSON over a plain socket.
// Usage: php publish.php PORT CHANNEL WEBSOCKET_CHANNEL MESSAGE

[, $port, $channel, $to, $message] = $argv;

$payload = json_encode(['channel' => $to, 'data' => ['message' => $message, 'name' => 'PHP']]);
$command = '';
foreach (['PUBLISH', $channel, $payload] as $part) {
    $command .= '$' . strlen($part) . "\r\n" . $part . "\r\n";
}
$socket = stream_socket_client("tcp://127.0.0.1:$port", $code, $error, 5);
if (!$socket) {
    exit("cannot connect: $error\n");
}
fwrite($socket, "*3\r\n" . $command);
echo fgets($socket);
