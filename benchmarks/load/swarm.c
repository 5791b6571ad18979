#define _GNU_SOURCE
#include "swarm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"

#define OPEN_LIMIT_NANOSECONDS 60000000000u
#define MAX_BUFFER_BYTES (16u << 20)
#define STALLED_RECEIVE_BYTES 4096
#define EVENTS_A_POLL 1024

/* The key and the answer to it are the example of RFC 6455, section 1.3; so the client needs no SHA-1. */
#define HANDSHAKE_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define HANDSHAKE_ANSWER "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static unsigned char read_bytes[1 << 18];

__attribute__((format(printf, 2, 3))) static void note_problem(struct swarm *swarm, const char *format, ...)
{
    va_list arguments;
    if (swarm->problem[0])
        return;
    va_start(arguments, format);
    vsnprintf(swarm->problem, sizeof swarm->problem, format, arguments);
    va_end(arguments);
}

static bool buffer_append(struct buffer *buffer, const unsigned char *bytes, size_t length)
{
    if (buffer->length + length > MAX_BUFFER_BYTES)
        return false;
    if (buffer->length + length > buffer->capacity) {
        size_t capacity = buffer->length + length + 1024;
        unsigned char *larger = realloc(buffer->bytes, capacity);
        if (!larger)
            return false;
        buffer->bytes = larger;
        buffer->capacity = capacity;
    }
    memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    return true;
}

static void buffer_drop_front(struct buffer *buffer, size_t length)
{
    buffer->length -= length;
    if (buffer->length) {
        memmove(buffer->bytes, buffer->bytes + length, buffer->length);
        return;
    }
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

static void reset_socket(struct connection *connection)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(connection->fd);
    buffer_drop_front(&connection->in, connection->in.length);
    buffer_drop_front(&connection->out, connection->out.length);
}

static void drop(struct swarm *swarm, struct connection *connection, const char *why)
{
    if (connection->state == CLOSED)
        return;
    note_problem(swarm, "connection %d: %s", (int)(connection - swarm->connections), why);
    if (connection->state == READY)
        swarm->ready--;
    else
        swarm->opening--;
    connection->state = CLOSED;
    swarm->closed++;
    reset_socket(connection);
}

static void watch(struct swarm *swarm, struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(connection - swarm->connections)};
    if (epoll_ctl(swarm->epoll, operation, connection->fd, &event) && operation != EPOLL_CTL_DEL)
        drop(swarm, connection, strerror(errno));
}

static void write_pending(struct swarm *swarm, struct connection *connection)
{
    ssize_t sent = send(connection->fd, connection->out.bytes, connection->out.length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        drop(swarm, connection, strerror(errno));
        return;
    }
    if (sent > 0)
        buffer_drop_front(&connection->out, (size_t)sent);
    bool is_writing = connection->out.length > 0;
    if (is_writing != connection->is_writing) {
        connection->is_writing = is_writing;
        watch(swarm, connection, EPOLL_CTL_MOD, is_writing ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

static void write_bytes(struct swarm *swarm, struct connection *connection, const void *bytes, size_t length)
{
    const unsigned char *rest = bytes;
    if (!connection->out.length) {
        ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);
        if (sent == (ssize_t)length)
            return;
        if (sent > 0) {
            rest += sent;
            length -= (size_t)sent;
        }
    }
    if (!buffer_append(&connection->out, rest, length))
        drop(swarm, connection, "the server does not read what is sent to it");
    else
        write_pending(swarm, connection);
}

static void write_frame(struct swarm *swarm, struct connection *connection, enum opcode opcode, const void *payload,
                        size_t length)
{
    unsigned char frame[MAX_TEXT_BYTES + MAX_FRAME_HEAD];
    write_bytes(swarm, connection, frame, frame_write(frame, opcode, payload, length));
}

void swarm_send(struct swarm *swarm, struct connection *connection, const char *text, size_t length)
{
    write_frame(swarm, connection, OPCODE_TEXT, text, length);
}

static void become_ready(struct swarm *swarm, struct connection *connection)
{
    connection->state = READY;
    swarm->opening--;
    swarm->ready++;
    if (connection->is_stalled)
        watch(swarm, connection, EPOLL_CTL_DEL, 0);
}

/* Engine.io puts one digit before each packet (0 open, 2 ping, 4 message), socket.io a second (0 join, 2 event). */
static void take_socketio(struct swarm *swarm, struct connection *connection, const char *text, size_t length)
{
    if (length && text[0] == '2') {
        swarm_send(swarm, connection, "3", 1);
    } else if (connection->state == SOCKETIO_OPEN && length && text[0] == '0') {
        connection->state = SOCKETIO_JOIN;
        swarm_send(swarm, connection, "40", 2);
    } else if (connection->state == SOCKETIO_JOIN && length > 1 && !memcmp(text, "40", 2)) {
        become_ready(swarm, connection);
    } else if (connection->state == READY && length > 1 && !memcmp(text, "42", 2)) {
        swarm->on_text(swarm, connection, text, length);
    }
}

static void take_close(struct swarm *swarm, struct connection *connection, const struct frame *frame)
{
    char why[160] = "closed by the server without a code";
    if (frame->length >= 2)
        snprintf(why, sizeof why, "closed by the server with %d %.*s", frame->payload[0] << 8 | frame->payload[1],
                 frame->length > 102 ? 100 : (int)frame->length - 2, (const char *)frame->payload + 2);
    drop(swarm, connection, why);
}

static void take_frame(struct swarm *swarm, struct connection *connection, const struct frame *frame)
{
    if (frame->is_reserved_set || !frame->is_final) {
        drop(swarm, connection, "a fragmented or extended frame, which nobody asked for");
        return;
    }
    switch (frame->opcode) {
    case OPCODE_TEXT:
        if (swarm->options->protocol == PROTOCOL_SOCKETIO)
            take_socketio(swarm, connection, (const char *)frame->payload, frame->length);
        else
            swarm->on_text(swarm, connection, (const char *)frame->payload, frame->length);
        break;
    case OPCODE_PING:
        if (frame->length < 126)
            write_frame(swarm, connection, OPCODE_PONG, frame->payload, frame->length);
        break;
    case OPCODE_CLOSE:
        take_close(swarm, connection, frame);
        break;
    }
}

/* Returns how many bytes the answer to the handshake took; 0 while it has not arrived in full. */
static size_t take_handshake(struct swarm *swarm, struct connection *connection, const unsigned char *bytes,
                             size_t length)
{
    const unsigned char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end - bytes) + 4;
    if (memcmp(bytes, "HTTP/1.1 101", 12) || !memmem(bytes, head, HANDSHAKE_ANSWER, strlen(HANDSHAKE_ANSWER))) {
        char why[128];
        snprintf(why, sizeof why, "handshake refused: %.*s", (int)(head < 80 ? head : 80), (const char *)bytes);
        why[strcspn(why, "\r\n")] = '\0';
        drop(swarm, connection, why);
        return 0;
    }
    if (swarm->options->protocol == PROTOCOL_SOCKETIO)
        connection->state = SOCKETIO_OPEN;
    else
        become_ready(swarm, connection);
    return head;
}

static size_t take_bytes(struct swarm *swarm, struct connection *connection, const unsigned char *bytes, size_t length)
{
    size_t done = 0;
    struct frame frame;
    if (connection->state == HANDSHAKE) {
        done = take_handshake(swarm, connection, bytes, length);
        if (!done)
            return 0;
    }
    while (frame_read(bytes + done, length - done, &frame)) {
        take_frame(swarm, connection, &frame);
        if (connection->state == CLOSED)
            break;
        done += frame.total;
    }
    return done;
}

static void read_socket(struct swarm *swarm, struct connection *connection)
{
    ssize_t received = recv(connection->fd, read_bytes, sizeof read_bytes, 0);
    if (received < 0 && errno == EAGAIN)
        return;
    if (received <= 0) {
        drop(swarm, connection, received ? strerror(errno) : "closed by the server without a close frame");
        return;
    }
    swarm->received_at = monotonic_nanoseconds();
    struct buffer *in = &connection->in;
    bool is_buffered = in->length > 0;
    if (is_buffered && !buffer_append(in, read_bytes, (size_t)received)) {
        drop(swarm, connection, "a frame too large for this client");
        return;
    }
    size_t length = is_buffered ? in->length : (size_t)received;
    size_t done = take_bytes(swarm, connection, is_buffered ? in->bytes : read_bytes, length);
    if (connection->state == CLOSED)
        return;
    if (is_buffered)
        buffer_drop_front(in, done);
    else if (done < length && !buffer_append(in, read_bytes + done, length - done))
        drop(swarm, connection, "out of memory");
}

static void finish_connect(struct swarm *swarm, struct connection *connection)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        drop(swarm, connection, strerror(error));
        return;
    }
    connection->state = HANDSHAKE;
    watch(swarm, connection, EPOLL_CTL_MOD, EPOLLIN);
    if (connection->state == HANDSHAKE)
        write_bytes(swarm, connection, swarm->handshake, swarm->handshake_length);
}

static void start_connection(struct swarm *swarm, struct connection *connection, bool is_stalled)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)swarm->options->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *connection = (struct connection){.is_stalled = is_stalled, .state = CONNECTING};
    swarm->opening++;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connection->fd < 0) {
        drop(swarm, connection, strerror(errno));
        return;
    }
    int on = 1, few = STALLED_RECEIVE_BYTES;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (is_stalled) /* a small buffer fills at once, so that the server feels the stall and not the kernel */
        setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        drop(swarm, connection, strerror(errno));
        return;
    }
    watch(swarm, connection, EPOLL_CTL_ADD, EPOLLOUT);
}

void swarm_start(struct swarm *swarm, const struct options *options)
{
    swarm->options = options;
    swarm->epoll = epoll_create1(0);
    swarm->connections = calloc((size_t)options->connections, sizeof *swarm->connections);
    if (swarm->epoll < 0 || !swarm->connections) {
        perror("load");
        exit(2);
    }
    /* The headers that a browser sends: a server pays for parsing them, so they belong to the cost of a connection. */
    int length = snprintf(
        swarm->handshake, sizeof swarm->handshake,
        "GET %s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
        "\r\nUpgrade: websocket\r\nOrigin: %s\r\nSec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\n"
        "Accept-Language: en-GB,en;q=0.9\r\nSec-WebSocket-Key: " HANDSHAKE_KEY "\r\n\r\n",
        options->path, options->port, options->origin);
    if (length >= (int)sizeof swarm->handshake) {
        fputs("load: --path and --origin are too long\n", stderr);
        exit(2);
    }
    swarm->handshake_length = (size_t)length;
}

bool swarm_open(struct swarm *swarm, int count, int stalled)
{
    uint64_t limit = monotonic_nanoseconds() + OPEN_LIMIT_NANOSECONDS;
    while (swarm->ready < count) {
        while (swarm->count < count && swarm->opening < swarm->options->concurrency) {
            struct connection *connection = &swarm->connections[swarm->count++];
            start_connection(swarm, connection, swarm->count > count - stalled);
        }
        swarm_poll(swarm, 100000000);
        if (swarm->closed)
            return false;
        if (monotonic_nanoseconds() > limit) {
            note_problem(swarm, "after a minute only %d connections were open", swarm->ready);
            return false;
        }
    }
    return true;
}

void swarm_poll(struct swarm *swarm, uint64_t timeout_nanoseconds)
{
    struct epoll_event events[EVENTS_A_POLL];
    struct timespec timeout = {.tv_sec = (time_t)(timeout_nanoseconds / 1000000000u),
                               .tv_nsec = (long)(timeout_nanoseconds % 1000000000u)};
    int count = epoll_pwait2(swarm->epoll, events, EVENTS_A_POLL, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        struct connection *connection = &swarm->connections[events[i].data.u32];
        if (connection->state == CONNECTING)
            finish_connect(swarm, connection);
        else if (connection->state != CLOSED && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            read_socket(swarm, connection);
        if (connection->state != CLOSED && connection->out.length && events[i].events & EPOLLOUT)
            write_pending(swarm, connection);
    }
}

int swarm_wake_stalled(struct swarm *swarm, uint64_t limit_nanoseconds, char *reason)
{
    struct swarm before = *swarm;
    uint64_t limit = monotonic_nanoseconds() + limit_nanoseconds;
    int stalled = 0, many = 1 << 20;
    swarm->problem[0] = '\0';
    for (int i = 0; i < swarm->count; i++) {
        struct connection *connection = &swarm->connections[i];
        if (!connection->is_stalled || connection->state != READY)
            continue;
        stalled++;
        setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &many, sizeof many);
        watch(swarm, connection, EPOLL_CTL_ADD, EPOLLIN);
    }
    while (swarm->closed - before.closed < stalled && monotonic_nanoseconds() < limit)
        swarm_poll(swarm, 10000000);
    int closed = swarm->closed - before.closed;
    memcpy(reason, swarm->problem, sizeof swarm->problem);
    memcpy(swarm->problem, before.problem, sizeof swarm->problem);
    swarm->closed = before.closed;
    return closed;
}

void swarm_close(struct swarm *swarm)
{
    for (int i = 0; i < swarm->count; i++)
        if (swarm->connections[i].state != CLOSED)
            reset_socket(&swarm->connections[i]);
    swarm->count = swarm->ready = swarm->opening = 0;
}
