/*
 * The floor: the least that a server can spend that does one send(2) for each delivery. It frames a broadcast once and
 * sends the ready bytes to every connection in turn, does nothing else, and trusts its clients. Not a server to use:
 * the answer to the handshake is the constant that fits the load client's constant key, and a client that does not
 * read is cut. Usage: floor PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_DESCRIPTORS 65536
#define INPUT_BYTES 16384
#define HEAD_BYTES 4
#define WAIT_FOR_READER_MILLISECONDS 1000

struct client {
    int fd;
    int position; /* in the list of open clients */
    bool is_open; /* the handshake is done */
    bool is_cut;  /* does not read; closed at its next event */
    size_t length;
    unsigned char input[INPUT_BYTES];
};

static struct client *by_descriptor[MAX_DESCRIPTORS];
static struct client *open_clients[MAX_DESCRIPTORS];
static int open_count;

static const char HANDSHAKE[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void send_all(struct client *client, const void *bytes, size_t length)
{
    size_t done = 0;
    while (done < length && !client->is_cut) {
        ssize_t sent = send(client->fd, (const char *)bytes + done, length - done, MSG_NOSIGNAL);
        struct pollfd writable = {.fd = client->fd, .events = POLLOUT};
        if (sent > 0)
            done += (size_t)sent;
        else if (errno != EAGAIN || poll(&writable, 1, WAIT_FOR_READER_MILLISECONDS) != 1)
            client->is_cut = true;
    }
    if (client->is_cut)
        shutdown(client->fd, SHUT_RDWR);
}

static void close_client(struct client *client)
{
    if (client->is_open) {
        struct client *last = open_clients[--open_count];
        open_clients[client->position] = last;
        last->position = client->position;
    }
    by_descriptor[client->fd] = NULL;
    close(client->fd);
    free(client);
}

/* One frame is made for everybody. */
static void answer(struct client *client, const unsigned char *payload, size_t length)
{
    static unsigned char frame[INPUT_BYTES + HEAD_BYTES];
    size_t head = length < 126 ? 2 : 4;
    frame[0] = 0x81;
    frame[1] = length < 126 ? (unsigned char)length : 126;
    if (head == 4) {
        frame[2] = (unsigned char)(length >> 8);
        frame[3] = (unsigned char)length;
    }
    memcpy(frame + head, payload, length);
    if (!memmem(payload, length, "\"broadcast\":true", 16)) {
        send_all(client, frame, head + length);
        return;
    }
    for (int i = 0; i < open_count; i++)
        send_all(open_clients[i], frame, head + length);
}

/* Returns how many bytes were used; 0 if there is no whole frame. */
static size_t take_frame(struct client *client, unsigned char *bytes, size_t available)
{
    if (available < 6)
        return 0;
    size_t length = bytes[1] & 0x7f, head = 2;
    if (length == 126) {
        length = (size_t)bytes[2] << 8 | bytes[3];
        head = 4;
    }
    if (available < head + 4 + length)
        return 0;
    unsigned char *mask = bytes + head, *payload = mask + 4;
    for (size_t i = 0; i < length; i++)
        payload[i] ^= mask[i & 3];
    if ((bytes[0] & 0x0f) == 1)
        answer(client, payload, length);
    return head + 4 + length;
}

static size_t take_handshake(struct client *client)
{
    unsigned char *end = memmem(client->input, client->length, "\r\n\r\n", 4);
    if (!end)
        return 0;
    send_all(client, HANDSHAKE, sizeof HANDSHAKE - 1);
    client->is_open = true;
    client->position = open_count;
    open_clients[open_count++] = client;
    return (size_t)(end + 4 - client->input);
}

static void read_client(struct client *client)
{
    ssize_t received = recv(client->fd, client->input + client->length, INPUT_BYTES - client->length, 0);
    if (received < 0 && errno == EAGAIN)
        return;
    if (received <= 0 || client->is_cut) {
        close_client(client);
        return;
    }
    client->length += (size_t)received;
    size_t done = client->is_open ? 0 : take_handshake(client);
    while (client->is_open) {
        size_t used = take_frame(client, client->input + done, client->length - done);
        if (!used)
            break;
        done += used;
    }
    client->length -= done;
    memmove(client->input, client->input + done, client->length);
}

static void accept_clients(int listener, int epoll)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        struct client *client = fd < MAX_DESCRIPTORS ? calloc(1, sizeof *client) : NULL;
        if (!client || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
            free(client);
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        client->fd = fd;
        by_descriptor[fd] = client;
    }
}

static int listen_on(int port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("floor");
        exit(1);
    }
    return listener;
}

int main(int count, char **arguments)
{
    struct epoll_event events[512];
    if (count != 2) {
        fputs("usage: floor PORT\n", stderr);
        return 2;
    }
    int listener = listen_on(atoi(arguments[1])), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_clients(listener, epoll);
            else if (by_descriptor[events[i].data.fd])
                read_client(by_descriptor[events[i].data.fd]);
        }
    }
}
