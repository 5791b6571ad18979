<?php
// A game's back end in plain PHP, without an extension that may be missing: it signs what a page needs to connect and to
// join, and pushes over HTTP.
// Usage: php game.php sign SECRET TEXT
//        php game.php tokens SECRET SOCKET_ID CHANNEL JSON     JSON: what becomes the string "data"
//        php game.php push URL APP_ID API_KEY CHANNEL EVENT JSON
// Prints one line of JSON: the signature; query and join parameters; status and body.

const SIGNED_FOR_SECONDS = 30;

function sign(string $secret, string $text): string
{
    return strtoupper(hash_hmac('sha256', $text, $secret));
}

function tokens(string $secret, string $socketId, string $channel, array $options): array
{
    $socket = $socketId . ':' . (time() + SIGNED_FOR_SECONDS);
    $data = json_encode($options); // escapes slashes and everything that is not ASCII
    return [
        'query' => http_build_query(['auth' => $socket . ':' . sign($secret, $socket)]),
        'join' => ['auth' => sign($secret, "$socketId:$channel:$data"), 'data' => $data],
    ];
}

function push(string $url, string $appId, string $apiKey, string $channel, string $event, $payload): array
{
    $headers = ['Content-Type: application/json', 'Authorization: Basic ' . base64_encode("$appId:$apiKey")];
    $body = json_encode(['channel' => $channel, 'event' => $event, 'payload' => $payload]);
    $options = ['method' => 'POST', 'header' => $headers, 'content' => $body, 'ignore_errors' => true, 'timeout' => 10];
    $answer = file_get_contents($url, false, stream_context_create(['http' => $options]));
    return ['status' => (int) explode(' ', $http_response_header[0])[1], 'body' => json_decode($answer, true)];
}

$arguments = array_slice($argv, 2);
switch ($argv[1]) {
    case 'sign':
        $result = sign(...$arguments);
        break;
    case 'tokens':
        $arguments[3] = json_decode($arguments[3], true);
        $result = tokens(...$arguments);
        break;
    case 'push':
        $arguments[5] = json_decode($arguments[5]);
        $result = push(...$arguments);
        break;
}
echo json_encode($result), "\n";
